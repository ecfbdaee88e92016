//! Fuzz target: what a coordinator says, to a session without a network.

use std::{collections::BTreeSet, sync::mpsc as std_mpsc};

use swfn_proto::{Message as _, v1::coordinator_message};
use swfn_shared::{
    capacity::Capacity,
    metrics::{MetricPoint, TRAIN_LOSS},
    trial::TrialSpec,
};

use super::*;
use crate::{
    device::DeviceInfo,
    session::{Access, End},
};

/// A stream of messages, each with its length before it; after each comes a byte that says what the trainer does meanwhile. A lease
/// whose trial has no id gets the one that its specification has: ids are hard to guess.
///
/// The trainer gets a lease once, under the id of its specification; reports are numbered without a gap.
pub(crate) fn session(mut data: &[u8]) {
    let (orders, queue) = std_mpsc::channel();
    let (_reports, report_queue) = mpsc::channel(1);
    let (_stop, stopping) = watch::channel(false);
    let outbox = OutboxLimits::in_folder(std::env::temp_dir());
    let hooks = Hooks { welcomed: || {}, leased: |_| {}, let_go: |_| {}, settled: Box::new(|_| {}) };
    let mut session = Session::new(identity(), address(), outbox, orders, report_queue, stopping, hooks);
    session.absorb(Report::Wants(Capacity { lanes: 3, ..Capacity::default() }));
    let (mut taken, mut reported) = (Vec::<Order>::new(), 0);
    for _ in 0..100 {
        let Ok(mut message) = v1::CoordinatorMessage::decode_length_delimited(&mut data) else { break };
        name_leases(&mut message, &taken);
        let Some(kind) = message.kind else { continue };
        let held: BTreeSet<_> = session.ledger.held().into_iter().collect();
        let mut sent = session.obey(kind);
        for order in queue.try_iter() {
            assert!(!held.contains(&order.lease), "`{}` is held already", order.lease);
            assert_eq!(order.lease.trial, order.spec.id());
            taken.push(order);
        }
        let Some((act, rest)) = data.split_first() else { break };
        data = rest;
        if let Some(Order { lease, .. }) = taken.get(usize::from(act >> 2)) {
            let (lease, step) = (*lease, u64::from(*act));
            sent.extend(session.absorb(match act % 4 {
                0 => {
                    let points = vec![MetricPoint { metric: TRAIN_LOSS, step, value: 1.0 }];
                    Report::Progress { lease, step, points, log: "said\n".repeat(step as usize % 2) }
                }
                1 => Report::Ended { lease, end: End::Released },
                2 => {
                    let (message, log) = ("e".to_owned(), String::new());
                    Report::Ended { lease, end: End::Failed { kind: v1::FailureKind::Error, message, log } }
                }
                _ => Report::Wants(Capacity { lanes: 3, ..Capacity::default() }),
            }));
        }
        sent.extend(session.ledger.flush());
        for sequence in sent {
            reported += 1;
            assert_eq!(sequence, reported);
        }
        assert!(session.ledger.running() <= session.ledger.held().len());
        session.wishes.ask(session.ledger.running());
    }
}

fn address() -> Address {
    Address::new("http://127.0.0.1:1", Access::default()).expect("a URL")
}

fn identity() -> Identity {
    let device = DeviceInfo { name: "cpu".to_owned(), model: String::new(), threads: 1, cuda: String::new() };
    let worker = "ann".parse().expect("a name");
    Identity { worker, predecessor: None, host: String::new(), device, libtorch: String::new() }
}

/// Trials without an id get that of their specification or, where only leases are named, of the first that was granted.
fn name_leases(message: &mut v1::CoordinatorMessage, taken: &[Order]) {
    match &mut message.kind {
        Some(coordinator_message::Kind::Grant(grant)) => {
            for lease in &mut grant.leases {
                let spec = lease.spec.clone().and_then(|spec| TrialSpec::try_from(spec).ok());
                if let (Some(id), Some(spec)) = (&mut lease.id, spec)
                    && id.trial.is_empty()
                {
                    id.trial = spec.id().to_string();
                }
            }
        }
        Some(coordinator_message::Kind::Revoke(v1::Revoke { lease: Some(lease), .. })) if lease.trial.is_empty() => {
            if let Some(order) = taken.first() {
                *lease = order.lease.into();
            }
        }
        _ => {}
    }
}
