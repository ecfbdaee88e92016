//! What the worker holds and what the coordinator has not acknowledged yet. Pure: no clock, no socket.

use std::{
    collections::{BTreeMap, HashMap},
    io,
    sync::Arc,
};

use swfn_proto::v1::{self, worker_message::Kind};
use swfn_shared::{
    artifacts::Artifact,
    ids::{Attempt, LeaseId, TrialId},
    metrics::{MetricPoint, Outcome},
    trial_log::LogPart,
    wire::{self, MAX_POINTS},
};

use crate::{
    cancel::{Cancel, Stop},
    outbox::{Outbox, OutboxLimits},
};

/// Points that are sent at once, though the time for it has not come.
const MANY_POINTS: usize = 256;

/// How a lease ended.
#[derive(Debug)]
pub enum End {
    /// With a result.
    Succeeded {
        /// The result.
        outcome: Outcome,
        /// SHA-256 of what makes the data set what it is.
        dataset_digest: String,
        /// The files that the trial leaves behind.
        artifacts: Vec<Artifact>,
    },
    /// Without one.
    Failed {
        /// Whether it would fail again.
        kind: v1::FailureKind,
        /// Why.
        message: String,
        /// The end of what the process wrote to its log.
        log: String,
    },
    /// Given back unfinished.
    Released,
}

#[derive(Debug)]
struct Held {
    step: u64,
    cancel: Arc<Cancel>,
    /// Points and lines of the log that have not become a report yet, and where in the log those lines begin.
    points: Vec<MetricPoint>,
    log: LogPart,
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
pub(crate) struct Ledger {
    leases: BTreeMap<LeaseId, Held>,
    outbox: Outbox,
    /// The newest attempt of each trial that was granted on this stream.
    granted: HashMap<TrialId, Attempt>,
}

impl Ledger {
    pub(crate) fn new(limits: OutboxLimits) -> Self {
        Self { leases: BTreeMap::new(), outbox: Outbox::new(limits), granted: HashMap::new() }
    }

    /// A new stream begins: whoever is at its other end may count attempts anew.
    pub(crate) fn forget_grants(&mut self) {
        self.granted.clear();
    }

    /// A lease was granted. Returns what cancels it; none if it was granted before: attempts only rise.
    pub(crate) fn grant(&mut self, lease: LeaseId) -> Option<Arc<Cancel>> {
        let newest = self.granted.entry(lease.trial).or_default();
        if lease.attempt <= *newest || self.leases.contains_key(&lease) {
            return None;
        }
        *newest = lease.attempt;
        let cancel = Arc::new(Cancel::default());
        let (points, log) = (Vec::new(), LogPart::default());
        let held = Held { step: 0, cancel: Arc::clone(&cancel), points, log, end: None };
        self.leases.insert(lease, held);
        Some(cancel)
    }

    /// The coordinator ended a lease: nothing more is said of it. Whether the trainer works on it; none if it is not held.
    pub(crate) fn revoke(&mut self, lease: LeaseId) -> Option<bool> {
        let held = self.leases.remove(&lease)?;
        held.cancel.ask(Stop::Abandon);
        Some(held.end.is_none())
    }

    /// Asks the trainer to give back all that it works on.
    pub(crate) fn cancel_all(&self) {
        for held in self.leases.values() {
            held.cancel.ask(Stop::GiveBack);
        }
    }

    /// The trainer got on. True when enough points have come together to be sent.
    pub(crate) fn progress(
        &mut self,
        lease: LeaseId,
        step: u64,
        points: Vec<MetricPoint>,
        log: &str,
    ) -> bool {
        let Some(held) = self.leases.get_mut(&lease) else { return false };
        held.step = held.step.max(step);
        held.points.extend(points);
        held.log.text.push_str(log);
        held.points.len() >= MANY_POINTS
    }

    /// Makes reports of all points and lines. Returns the numbers of the new reports.
    pub(crate) fn flush(&mut self) -> Vec<u64> {
        let waits = |held: &Held| !held.points.is_empty() || !held.log.text.is_empty();
        let leases: Vec<_> =
            self.leases.iter().filter(|(_, held)| waits(held)).map(|(id, _)| *id).collect();
        leases.into_iter().flat_map(|lease| self.flush_one(lease)).collect()
    }

    fn flush_one(&mut self, lease: LeaseId) -> Vec<u64> {
        let Some(held) = self.leases.get_mut(&lease) else { return Vec::new() };
        let mut points: Vec<v1::MetricPoint> =
            std::mem::take(&mut held.points).into_iter().map(Into::into).collect();
        let next =
            LogPart { offset: held.log.offset + held.log.text.len() as u64, text: String::new() };
        let mut log =
            Some(std::mem::replace(&mut held.log, next)).filter(|part| !part.text.is_empty());
        let mut reports = Vec::new();
        while !points.is_empty() || log.is_some() {
            let later = points.split_off(points.len().min(MAX_POINTS));
            let (points, log) = (std::mem::replace(&mut points, later), log.take().map(Into::into));
            let report = v1::Points { lease: Some(lease.into()), points, log };
            reports.push(self.outbox.push(Kind::Points(report)));
        }
        reports
    }

    /// A lease ended. Returns the numbers of the new reports: its last points, then its files, then its end.
    pub(crate) fn end(&mut self, lease: LeaseId, end: End) -> Vec<u64> {
        if !self.leases.contains_key(&lease) {
            return Vec::new();
        }
        let mut reports = self.flush_one(lease);
        if let End::Succeeded { artifacts, .. } = &end {
            let parts = artifacts.iter().flat_map(Artifact::parts);
            reports
                .extend(parts.map(|part| {
                    self.outbox.push(Kind::Artifact(wire::artifact_part(lease, part)))
                }));
        }
        let id = Some(lease.into());
        let settled = match end {
            End::Succeeded { .. } => true,
            End::Failed { kind, .. } => kind == v1::FailureKind::Diverged,
            End::Released => false,
        };
        let kind = match end {
            End::Succeeded { outcome, dataset_digest, artifacts: _ } => {
                Kind::Succeeded(v1::Succeeded {
                    lease: id,
                    outcome: wire::outcome_values(&outcome),
                    dataset_digest,
                })
            }
            End::Failed { kind, message, log } => {
                Kind::Failed(v1::Failed { lease: id, kind: kind.into(), message, log })
            }
            End::Released => Kind::Released(v1::Released { lease: id }),
        };
        let report = self.outbox.push(kind);
        reports.push(report);
        if let Some(held) = self.leases.get_mut(&lease) {
            held.end = Some(Ended { report, settled });
        }
        reports
    }

    /// Gives back all that has not ended. Returns the numbers of the new reports.
    pub(crate) fn release_all(&mut self) -> Vec<u64> {
        let running: Vec<_> =
            self.leases.iter().filter(|(_, held)| held.end.is_none()).map(|(id, _)| *id).collect();
        running.into_iter().flat_map(|lease| self.end(lease, End::Released)).collect()
    }

    /// Everything up to this number is on the coordinator's disk. Returns the trials that are settled by it.
    pub(crate) fn acknowledge(&mut self, through: u64) -> Vec<TrialId> {
        self.outbox.acknowledge(through);
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

    /// The numbers of all reports that wait for their acknowledgement, in order.
    pub(crate) fn unacknowledged(&self) -> impl Iterator<Item = u64> {
        self.outbox.sequences()
    }

    /// The report of that number; `None` if it has been acknowledged.
    pub(crate) fn report(&mut self, sequence: u64) -> io::Result<Option<v1::WorkerMessage>> {
        self.outbox.message(sequence)
    }

    /// Leases that are worked on or whose reports wait.
    pub(crate) fn held(&self) -> Vec<LeaseId> {
        self.leases.keys().copied().collect()
    }

    /// How far all leases are. Those that have ended are among them until that has been sent: `unsent` is the first report that has not. They
    /// would expire if that takes long, as those would whose trainer has to wait.
    pub(crate) fn heartbeat(&self, unsent: Option<u64>) -> v1::Heartbeat {
        let is_full = self.is_full();
        let progress = |(lease, held): (&LeaseId, &Held)| {
            let waits = match held.end {
                None => is_full,
                Some(end) if unsent.is_some_and(|unsent| unsent <= end.report) => true,
                // Heard already, perhaps: then the lease is over.
                Some(_) => return None,
            };
            Some(v1::Progress { lease: Some((*lease).into()), step: held.step, waits })
        };
        v1::Heartbeat { progress: self.leases.iter().filter_map(progress).collect() }
    }

    /// How many leases are worked on.
    pub(crate) fn running(&self) -> usize {
        self.leases.values().filter(|held| held.end.is_none()).count()
    }

    /// Whether the trainer has to wait.
    pub(crate) fn is_full(&self) -> bool {
        self.outbox.is_full()
    }

    /// Whether nothing is held and nothing waits.
    pub(crate) fn is_empty(&self) -> bool {
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
        validation_accuracy: None,
        validated_test_accuracy: None,
    };

    fn ledger() -> Ledger {
        Ledger::new(OutboxLimits { memory: 1 << 20, disk: 1 << 20, folder: std::env::temp_dir() })
    }

    #[test]
    fn reports_wait_for_their_acknowledgement_and_the_lease_with_them() {
        let mut ledger = ledger();
        ledger.grant(lease(1));
        assert!(!ledger.progress(lease(1), 100, vec![point(100)], "zero\n"));
        assert_eq!(ledger.flush(), [1]);
        assert!(ledger.flush().is_empty());
        ledger.progress(lease(1), 200, vec![point(200)], "one\n");
        ledger.progress(lease(1), 200, Vec::new(), "two\n");
        let artifacts = vec![Artifact { name: WEIGHTS, content: vec![7; MAX_PART_BYTES + 1] }];
        let end = End::Succeeded { outcome: OUTCOME, dataset_digest: "d".to_owned(), artifacts };
        assert_eq!(ledger.end(lease(1), end), [2, 3, 4, 5], "points, two parts of a file, the end");
        let points = ledger.report(2).unwrap().and_then(|report| report.kind);
        let log = v1::LogPart { offset: 5, text: "one\ntwo\n".to_owned() };
        assert!(
            matches!(points, Some(Kind::Points(ref points)) if points.log == Some(log) && points.points.len() == 1)
        );
        let part = ledger.report(4).unwrap().and_then(|report| report.kind);
        assert!(
            matches!(part, Some(Kind::Artifact(ref part)) if part.offset == MAX_PART_BYTES as u64)
        );
        assert_eq!(ledger.unacknowledged().count(), 5);
        assert!(ledger.acknowledge(4).is_empty());
        assert_eq!((ledger.unacknowledged().count(), ledger.held()), (1, vec![lease(1)]));
        assert!(ledger.heartbeat(None).progress.is_empty(), "an ended trial makes no progress");
        assert!(ledger.heartbeat(Some(6)).progress.is_empty());
        let waiting = v1::Progress { lease: Some(lease(1).into()), step: 200, waits: true };
        assert_eq!(ledger.heartbeat(Some(5)).progress, [waiting], "its end has not been sent");
        assert_eq!(ledger.acknowledge(5), [lease(1).trial]);
        assert!(ledger.is_empty());
        ledger.grant(lease(2));
        assert_eq!(ledger.end(lease(2), End::Released).len(), 1);
        assert!(
            ledger.acknowledge(6).is_empty() && ledger.is_empty(),
            "what is given back has no result"
        );
        let kinds = [
            (3, v1::FailureKind::Error, vec![]),
            (4, v1::FailureKind::Diverged, vec![lease(4).trial]),
        ];
        for (attempt, kind, settled) in kinds {
            ledger.grant(lease(attempt));
            let end = ledger.end(
                lease(attempt),
                End::Failed { kind, message: String::new(), log: String::new() },
            );
            assert_eq!(ledger.acknowledge(end[0]), settled, "{kind:?}");
        }
    }

    #[test]
    fn a_revoked_lease_is_cancelled_and_forgotten() {
        let mut ledger = ledger();
        let cancel = ledger.grant(lease(1)).unwrap();
        assert!(ledger.grant(lease(1)).is_none(), "it is worked on already");
        ledger.progress(lease(1), 1, vec![point(1)], "");
        assert_eq!((ledger.revoke(lease(1)), ledger.revoke(lease(1))), (Some(true), None));
        assert_eq!(cancel.asked(), Some(Stop::Abandon));
        ledger.cancel_all();
        assert_eq!(cancel.asked(), Some(Stop::Abandon));
        assert!(
            ledger.flush().is_empty()
                && ledger.end(lease(1), End::Released).is_empty()
                && ledger.is_empty()
        );
        ledger.grant(lease(2));
        ledger.end(lease(2), End::Released);
        assert_eq!(ledger.revoke(lease(2)), Some(false), "the trainer is done with it");
    }

    #[test]
    fn many_points_do_not_wait() {
        let mut ledger = ledger();
        ledger.grant(lease(1));
        assert!(!ledger.progress(lease(1), 1, vec![point(1)], ""));
        assert!(ledger.progress(lease(1), 1, (0..MANY_POINTS as u64).map(point).collect(), ""));
    }

    #[test]
    fn a_report_has_no_more_points_than_are_taken() {
        let mut ledger = ledger();
        ledger.grant(lease(1));
        ledger.progress(lease(1), 1, (0..2 * MAX_POINTS as u64 + 1).map(point).collect(), "once\n");
        assert_eq!(ledger.flush(), [1, 2, 3]);
        let reports = [1, 2, 3].map(|number| match ledger.report(number).unwrap().unwrap().kind {
            Some(Kind::Points(report)) => {
                (report.points.len(), report.points[0].step, report.log.is_some())
            }
            other => panic!("{other:?}"),
        });
        assert_eq!(reports, [(MAX_POINTS, 0, true), (MAX_POINTS, 2_048, false), (1, 4_096, false)]);
    }

    #[test]
    fn leases_whose_trainer_is_held_up_wait() {
        let mut ledger =
            Ledger::new(OutboxLimits { memory: 1_000, disk: 1_000, folder: std::env::temp_dir() });
        ledger.grant(lease(1));
        let waits = |ledger: &Ledger| ledger.heartbeat(None).progress[0].waits;
        assert!(!waits(&ledger));
        ledger.progress(lease(1), 1, (0..500).map(point).collect(), "");
        ledger.flush();
        assert!(ledger.is_full() && waits(&ledger));
        ledger.acknowledge(1);
        assert!(!waits(&ledger));
    }
}
