//! Translates between the wire and the turn, as `grpc/convert.rs` does, for honest workers.

use swfn_proto::v1::{self, FailureKind::Diverged, worker_message::Kind};
use swfn_shared::{ids::LeaseId, trial::TrialSpec, wire};

use super::{
    super::{FailureKind, LeaseReport},
    message::Downward,
};
use crate::turn::{FromWorker, Reply};

/// A lease that is named.
pub(super) fn lease(id: Option<v1::LeaseId>) -> LeaseId {
    wire::lease(id).expect("the lease is named")
}

/// The lease that a report says has ended, and whether with success.
pub(super) fn ended(kind: &Kind) -> Option<(LeaseId, bool)> {
    let id = match kind {
        Kind::Succeeded(report) => &report.lease,
        Kind::Failed(report) => &report.lease,
        Kind::Released(report) => &report.lease,
        _ => return None,
    };
    Some((lease(id.clone()), matches!(kind, Kind::Succeeded(_))))
}

/// A message of a worker, for the turn.
pub(super) fn from_worker(message: v1::WorkerMessage) -> FromWorker {
    match message.kind.expect("the message is of a known kind") {
        Kind::Ask(ask) => FromWorker::Ask(ask.try_into().expect("ids are ids")),
        Kind::Heartbeat(beat) => {
            let progress = |p: v1::Progress| {
                (lease(p.lease), LeaseReport::Progressed { step: p.step, waits: p.waits })
            };
            FromWorker::Reports(beat.progress.into_iter().map(progress).collect())
        }
        Kind::Points(report) => {
            let points =
                report.points.into_iter().map(|point| point.try_into().expect("points are points"));
            FromWorker::Points { lease: lease(report.lease), points: points.collect(), log: None }
        }
        Kind::Succeeded(report) => {
            let outcome = wire::outcome(&report.outcome).expect("a success has an outcome");
            let dataset_digest = report.dataset_digest.parse().expect("64 hexadecimal digits");
            FromWorker::Succeeded { lease: lease(report.lease), outcome, dataset_digest }
        }
        Kind::Failed(report) => {
            let kind =
                if report.kind() == Diverged { FailureKind::Diverged } else { FailureKind::Error };
            let failed = LeaseReport::Failed { kind, error: report.message, log: report.log };
            FromWorker::Reports(vec![(lease(report.lease), failed)])
        }
        Kind::Released(report) => {
            FromWorker::Reports(vec![(lease(report.lease), LeaseReport::Released)])
        }
        Kind::Goodbye(_) => FromWorker::Goodbye,
        other @ (Kind::Hello(_) | Kind::Artifact(_)) => unreachable!("nobody says {other:?}"),
    }
}

/// An answer of the turn on the wire.
pub(super) fn to_worker(reply: Reply) -> Downward {
    match reply {
        Reply::Grant { leases, artifacts } => {
            let lease = |(id, spec): (LeaseId, TrialSpec)| v1::Lease {
                id: Some(id.into()),
                spec: spec.to_json(),
                artifacts: Some(artifacts),
            };
            Downward::Grant(v1::Grant { leases: leases.into_iter().map(lease).collect() })
        }
        Reply::Acknowledge { through } => Downward::Acknowledge(v1::Acknowledge { through }),
        Reply::Confirm { leases } => {
            Downward::Confirm(v1::Confirm { leases: leases.into_iter().map(Into::into).collect() })
        }
        Reply::Revoke { lease, reason } => {
            Downward::Revoke(v1::Revoke { lease: Some(lease.into()), reason })
        }
        Reply::Drain { reason, finished } => Downward::Drain(v1::Drain { reason, finished }),
        Reply::Refuse { reason } | Reply::Deny { reason } => {
            unreachable!("nobody is a stranger here: {reason}")
        }
    }
}
