//! A session without a network: what it makes of grants and wishes.

use std::sync::mpsc as std_mpsc;

use swfn_proto::v1::{coordinator_message, worker_message::Kind};
use swfn_shared::{
    capacity::Capacity,
    grid::{DEFAULT_MAX_TRIALS, Grid},
    trial::TrialSpec,
};

use super::*;
use crate::{device::DeviceInfo, session::End, train::report::Stop};

/// Leases of so many trials of one shape.
pub(super) fn leases(count: u32) -> Vec<v1::Lease> {
    let grid = format!(
        "version = 1\nname = \"t\"\n[data]\ndataset = \"mnist\"\n[grid]\nseed = {{ count = {count} }}\nsubset_size = 100\n\
         architecture = \"net\"\nlambda = 0\n"
    );
    let lease = |spec: TrialSpec| v1::Lease {
        id: Some(LeaseId { trial: spec.id(), attempt: 1 }.into()),
        spec: Some((&spec).into()),
        artifacts: None,
    };
    Grid::parse("t", &grid, DEFAULT_MAX_TRIALS).unwrap().trials().map(lease).collect()
}

pub(super) fn grant(leases: &[v1::Lease]) -> coordinator_message::Kind {
    coordinator_message::Kind::Grant(v1::Grant { leases: leases.to_vec() })
}

/// A session of a worker whose coordinator is not there.
fn session(orders: Sender<Order>, reports: mpsc::Receiver<Report>, stop: watch::Receiver<bool>) -> Session {
    session_with("http://127.0.0.1:1", OutboxLimits::in_folder(std::env::temp_dir()), orders, reports, stop)
}

pub(super) fn session_with(
    url: &str,
    outbox: OutboxLimits,
    orders: Sender<Order>,
    reports: mpsc::Receiver<Report>,
    stop: watch::Receiver<bool>,
) -> Session {
    let device = DeviceInfo { name: "cuda:0".into(), model: "m".into(), threads: 1, cuda: "13.0".into() };
    let (host, libtorch) = ("h".to_owned(), "2.11.0".to_owned());
    let identity = Identity { worker: "ann".parse().unwrap(), predecessor: None, host, device, libtorch };
    let address = Address::new(url, super::super::Access::default()).unwrap();
    let hooks = Hooks { welcomed: || {}, leased: |_| {}, let_go: |_| {}, settled: Box::new(|_| {}) };
    Session::new(identity, address, outbox, orders, reports, stop, hooks)
}

#[test]
fn several_leases_are_held_at_a_time_and_given_back_once_it_leaves() {
    let (orders, queue) = std_mpsc::channel();
    let (_reports, report_queue) = mpsc::channel(1);
    let (_stop, stopping) = watch::channel(false);
    let mut session = session(orders, report_queue, stopping);
    let leases = leases(4);

    assert!(session.absorb(Report::Wants(Capacity { lanes: 5, ..Capacity::default() })).is_empty());
    assert_eq!(session.wishes.ask(session.ledger.running()).unwrap().lanes, 5);
    assert!(session.obey(grant(&leases[..3])).is_empty());
    let taken: Vec<_> = queue.try_iter().collect();
    assert_eq!((taken.len(), session.ledger.held().len()), (3, 3));
    assert_eq!(session.wishes.ask(session.ledger.running()), None, "the coordinator knows what it granted");

    // One ends: its lane and the two that are free, of the shape of those that run.
    session.absorb(Report::Ended { lease: taken[0].lease, end: End::Released });
    let shape = Some(taken[0].spec.shape());
    session.absorb(Report::Wants(Capacity { lanes: 3, shape, vaes: Vec::new() }));
    let ask = session.wishes.ask(session.ledger.running()).unwrap();
    assert_eq!((ask.lanes, ask.shape), (5, shape));

    session.leave(Exit::Done);
    assert!(taken[1..].iter().all(|order| order.cancel.asked() == Some(Stop::GiveBack)));
    assert_eq!(session.wishes.ask(session.ledger.running()), Some(Capacity::default()), "withdrawn");
    let answer = session.obey(grant(&leases[3..]));
    let reports: Vec<_> =
        answer.into_iter().map(|number| session.ledger.report(number).unwrap().unwrap().kind).collect();
    assert!(matches!(&reports[..], [Some(Kind::Released(released))] if released.lease == leases[3].id), "{reports:?}");
    session.absorb(Report::Wants(Capacity { lanes: 5, ..Capacity::default() }));
    assert_eq!((session.wishes.ask(0), queue.try_iter().count()), (None, 0));
}

#[test]
fn a_coordinator_that_does_not_come_is_waited_for_as_long_as_was_said() {
    let (orders, _queue) = std_mpsc::channel();
    let (reports, report_queue) = mpsc::channel(1);
    let (stop, stopping) = watch::channel(false);
    let patience = Duration::from_millis(300);
    let mut session = session(orders, report_queue, stopping).with_patience(Some(patience));
    session.obey(grant(&leases(2)));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let start = Instant::now();
    let exit = runtime.block_on(session.run());
    assert!(start.elapsed() >= patience);
    assert!(matches!(&exit, Exit::Unreachable(said) if said.contains("with 2 trials and 0 reports")), "{exit:?}");
    drop((reports, stop));
}
