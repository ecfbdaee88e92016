//! Leases that the worker holds, and reports that are not acknowledged yet. Pure: no clock, no
//! socket.

use std::{
    collections::{BTreeMap, HashMap},
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

/// Points of a lease that are sent at once, before the next flush.
const MANY_POINTS: usize = 256;

/// How a lease ended.
#[derive(Debug)]
pub enum End {
    /// With a result.
    Succeeded {
        /// The result.
        outcome: Outcome,
        /// SHA-256 of the data set's content.
        dataset_digest: String,
        /// The files that the trial leaves behind.
        artifacts: Vec<Artifact>,
    },
    /// Without one.
    Failed {
        /// Whether it would fail again.
        kind: v1::FailureKind,
        /// The reason.
        message: String,
        /// The end of the process's log.
        log: String,
    },
    /// Returned unfinished.
    Released,
}

#[derive(Debug, Default)]
struct HeldLease {
    /// The trainer has begun the trial.
    began: bool,
    step: u64,
    cancel: Arc<Cancel>,
    /// Points and lines of the log that are not in a report yet, and the offset of those lines.
    points: Vec<MetricPoint>,
    log: LogPart,
    end: Option<EndReport>,
}

impl HeldLease {
    fn is_running(&self) -> bool {
        self.end.is_none()
    }
}

#[derive(Debug, Clone, Copy)]
struct EndReport {
    sequence: u64,
    /// Whether the trial will not be retried. Divergence is deterministic; other failures may have
    /// other causes.
    settled: bool,
}

/// Leases and reports.
#[derive(Debug)]
pub(crate) struct Ledger {
    leases: BTreeMap<LeaseId, HeldLease>,
    pub(crate) outbox: Outbox,
    /// The newest attempt of each trial that was granted on this stream.
    granted: HashMap<TrialId, Attempt>,
}

impl Ledger {
    pub(crate) fn new(limits: OutboxLimits) -> Self {
        Self { leases: BTreeMap::new(), outbox: Outbox::new(limits), granted: HashMap::new() }
    }

    /// Prepares for a new stream: the coordinator at its other end may count attempts anew.
    pub(crate) fn forget_grants(&mut self) {
        self.granted.clear();
    }

    /// Adds a granted lease. Returns what cancels it; `None` if it was granted before, since
    /// attempts only rise.
    pub(crate) fn grant(&mut self, lease: LeaseId) -> Option<Arc<Cancel>> {
        let newest = self.granted.entry(lease.trial).or_default();
        if lease.attempt <= *newest || self.leases.contains_key(&lease) {
            return None;
        }
        *newest = lease.attempt;
        Some(Arc::clone(&self.leases.entry(lease).or_default().cancel))
    }

    /// Removes a lease that the coordinator ended; it gets no more reports. Returns whether the
    /// trainer works on it; `None` if it is not held.
    pub(crate) fn revoke(&mut self, lease: LeaseId) -> Option<bool> {
        let held = self.leases.remove(&lease)?;
        held.cancel.ask(Stop::Abandon);
        Some(held.is_running())
    }

    /// Asks the trainer to return all leases.
    pub(crate) fn cancel_all(&self) {
        self.leases.values().for_each(|held| held.cancel.ask(Stop::GiveBack));
    }

    /// Notes that the trainer begins a trial.
    pub(crate) fn begin(&mut self, lease: LeaseId) {
        if let Some(held) = self.leases.get_mut(&lease) {
            held.began = true;
        }
    }

    /// Adds a trial's progress. Returns whether there are enough points to be sent.
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
        self.held().into_iter().flat_map(|lease| self.flush_one(lease)).collect()
    }

    fn flush_one(&mut self, lease: LeaseId) -> Vec<u64> {
        let Some(held) = self.leases.get_mut(&lease) else { return Vec::new() };
        let mut points: Vec<_> = held.points.drain(..).map(v1::MetricPoint::from).collect();
        let offset = held.log.offset + held.log.text.len() as u64;
        let log = std::mem::replace(&mut held.log, LogPart { offset, text: String::new() });
        let mut log = Some(log).filter(|part| !part.text.is_empty());
        let mut reports = Vec::new();
        while !points.is_empty() || log.is_some() {
            let later = points.split_off(points.len().min(MAX_POINTS));
            let (points, log) = (std::mem::replace(&mut points, later), log.take().map(Into::into));
            let report = v1::Points { lease: Some(lease.into()), points, log };
            reports.push(self.outbox.push(Kind::Points(report)));
        }
        reports
    }

    /// Ends a lease. Returns the numbers of the new reports: last points, files, end.
    pub(crate) fn end(&mut self, lease: LeaseId, end: End) -> Vec<u64> {
        if !self.leases.contains_key(&lease) {
            return Vec::new();
        }
        let mut reports = self.flush_one(lease);
        let id = Some(lease.into());
        let (settled, kind) = match end {
            End::Succeeded { outcome, dataset_digest, artifacts } => {
                for part in artifacts.iter().flat_map(Artifact::parts) {
                    let part = Kind::Artifact(wire::artifact_part(lease, part));
                    reports.push(self.outbox.push(part));
                }
                let outcome = wire::outcome_values(&outcome);
                (true, Kind::Succeeded(v1::Succeeded { lease: id, outcome, dataset_digest }))
            }
            End::Failed { kind, message, log } => (
                kind == v1::FailureKind::Diverged,
                Kind::Failed(v1::Failed { lease: id, kind: kind.into(), message, log }),
            ),
            End::Released => (false, Kind::Released(v1::Released { lease: id })),
        };
        let sequence = self.outbox.push(kind);
        reports.push(sequence);
        if let Some(held) = self.leases.get_mut(&lease) {
            held.end = Some(EndReport { sequence, settled });
        }
        reports
    }

    /// Returns all leases that have not ended. Returns the numbers of the new reports.
    pub(crate) fn release_all(&mut self) -> Vec<u64> {
        let mut running = self.held();
        running.retain(|lease| self.leases[lease].is_running());
        running.into_iter().flat_map(|lease| self.end(lease, End::Released)).collect()
    }

    /// Notes that everything up to this number is on the coordinator's disk. Returns the trials
    /// that are settled by it.
    pub(crate) fn acknowledge(&mut self, through: u64) -> Vec<TrialId> {
        self.outbox.acknowledge(through);
        let mut settled = Vec::new();
        self.leases.retain(|lease, held| {
            let ended = held.end.filter(|end| end.sequence <= through);
            settled.extend(ended.filter(|end| end.settled).map(|_| lease.trial));
            ended.is_none()
        });
        settled
    }

    /// Leases that are worked on or whose reports wait.
    pub(crate) fn held(&self) -> Vec<LeaseId> {
        self.leases.keys().copied().collect()
    }

    /// The steps of all leases, which keeps them from expiring. A lease that has ended is among
    /// them until its end has been sent; `unsent` is the first report that has not. A lease waits
    /// if its end is unsent, if the outbox is full and its trainer has to pause, or if the trainer
    /// works on others first.
    pub(crate) fn heartbeat(&self, unsent: Option<u64>) -> v1::Heartbeat {
        let is_full = self.outbox.is_full();
        let is_busy = self.leases.values().any(|held| held.began && held.is_running());
        let progress = |(lease, held): (&LeaseId, &HeldLease)| {
            let waits = match held.end {
                None => is_full || (is_busy && !held.began),
                Some(end) if unsent.is_some_and(|unsent| unsent <= end.sequence) => true,
                // The coordinator may have its end already: then the lease is over.
                Some(_) => return None,
            };
            Some(v1::Progress { lease: Some((*lease).into()), step: held.step, waits })
        };
        v1::Heartbeat { progress: self.leases.iter().filter_map(progress).collect() }
    }

    /// Number of leases that are worked on.
    pub(crate) fn running(&self) -> usize {
        self.leases.values().filter(|held| held.is_running()).count()
    }

    /// Whether no lease is held and no report waits.
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
    fn a_lease_stays_until_its_reports_are_acknowledged() {
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
        let points = ledger.outbox.message(2).unwrap().and_then(|report| report.kind);
        let log = v1::LogPart { offset: 5, text: "one\ntwo\n".to_owned() };
        assert!(
            matches!(points, Some(Kind::Points(ref points)) if points.log == Some(log) && points.points.len() == 1)
        );
        let part = ledger.outbox.message(4).unwrap().and_then(|report| report.kind);
        assert!(
            matches!(part, Some(Kind::Artifact(ref part)) if part.offset == MAX_PART_BYTES as u64)
        );
        assert_eq!(ledger.outbox.sequences().count(), 5);
        assert!(ledger.acknowledge(4).is_empty());
        assert_eq!((ledger.outbox.sequences().count(), ledger.held()), (1, vec![lease(1)]));
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
            "a returned lease has no result"
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
    fn many_points_are_sent_at_once() {
        let mut ledger = ledger();
        ledger.grant(lease(1));
        assert!(!ledger.progress(lease(1), 1, vec![point(1)], ""));
        assert!(ledger.progress(lease(1), 1, (0..MANY_POINTS as u64).map(point).collect(), ""));
    }

    #[test]
    fn a_report_has_at_most_max_points() {
        let mut ledger = ledger();
        ledger.grant(lease(1));
        ledger.progress(lease(1), 1, (0..2 * MAX_POINTS as u64 + 1).map(point).collect(), "once\n");
        assert_eq!(ledger.flush(), [1, 2, 3]);
        let reports =
            [1, 2, 3].map(|number| match ledger.outbox.message(number).unwrap().unwrap().kind {
                Some(Kind::Points(report)) => {
                    (report.points.len(), report.points[0].step, report.log.is_some())
                }
                other => panic!("{other:?}"),
            });
        assert_eq!(reports, [(MAX_POINTS, 0, true), (MAX_POINTS, 2_048, false), (1, 4_096, false)]);
    }

    #[test]
    fn leases_wait_while_the_outbox_is_full() {
        let mut ledger =
            Ledger::new(OutboxLimits { memory: 1_000, disk: 1_000, folder: std::env::temp_dir() });
        ledger.grant(lease(1));
        let waits = |ledger: &Ledger| ledger.heartbeat(None).progress[0].waits;
        assert!(!waits(&ledger));
        ledger.progress(lease(1), 1, (0..500).map(point).collect(), "");
        ledger.flush();
        assert!(ledger.outbox.is_full() && waits(&ledger));
        ledger.acknowledge(1);
        assert!(!waits(&ledger));
    }

    /// The trainer computes one shape at a time, and only its running trials can hang.
    #[test]
    fn leases_wait_behind_begun_ones() {
        let mut ledger = ledger();
        let waits = |ledger: &Ledger| -> Vec<_> {
            ledger.heartbeat(None).progress.iter().map(|progress| progress.waits).collect()
        };
        ledger.grant(lease(1));
        ledger.grant(lease(2));
        assert_eq!(waits(&ledger), [false, false], "the trainer may hang before it begins");
        ledger.begin(lease(1));
        assert_eq!(waits(&ledger), [false, true]);
        ledger.end(lease(1), End::Released);
        assert_eq!(waits(&ledger), [false], "nothing is left to wait for");
        ledger.begin(lease(2));
        assert_eq!(waits(&ledger), [false]);
    }
}
