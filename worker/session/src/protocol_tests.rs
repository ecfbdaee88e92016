//! The protocol without a stream: grants, requests and acknowledgements.

use std::time::{Duration, Instant};

use swfn_proto::v1::{self, coordinator_message, worker_message::Kind};
use swfn_shared::{
    capacity::Capacity,
    grid::{DEFAULT_MAX_TRIALS, Grid},
    ids::LeaseId,
    trial::TrialSpec,
};

use crate::{End, Exit, Order, OutboxLimits, Protocol, Report, StayLimits, Stop};

pub(crate) const WELCOME: v1::Welcome = v1::Welcome {
    software_version: String::new(),
    sweep: String::new(),
    lease_seconds: 60,
    heartbeat_seconds: 1,
    stall_seconds: 1,
};

/// Leases of so many trials of one shape.
pub(crate) fn leases(count: u32) -> Vec<v1::Lease> {
    let grid = format!(
        "version = 1\nname = \"t\"\n[data]\ndataset = \"mnist\"\n[grid]\nseed = {{ count = {count} }}\nsubset_size = 100\n\
         architecture = \"net\"\nlambda = 0\n"
    );
    let lease = |spec: TrialSpec| v1::Lease {
        id: Some(LeaseId { trial: spec.id(), attempt: 1 }.into()),
        spec: spec.to_json(),
        artifacts: None,
    };
    Grid::parse("t", &grid, DEFAULT_MAX_TRIALS).unwrap().trials().map(lease).collect()
}

pub(crate) fn grant(leases: &[v1::Lease]) -> coordinator_message::Kind {
    coordinator_message::Kind::Grant(v1::Grant { leases: leases.to_vec() })
}

fn drain(finished: bool) -> coordinator_message::Kind {
    coordinator_message::Kind::Drain(v1::Drain { reason: "a person says so".to_owned(), finished })
}

fn confirm(leases: &[LeaseId]) -> coordinator_message::Kind {
    coordinator_message::Kind::Confirm(v1::Confirm {
        leases: leases.iter().map(|lease| (*lease).into()).collect(),
    })
}

fn acknowledge(through: u64) -> coordinator_message::Kind {
    coordinator_message::Kind::Acknowledge(v1::Acknowledge { through })
}

fn room(lanes: u32) -> Report {
    Report::Wants(Capacity { lanes, ..Capacity::default() })
}

/// A worker, its trainer and its coordinator, all played by the test.
struct Stage {
    protocol: Protocol,
    now: Instant,
}

impl Stage {
    fn new(limits: StayLimits) -> Self {
        let now = Instant::now();
        let outbox = OutboxLimits::in_folder(std::env::temp_dir());
        Self { protocol: Protocol::new(outbox, limits, now), now }
    }

    /// One with an open stream.
    fn connected(limits: StayLimits) -> Self {
        let mut stage = Self::new(limits);
        stage.connect();
        stage
    }

    fn connect(&mut self) -> Vec<LeaseId> {
        let held = self.protocol.hello();
        self.protocol.begin_stream(self.now, &WELCOME);
        held
    }

    fn hear(&mut self, message: coordinator_message::Kind) -> Vec<Order> {
        self.protocol.handle_message(self.now, message).orders
    }

    fn tell(&mut self, report: Report) {
        self.protocol.handle_report(self.now, report);
    }

    fn end(&mut self, lease: LeaseId, end: End) {
        self.tell(Report::Ended { lease, end });
    }

    /// Its outgoing messages, with the number of each report.
    fn says(&mut self) -> Vec<(u64, Kind)> {
        let mut said = Vec::new();
        while self.protocol.has_outgoing() {
            said.extend(
                self.protocol
                    .next_message()
                    .unwrap()
                    .map(|message| (message.sequence, message.kind.unwrap())),
            );
        }
        said
    }

    fn asks(&mut self) -> Vec<v1::Ask> {
        let asks = self.says().into_iter().filter_map(|(_, kind)| match kind {
            Kind::Ask(ask) => Some(ask),
            _ => None,
        });
        asks.collect()
    }

    fn numbers(&mut self) -> Vec<u64> {
        self.says().into_iter().map(|(number, _)| number).filter(|number| *number > 0).collect()
    }
}

#[test]
fn a_stopped_worker_returns_all_its_leases() {
    let mut stage = Stage::connected(StayLimits::default());
    let leases = leases(4);
    stage.tell(room(5));
    assert_eq!(stage.asks()[0].lanes, 5);
    let taken = stage.hear(grant(&leases[..3]));
    assert_eq!((taken.len(), stage.protocol.held().len()), (3, 3));
    assert!(stage.hear(grant(&leases[..3])).is_empty(), "each is granted once");
    assert!(stage.says().is_empty(), "the coordinator knows what it granted");

    // One ends: its lane and the two that are free, of the shape of those that run.
    stage.end(taken[0].lease, End::Released);
    let shape = Some(taken[0].spec.shape());
    stage.tell(Report::Wants(Capacity { lanes: 3, shape, vaes: Vec::new() }));
    let ask = stage.asks().remove(0);
    assert_eq!((ask.lanes, ask.shape), (5, shape.map(|shape| shape.to_string())));

    stage.protocol.stop(stage.now, Exit::Done);
    assert!(taken[1..].iter().all(|order| order.cancel.asked() == Some(Stop::GiveBack)));
    assert_eq!(stage.asks(), [v1::Ask::default()], "withdrawn");
    assert!(stage.hear(grant(&leases[3..])).is_empty());
    let reports = stage.says();
    assert!(
        matches!(&reports[..], [(2, Kind::Released(released))] if released.lease == leases[3].id),
        "{reports:?}"
    );
    stage.tell(room(5));
    assert!(stage.asks().is_empty() && stage.protocol.take_exit().is_none());
    stage.end(taken[1].lease, End::Released);
    stage.end(taken[2].lease, End::Released);
    stage.hear(acknowledge(4));
    assert_eq!(stage.protocol.take_exit(), Some(Exit::Done));
}

#[test]
fn a_drained_worker_finishes_its_trials() {
    let mut stage = Stage::connected(StayLimits::default());
    stage.tell(room(3));
    let taken = stage.hear(grant(&leases(1)));
    stage.says();
    stage.hear(drain(false));
    assert_eq!(stage.asks(), [v1::Ask::default()], "its ask is withdrawn");
    assert_eq!(taken[0].cancel.asked(), None, "it may finish what it holds");
    stage.tell(room(3));
    assert!(stage.asks().is_empty());
    stage.end(taken[0].lease, End::Released);
    assert_eq!(
        (stage.numbers(), stage.protocol.take_exit()),
        (vec![1], None),
        "nothing is lost with it"
    );
    assert_eq!(stage.protocol.end_stream(), None);
    assert_eq!(stage.connect(), [taken[0].lease]);
    assert_eq!(stage.numbers(), [1]);
    stage.hear(acknowledge(1));
    assert_eq!(stage.protocol.take_exit(), Some(Exit::Done));
}

#[test]
fn a_stream_begins_with_unacknowledged_reports() {
    let mut stage = Stage::connected(StayLimits::default());
    stage.tell(room(3));
    let taken: Vec<_> =
        stage.hear(grant(&leases(3))).into_iter().map(|order| order.lease).collect();
    taken.iter().for_each(|lease| stage.end(*lease, End::Released));
    assert_eq!(stage.numbers(), [1, 2, 3]);
    stage.hear(acknowledge(1));
    assert_eq!(
        stage.protocol.unacknowledged().collect::<Vec<_>>(),
        [2, 3],
        "and no more than that"
    );
    stage.protocol.end_stream();
    assert!(!stage.protocol.has_outgoing(), "there is nobody to tell");
    assert_eq!(stage.connect(), taken[1..]);
    assert_eq!(stage.numbers(), [2, 3]);
    // Leases that were not confirmed are over, even if reports about them wait.
    stage.hear(confirm(&taken[1..2]));
    assert_eq!(stage.protocol.held(), taken[1..2]);
}

#[test]
fn unconfirmed_leases_are_abandoned() {
    let mut stage = Stage::connected(StayLimits::default());
    stage.tell(room(2));
    let taken = stage.hear(grant(&leases(2)));
    stage.protocol.end_stream();
    stage.connect();
    assert_eq!(stage.asks().len(), 0, "its wish was granted");
    stage.hear(confirm(&[taken[0].lease]));
    assert_eq!((taken[0].cancel.asked(), taken[1].cancel.asked()), (None, Some(Stop::Abandon)));
    // The trainer does not react, and is silent for as long as a step may take.
    assert!(stage.protocol.heartbeat(stage.now).is_none());
    stage.now += Duration::from_secs(1);
    assert!(
        matches!(stage.protocol.heartbeat(stage.now), Some(Exit::Broken(text)) if text.contains("it hangs"))
    );
}

#[test]
fn a_stalled_trainer_requests_anew() {
    let mut stage = Stage::connected(StayLimits::default());
    stage.tell(room(1));
    let taken = stage.hear(grant(&leases(1)));
    // It asks for another, and the coordinator loses patience with the first before it hears that.
    stage.tell(room(1));
    assert_eq!(stage.asks().last().unwrap().lanes, 2);
    let revoke =
        v1::Revoke { lease: Some(taken[0].lease.into()), reason: "it stood still".to_owned() };
    stage.hear(coordinator_message::Kind::Revoke(revoke));
    assert!(stage.asks().is_empty());
    stage.end(taken[0].lease, End::Released);
    stage.tell(room(1));
    assert_eq!(stage.asks().last().unwrap().lanes, 1);
    // Another coordinator, of another run directory, grants the same attempt.
    assert!(stage.hear(grant(&leases(1))).is_empty());
    stage.protocol.end_stream();
    stage.connect();
    assert_eq!(stage.hear(grant(&leases(1))).len(), 1);
}

#[test]
fn revoking_an_ended_trial_repeats_the_request() {
    let mut stage = Stage::connected(StayLimits::default());
    stage.tell(room(1));
    let taken = stage.hear(grant(&leases(1)));
    stage.tell(room(1));
    assert_eq!(stage.asks().last().unwrap().lanes, 2);
    // The coordinator has lost patience with it, and dropped the ask.
    stage.end(taken[0].lease, End::Released);
    let revoke =
        v1::Revoke { lease: Some(taken[0].lease.into()), reason: "it stood still".to_owned() };
    stage.hear(coordinator_message::Kind::Revoke(revoke));
    assert_eq!(stage.asks().last().unwrap().lanes, 1);
}

#[test]
fn a_request_is_repeated_on_the_next_stream() {
    let mut stage = Stage::connected(StayLimits::default());
    stage.tell(room(2));
    assert_eq!(stage.asks()[0].lanes, 2);
    stage.hear(grant(&leases(1)));
    stage.protocol.end_stream();
    stage.connect();
    assert_eq!(stage.asks()[0].lanes, 2, "one for the trial that it holds");
    stage.tell(Report::Broken { error: "e".to_owned(), retry: true });
    let said = stage.says();
    assert!(
        matches!(&said[..], [(0, Kind::Ask(ask)), (1, Kind::Released(_))] if ask.lanes == 0),
        "{said:?}"
    );
    assert!(!stage.protocol.accepts_reports());
    stage.hear(acknowledge(1));
    assert_eq!(stage.protocol.take_exit(), Some(Exit::Broken("e".to_owned())));
}

#[test]
fn a_worker_leaves_when_idle_or_late() {
    let start = Instant::now();
    let limits = |end: Option<u64>, idle: Option<u64>| StayLimits {
        end: end.map(|seconds| start + Duration::from_secs(seconds)),
        idle: idle.map(Duration::from_secs),
    };
    let mut stage = Stage::connected(limits(None, Some(10)));
    stage.tell(room(1));
    stage.now += Duration::from_secs(9);
    stage.protocol.flush(stage.now);
    assert_eq!(stage.protocol.take_exit(), None);
    stage.now += Duration::from_secs(1);
    stage.protocol.flush(stage.now);
    assert_eq!(
        (stage.asks().last(), stage.protocol.take_exit()),
        (Some(&v1::Ask::default()), Some(Exit::Done))
    );

    let mut stage = Stage::connected(limits(Some(120), None));
    stage.tell(room(1));
    let taken = stage.hear(grant(&leases(1)));
    stage.now += Duration::from_secs(60);
    stage.end(taken[0].lease, End::Released);
    stage.tell(room(1));
    assert_eq!(stage.asks().last(), Some(&v1::Ask::default()));
    stage.hear(acknowledge(1));
    assert_eq!(stage.protocol.take_exit(), Some(Exit::OutOfTime));
}

#[test]
fn an_unreadable_lease_ends_the_worker() {
    let mut stage = Stage::connected(StayLimits::default());
    let mut leases = leases(2);
    leases[0].spec = leases[1].spec.clone();
    assert!(stage.hear(grant(&leases[..1])).is_empty());
    assert!(
        matches!(stage.protocol.take_exit(), Some(Exit::Hopeless(text)) if text.contains("the same version of swfn"))
    );
}
