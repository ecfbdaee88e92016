//! Messages of workers: joins, asks, reports, goodbyes. Answers wait for the commit.

use swfn_shared::{
    artifacts::is_wanted,
    ids::{LeaseId, WorkerId},
    quote::one_line,
};
use tracing::{debug, info, warn};

use super::{
    FromWorker, Hello, Reply, SessionId, Turn, TurnContext, Write,
    message::{FINISHED, LEAVE, drain},
};
use crate::{Admission, Command, FailureKind, LeaseReport};

impl Turn {
    /// Lets a worker join on a new stream.
    ///
    /// # Errors
    /// The reason why it is refused.
    pub fn join(
        &mut self,
        at: &mut TurnContext<'_>,
        session: SessionId,
        hello: Hello,
    ) -> Result<(), String> {
        let Hello { worker, holder, mut predecessor, mut held } = hello;
        if !self.holders.claim(&worker, holder) {
            return Err(format!(
                "worker id `{worker}` belongs to the holder of another certificate\n\
                 hint: each worker process draws an id of its own; start the worker anew"
            ));
        }
        // The worker itself may join: its certificate may have been renewed in between.
        let foreign = predecessor.take_if(|dead| !self.holders.may_speak_for(&dead.worker, holder));
        if let Some(dead) = foreign {
            let predecessor = dead.worker;
            warn!(%worker, %predecessor, "ignored a predecessor, which has another certificate");
        }
        held.sort_unstable();
        held.dedup();
        if !held.is_empty() {
            let admitted = |lease: &&LeaseId| self.admit(at, &worker, **lease).is_some();
            let leases = held.iter().filter(admitted).copied().collect();
            self.replies.push((worker.clone(), Reply::Confirm { leases }));
        }
        self.end_session(&worker);
        if let Some(dead) = &predecessor {
            // Its last messages may still come, and its ask would stand.
            self.end_session(&dead.worker);
            if dead.innocent {
                let end = one_line(&dead.end);
                warn!(worker = %dead.worker, "its leases were returned, without blame: {end}");
            }
            self.leaving.remove(&dead.worker);
        }
        self.sessions.insert(worker.clone(), session);
        self.apply(at, &Command::Joined { worker: worker.clone(), predecessor, held }).ok();
        if self.drained {
            self.replies.push((worker, drain(FINISHED)));
        } else if self.leaving.contains(&worker) {
            // The stream of the first drain may have broken.
            self.replies.push((worker, drain(LEAVE)));
        }
        Ok(())
    }

    /// Takes a message of a worker. `sequence` is 0 if it needs no acknowledgement.
    pub fn hear(
        &mut self,
        at: &mut TurnContext<'_>,
        (worker, session): (&WorkerId, SessionId),
        sequence: u64,
        message: FromWorker,
    ) {
        if self.session(worker) != Some(session) {
            return;
        }
        self.apply(at, &Command::Heard { worker: worker.clone() }).ok();
        if sequence > 0 {
            // Earlier reports may come again.
            let through = self.acknowledge.entry(worker.clone()).or_default();
            *through = sequence.max(*through);
        }
        let worker = worker.clone();
        match message {
            // It was sent before the drain arrived.
            FromWorker::Ask(_) if self.leaving.contains(&worker) => {}
            FromWorker::Ask(mut capacity) => {
                capacity.vaes = self.scheduler.needed_vaes(capacity.vaes);
                self.waiting.insert(worker, capacity);
            }
            FromWorker::Reports(reports) => {
                for (lease, report) in reports {
                    self.report(at, &worker, lease, report);
                }
            }
            FromWorker::Points { lease, points, log } => {
                // A trial that has succeeded has its points.
                if self.admit(at, &worker, lease) == Some(Admission::Live) {
                    self.writes.extend(log.map(|part| Write::Log(lease, part)));
                    if !points.is_empty() {
                        self.writes.push(Write::Points { lease, worker, points });
                    }
                }
            }
            FromWorker::Artifact { lease, part } => {
                let admission = self.admit(at, &worker, lease);
                // An earlier grid may have asked for it. A trial that has succeeded has its files.
                if admission == Some(Admission::Live) && is_wanted(self.artifacts, part.name) {
                    self.writes.push(Write::File(lease, part));
                }
            }
            FromWorker::Succeeded { lease, outcome, dataset_digest } => {
                if self.report(at, &worker, lease, LeaseReport::Succeeded) {
                    self.writes.push(Write::Result { lease, worker, outcome, dataset_digest });
                }
            }
            // It fails the attempt, and the worker goes on.
            FromWorker::Refused { lease, problem } => {
                let error = format!("a report of worker `{worker}` was refused: {problem}");
                let (kind, log, reason) = (FailureKind::Error, String::new(), error.clone());
                let failed = LeaseReport::Failed { kind, error, log };
                if self.report(at, &worker, lease, failed) {
                    self.revoke(&worker, lease, reason);
                }
            }
            FromWorker::Goodbye => {
                info!(%worker, "worker left");
                self.apply(at, &Command::Left { worker: worker.clone() }).ok();
                self.leaving.remove(&worker);
                self.end_session(&worker);
            }
            // Acknowledged like all others.
            FromWorker::Unknown => debug!(%worker, "ignored a message of a newer version"),
        }
    }

    /// The standing of a lease; `None`, and the lease is revoked, if it is over.
    fn admit(
        &mut self,
        at: &mut TurnContext<'_>,
        worker: &WorkerId,
        lease: LeaseId,
    ) -> Option<Admission> {
        let admission = at.rules.admit(&self.scheduler, worker, lease);
        admission.map_err(|rejection| self.revoke(worker, lease, rejection.to_string())).ok()
    }

    /// Applies a report of a lease, or revokes it. True if anything changed.
    fn report(
        &mut self,
        at: &mut TurnContext<'_>,
        worker: &WorkerId,
        lease: LeaseId,
        report: LeaseReport,
    ) -> bool {
        let events = self.apply(at, &Command::Reported { worker: worker.clone(), lease, report });
        let events = events.map_err(|rejection| self.revoke(worker, lease, rejection.to_string()));
        events.is_ok_and(|events| !events.is_empty())
    }

    pub(super) fn revoke(&mut self, worker: &WorkerId, lease: LeaseId, reason: String) {
        let revoked = self.revoked.entry(worker.clone()).or_default();
        // Several messages of a turn may be about it, but it is revoked once.
        if revoked.leases.insert(lease) {
            revoked.first.get_or_insert_with(|| reason.clone());
            self.replies.push((worker.clone(), Reply::Revoke { lease, reason }));
        }
    }
}
