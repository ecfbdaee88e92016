//! Fuzz target: messages of a coordinator, to a worker's protocol without a network.

use std::{collections::BTreeSet, time::Instant};

use swfn_proto::{
    Message as _,
    v1::{self, coordinator_message},
};
use swfn_shared::{
    capacity::Capacity,
    metrics::{MetricPoint, TRAIN_LOSS},
    trial::TrialSpec,
};

use crate::{End, Order, OutboxLimits, Protocol, Report, StayLimits};

/// A target: the name of its corpus, and its function.
pub type Target = (&'static str, fn(&[u8]));

/// All targets.
pub const TARGETS: &[Target] = &[("session", session)];

/// A stream of messages, each with its length before it. After each comes a byte that encodes the
/// trainer's next report. A lease whose trial has no id gets that of its settings, since ids are
/// hard to guess.
///
/// The trainer gets a lease once, under the id of its settings; reports are numbered without a gap.
pub fn session(mut data: &[u8]) {
    let now = Instant::now();
    let outbox = OutboxLimits::in_folder(std::env::temp_dir());
    let mut protocol = Protocol::new(outbox, StayLimits::default(), now);
    protocol.begin_stream(now, &v1::Welcome::default());
    let room = || Report::Wants(Capacity { lanes: 3, ..Capacity::default() });
    protocol.handle_report(now, room());
    let (mut taken, mut reported) = (Vec::<Order>::new(), 0);
    for _ in 0..100 {
        let Ok(mut message) = v1::CoordinatorMessage::decode_length_delimited(&mut data) else {
            break;
        };
        name_leases(&mut message, &taken);
        let Some(kind) = message.kind else { continue };
        let held: BTreeSet<_> = protocol.held().into_iter().collect();
        for order in protocol.handle_message(now, kind).orders {
            assert!(!held.contains(&order.lease), "`{}` is held already", order.lease);
            assert_eq!(order.lease.trial, order.spec.id());
            taken.push(order);
        }
        let Some((act, rest)) = data.split_first() else { break };
        data = rest;
        if let Some(Order { lease, .. }) = taken.get(usize::from(act >> 2)) {
            let (lease, step) = (*lease, u64::from(*act));
            let report = match act % 4 {
                0 => {
                    let points = vec![MetricPoint { metric: TRAIN_LOSS, step, value: 1.0 }];
                    Report::Progress {
                        lease,
                        step,
                        points,
                        log: "said\n".repeat(step as usize % 2),
                    }
                }
                1 => Report::Ended { lease, end: End::Released },
                2 => {
                    let (message, log) = ("e".to_owned(), String::new());
                    Report::Ended {
                        lease,
                        end: End::Failed { kind: v1::FailureKind::Error, message, log },
                    }
                }
                _ => room(),
            };
            protocol.handle_report(now, report);
        }
        protocol.flush(now);
        while protocol.has_outgoing() {
            let Some(message) = protocol.next_message().expect("memory can be read") else {
                continue;
            };
            if message.sequence > 0 {
                reported += 1;
                assert_eq!(message.sequence, reported);
            }
        }
    }
}

/// Gives trials without an id that of their settings or, in a revocation, that of the first order.
fn name_leases(message: &mut v1::CoordinatorMessage, taken: &[Order]) {
    match &mut message.kind {
        Some(coordinator_message::Kind::Grant(grant)) => {
            for lease in &mut grant.leases {
                let spec = TrialSpec::parse(&lease.spec).ok();
                if let (Some(id), Some(spec)) = (&mut lease.id, spec)
                    && id.trial.is_empty()
                {
                    id.trial = spec.id().to_string();
                }
            }
        }
        Some(coordinator_message::Kind::Revoke(v1::Revoke { lease: Some(lease), .. }))
            if lease.trial.is_empty() =>
        {
            if let Some(order) = taken.first() {
                *lease = order.lease.into();
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    swfn_fuzz::corpora_hold!(super::TARGETS);
}
