//! What workers say: who comes and goes, and what becomes of what they report. Nothing is answered here: answers wait for the commit.

use swfn_shared::{
    ids::{LeaseId, WorkerId},
    quote::one_line,
};
use tracing::{debug, info, warn};

use super::{
    At, FromWorker, Hello, Progress, Reply, SessionId, Turn, Write,
    message::{FINISHED, LEAVE, drain},
};
use crate::{Admission, Command, FailureKind, Rejection};

impl Turn {
    /// A worker opens a stream. The reason why it is not welcome, if so.
    pub fn join(
        &mut self,
        at: &mut At<'_>,
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
        // No reason to turn the worker itself away: its certificate may have been renewed in between. Leases of the other expire as usual.
        if let Some(dead) =
            predecessor.take_if(|dead| !self.holders.may_speak_for(&dead.worker, holder))
        {
            warn!(%worker, predecessor = %dead.worker, "the predecessor is another certificate's, and left alone");
        }
        held.sort_unstable();
        held.dedup();
        let mut confirmed = Vec::new();
        for lease in &held {
            match at.rules.admit(&self.scheduler, &worker, *lease) {
                Ok(Admission::Live | Admission::Repeated) => confirmed.push(*lease),
                Err(rejection) => self.revoke(&worker, *lease, &rejection),
            }
        }
        if !held.is_empty() {
            self.replies.push((worker.clone(), Reply::Confirm { leases: confirmed }));
        }
        self.end_session(&worker);
        if let Some(dead) = &predecessor {
            // What it said last may still be on its way, and its ask would stand.
            self.end_session(&dead.worker);
            if dead.innocent {
                warn!(worker = %dead.worker, "given back, and nobody is to blame: {}", one_line(&dead.end));
            }
            self.leaving.remove(&dead.worker);
        }
        self.sessions.insert(worker.clone(), session);
        self.apply(at, &Command::Joined { worker: worker.clone(), predecessor, held }).ok();
        if self.drained {
            self.replies.push((worker, drain(FINISHED)));
        } else if self.leaving.contains(&worker) {
            // The stream on which it was told may have broken first.
            self.replies.push((worker, drain(LEAVE)));
        }
        Ok(())
    }

    /// A worker says something on its stream. `sequence` is 0 for what needs no acknowledgement.
    pub fn hear(
        &mut self,
        at: &mut At<'_>,
        (worker, session): (&WorkerId, SessionId),
        sequence: u64,
        message: FromWorker,
    ) {
        if !self.is_current(worker, session) {
            return;
        }
        self.apply(at, &Command::Heard { worker: worker.clone() }).ok();
        if sequence > 0 {
            // Repetitions of earlier reports take nothing back.
            let through = self.acknowledge.entry(worker.clone()).or_default();
            *through = sequence.max(*through);
        }
        let worker = worker.clone();
        match message {
            // On its way when the worker was told to leave.
            FromWorker::Ask(_) if self.leaving.contains(&worker) => {}
            FromWorker::Ask(mut capacity) => {
                // In place of what it asked for before.
                capacity.vaes = self.scheduler.of_sweep(capacity.vaes);
                self.waiting.insert(worker, capacity);
            }
            FromWorker::Heartbeat { progress } => {
                for Progress { lease, step, waits } in progress {
                    let progressed =
                        Command::Progressed { worker: worker.clone(), lease, step, waits };
                    self.of_lease(at, &worker, lease, &progressed);
                }
            }
            FromWorker::Points { lease, points, log } => {
                match at.rules.admit(&self.scheduler, &worker, lease) {
                    Ok(Admission::Live) => {
                        self.writes.extend(log.map(|part| Write::Log(lease, part)));
                        if !points.is_empty() {
                            self.writes.push(Write::Points { lease, worker, points });
                        }
                    }
                    // A trial that has succeeded has its points.
                    Ok(Admission::Repeated) => {}
                    Err(rejection) => self.revoke(&worker, lease, &rejection),
                }
            }
            FromWorker::Artifact { lease, part } => {
                match at.rules.admit(&self.scheduler, &worker, lease) {
                    // What an earlier grid asked for is not wanted any more, and a trial that has succeeded has its files.
                    Ok(Admission::Live) if self.artifacts.want(part.name) => {
                        self.writes.push(Write::File(lease, part))
                    }
                    Ok(Admission::Live | Admission::Repeated) => {}
                    Err(rejection) => self.revoke(&worker, lease, &rejection),
                }
            }
            FromWorker::Succeeded { lease, outcome, dataset_digest } => {
                if self.of_lease(
                    at,
                    &worker,
                    lease,
                    &Command::Succeeded { worker: worker.clone(), lease },
                ) {
                    self.writes.push(Write::Result { lease, worker, outcome, dataset_digest });
                }
            }
            FromWorker::Failed { lease, kind, error, log } => {
                self.of_lease(
                    at,
                    &worker,
                    lease,
                    &Command::Failed { worker: worker.clone(), lease, kind, error, log },
                );
            }
            FromWorker::Refused { lease, problem } => self.refuse(at, &worker, lease, &problem),
            FromWorker::Released { lease } => {
                self.of_lease(
                    at,
                    &worker,
                    lease,
                    &Command::Released { worker: worker.clone(), lease },
                );
            }
            FromWorker::Goodbye => {
                info!(%worker, "worker left");
                self.apply(at, &Command::Left { worker: worker.clone() }).ok();
                self.leaving.remove(&worker);
                self.end_session(&worker);
            }
            // Acknowledged like all others.
            FromWorker::Unknown => debug!(%worker, "it said what only a newer coordinator knows"),
        }
    }

    /// Applies what a worker says of a lease; tells it when the lease is over. True when something came of it.
    fn of_lease(
        &mut self,
        at: &mut At<'_>,
        worker: &WorkerId,
        lease: LeaseId,
        command: &Command,
    ) -> bool {
        match self.apply(at, command) {
            Ok(events) => !events.is_empty(),
            Err(rejection) => {
                self.revoke(worker, lease, &rejection);
                false
            }
        }
    }

    /// A report that cannot be true: its attempt has failed, and the worker goes on.
    fn refuse(&mut self, at: &mut At<'_>, worker: &WorkerId, lease: LeaseId, problem: &str) {
        let error = format!("a report of worker `{worker}` was refused: {problem}");
        let (kind, log) = (FailureKind::Error, String::new());
        let told = error.clone();
        if self.of_lease(
            at,
            worker,
            lease,
            &Command::Failed { worker: worker.clone(), lease, kind, error, log },
        ) {
            self.tell_revoked(worker, lease, told);
        }
    }

    fn revoke(&mut self, worker: &WorkerId, lease: LeaseId, rejection: &Rejection) {
        self.tell_revoked(worker, lease, rejection.to_string());
    }

    pub(super) fn tell_revoked(&mut self, worker: &WorkerId, lease: LeaseId, reason: String) {
        let revoked = self.revoked.entry(worker.clone()).or_default();
        // Whatever a worker sends of a dead lease in one go, it is told once.
        if revoked.leases.insert(lease) {
            revoked.first.get_or_insert_with(|| reason.clone());
            self.replies.push((worker.clone(), Reply::Revoke { lease, reason }));
        }
    }
}
