//! What the worker holds and what the coordinator has not acknowledged yet. Pure: no clock, no socket.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    sync::Arc,
};

use swfn_proto::v1::{self, worker_message::Kind};
use swfn_shared::{
    artifacts::Artifact,
    ids::{Attempt, LeaseId, TrialId},
    metrics::{MetricPoint, Outcome},
    wire,
};

use super::cancel::Cancel;
use crate::train::report::Stop;

/// Reports beyond which nothing more is taken from the trainer: it then waits, and memory stays bounded.
const FULL: usize = 4_096;

/// Points that are sent at once, though the time for it has not come.
const MANY_POINTS: usize = 256;

/// How a lease ended.
#[derive(Debug)]
pub(crate) enum End {
    Succeeded {
        outcome: Outcome,
        /// SHA-256 of what makes the data set what it is.
        dataset_digest: String,
        /// The files that the trial leaves behind.
        artifacts: Vec<Artifact>,
    },
    Failed {
        kind: v1::FailureKind,
        message: String,
    },
    /// Given back unfinished.
    Released,
}

#[derive(Debug)]
struct Held {
    step: u64,
    cancel: Arc<Cancel>,
    /// Points that have not become a report yet.
    points: Vec<MetricPoint>,
    end: Option<Ended>,
}

/// How a lease ended, in short.
#[derive(Debug, Clone, Copy)]
struct Ended {
    /// The number of the report that says so.
    report: u64,
    /// Whether the trial will not be tried again. Divergence is deterministic; other failures may have other causes.
    settled: bool,
}

/// Leases and reports.
#[derive(Debug)]
pub(super) struct Ledger {
    leases: BTreeMap<LeaseId, Held>,
    /// Reports by number, in order.
    outbox: VecDeque<(u64, Kind)>,
    next: u64,
    /// The newest attempt of each trial that was granted.
    granted: HashMap<TrialId, Attempt>,
}

impl Ledger {
    pub(super) fn new() -> Self {
        Self { leases: BTreeMap::new(), outbox: VecDeque::new(), next: 1, granted: HashMap::new() }
    }

    /// A lease was granted. Returns what cancels it; nothing if it was granted before, for attempts only rise.
    pub(super) fn grant(&mut self, lease: LeaseId) -> Option<Arc<Cancel>> {
        let newest = self.granted.entry(lease.trial).or_default();
        if lease.attempt <= *newest {
            return None;
        }
        *newest = lease.attempt;
        let cancel = Arc::new(Cancel::default());
        let held = Held { step: 0, cancel: Arc::clone(&cancel), points: Vec::new(), end: None };
        self.leases.insert(lease, held);
        Some(cancel)
    }

    /// The coordinator ended a lease: nothing more is said of it.
    pub(super) fn revoke(&mut self, lease: LeaseId) {
        if let Some(held) = self.leases.remove(&lease) {
            held.cancel.ask(Stop::Abandon);
        }
    }

    /// Asks the trainer to give back all that it works on.
    pub(super) fn cancel_all(&self) {
        for held in self.leases.values() {
            held.cancel.ask(Stop::GiveBack);
        }
    }

    /// The trainer got on. True when enough points have come together to be sent.
    pub(super) fn progress(&mut self, lease: LeaseId, step: u64, points: Vec<MetricPoint>) -> bool {
        let Some(held) = self.leases.get_mut(&lease) else { return false };
        held.step = held.step.max(step);
        held.points.extend(points);
        held.points.len() >= MANY_POINTS
    }

    /// Makes reports of all points. Returns the new reports.
    pub(super) fn flush(&mut self) -> Vec<v1::WorkerMessage> {
        let leases: Vec<_> =
            self.leases.iter().filter(|(_, held)| !held.points.is_empty()).map(|(id, _)| *id).collect();
        leases.into_iter().filter_map(|lease| self.flush_one(lease)).collect()
    }

    fn flush_one(&mut self, lease: LeaseId) -> Option<v1::WorkerMessage> {
        let points = std::mem::take(&mut self.leases.get_mut(&lease)?.points);
        let points: Vec<_> = points.into_iter().map(Into::into).collect();
        (!points.is_empty()).then(|| self.report(Kind::Points(v1::Points { lease: Some(lease.into()), points })))
    }

    /// A lease ended. Returns the new reports: its last points, then its files, then its end.
    pub(super) fn end(&mut self, lease: LeaseId, end: End) -> Vec<v1::WorkerMessage> {
        if !self.leases.contains_key(&lease) {
            return Vec::new();
        }
        let mut reports: Vec<_> = self.flush_one(lease).into_iter().collect();
        if let End::Succeeded { artifacts, .. } = &end {
            let parts = artifacts.iter().flat_map(Artifact::parts);
            reports.extend(parts.map(|part| self.report(Kind::Artifact(wire::artifact_part(lease, part)))));
        }
        let id = Some(lease.into());
        let settled = match end {
            End::Succeeded { .. } => true,
            End::Failed { kind, .. } => kind == v1::FailureKind::Diverged,
            End::Released => false,
        };
        let ended = Ended { report: self.next, settled };
        let kind = match end {
            End::Succeeded { outcome, dataset_digest, artifacts: _ } => {
                Kind::Succeeded(v1::Succeeded { lease: id, outcome: Some(outcome.into()), dataset_digest })
            }
            End::Failed { kind, message } => Kind::Failed(v1::Failed { lease: id, kind: kind.into(), message }),
            End::Released => Kind::Released(v1::Released { lease: id }),
        };
        reports.push(self.report(kind));
        if let Some(held) = self.leases.get_mut(&lease) {
            held.end = Some(ended);
        }
        reports
    }

    /// Gives back all that has not ended. Returns the new reports.
    pub(super) fn release_all(&mut self) -> Vec<v1::WorkerMessage> {
        let running: Vec<_> = self.leases.iter().filter(|(_, held)| held.end.is_none()).map(|(id, _)| *id).collect();
        running.into_iter().flat_map(|lease| self.end(lease, End::Released)).collect()
    }

    fn report(&mut self, kind: Kind) -> v1::WorkerMessage {
        let sequence = self.next;
        self.next += 1;
        self.outbox.push_back((sequence, kind.clone()));
        v1::WorkerMessage { sequence, kind: Some(kind) }
    }

    /// Everything up to this number is on the coordinator's disk. Returns the trials that are settled by it.
    pub(super) fn acknowledge(&mut self, through: u64) -> Vec<TrialId> {
        while self.outbox.front().is_some_and(|(sequence, _)| *sequence <= through) {
            self.outbox.pop_front();
        }
        let mut settled = Vec::new();
        self.leases.retain(|lease, held| match held.end {
            Some(end) if end.report <= through => {
                settled.extend(end.settled.then_some(lease.trial));
                false
            }
            _ => true,
        });
        settled
    }

    /// All reports that wait for their acknowledgement, in order.
    pub(super) fn unacknowledged(&self) -> Vec<v1::WorkerMessage> {
        let message =
            |(sequence, kind): &(u64, Kind)| v1::WorkerMessage { sequence: *sequence, kind: Some(kind.clone()) };
        self.outbox.iter().map(message).collect()
    }

    /// Leases that are worked on or whose reports wait.
    pub(super) fn held(&self) -> Vec<LeaseId> {
        self.leases.keys().copied().collect()
    }

    pub(super) fn heartbeat(&self) -> v1::Heartbeat {
        let running = self.leases.iter().filter(|(_, held)| held.end.is_none());
        let progress =
            |(lease, held): (&LeaseId, &Held)| v1::Progress { lease: Some((*lease).into()), step: held.step };
        v1::Heartbeat { progress: running.map(progress).collect() }
    }

    /// How many leases are worked on.
    pub(super) fn running(&self) -> usize {
        self.leases.values().filter(|held| held.end.is_none()).count()
    }

    /// Whether the trainer has to wait.
    pub(super) fn is_full(&self) -> bool {
        self.outbox.len() >= FULL
    }

    /// Whether nothing is held and nothing waits.
    pub(super) fn is_empty(&self) -> bool {
        self.leases.is_empty() && self.outbox.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use swfn_shared::{
        artifacts::{MAX_PART_BYTES, WEIGHTS},
        metrics,
    };

    use super::*;

    fn lease(attempt: u32) -> LeaseId {
        LeaseId { trial: "0123456789abcdef0123456789abcdef".parse().unwrap(), attempt }
    }

    fn point(step: u64) -> MetricPoint {
        MetricPoint { metric: metrics::TRAIN_LOSS, step, value: 1.0 }
    }

    const OUTCOME: Outcome = Outcome {
        final_test_accuracy: 0.9,
        best_test_accuracy: 0.9,
        final_test_loss: 0.1,
        vae_seconds: 0.0,
        classifier_seconds: 1.0,
    };

    #[test]
    fn reports_wait_for_their_acknowledgement_and_the_lease_with_them() {
        let mut ledger = Ledger::new();
        ledger.grant(lease(1));
        assert!(!ledger.progress(lease(1), 100, vec![point(100)]));
        assert_eq!(ledger.flush().len(), 1);
        assert!(ledger.flush().is_empty());
        ledger.progress(lease(1), 200, vec![point(200)]);
        let artifacts = vec![Artifact { name: WEIGHTS, content: vec![7; MAX_PART_BYTES + 1] }];
        let end = End::Succeeded { outcome: OUTCOME, dataset_digest: "d".to_owned(), artifacts };
        let last = ledger.end(lease(1), end);
        let numbers: Vec<_> = last.iter().map(|message| message.sequence).collect();
        assert_eq!(numbers, [2, 3, 4, 5], "points, two parts of a file, the end");
        assert!(matches!(last[2].kind, Some(Kind::Artifact(ref part)) if part.offset == MAX_PART_BYTES as u64));
        assert_eq!(ledger.unacknowledged().len(), 5);
        assert!(ledger.acknowledge(4).is_empty());
        assert_eq!((ledger.unacknowledged().len(), ledger.held()), (1, vec![lease(1)]));
        assert!(ledger.heartbeat().progress.is_empty(), "an ended trial makes no progress");
        assert_eq!(ledger.acknowledge(5), [lease(1).trial]);
        assert!(ledger.is_empty());
        ledger.grant(lease(2));
        assert_eq!(ledger.end(lease(2), End::Released).len(), 1);
        assert!(ledger.acknowledge(6).is_empty() && ledger.is_empty(), "what is given back has no result");
        let kinds = [(3, v1::FailureKind::Error, vec![]), (4, v1::FailureKind::Diverged, vec![lease(4).trial])];
        for (attempt, kind, settled) in kinds {
            ledger.grant(lease(attempt));
            let end = ledger.end(lease(attempt), End::Failed { kind, message: String::new() });
            assert_eq!(ledger.acknowledge(end[0].sequence), settled, "{kind:?}");
        }
    }

    #[test]
    fn a_revoked_lease_is_cancelled_and_forgotten() {
        let mut ledger = Ledger::new();
        let cancel = ledger.grant(lease(1)).unwrap();
        assert!(ledger.grant(lease(1)).is_none(), "a repetition");
        ledger.progress(lease(1), 1, vec![point(1)]);
        ledger.revoke(lease(1));
        assert_eq!(cancel.asked(), Some(Stop::Abandon));
        ledger.cancel_all();
        assert_eq!(cancel.asked(), Some(Stop::Abandon));
        assert!(ledger.flush().is_empty() && ledger.end(lease(1), End::Released).is_empty() && ledger.is_empty());
    }

    #[test]
    fn many_points_do_not_wait_and_many_reports_hold_up_the_trainer() {
        let mut ledger = Ledger::new();
        ledger.grant(lease(1));
        assert!(ledger.progress(lease(1), 1, (0..MANY_POINTS as u64).map(point).collect()));
        for step in 0..FULL as u64 {
            assert_eq!(ledger.is_full(), step == FULL as u64);
            ledger.progress(lease(1), step, vec![point(step)]);
            ledger.flush();
        }
        assert!(ledger.is_full());
    }
}
