//! What workers and persons say: who comes and goes, and what becomes of what they report. Nothing is answered here: answers wait for
//! the commit.

use std::collections::HashSet;

use swfn_scheduler::{Admission, Command, FailureKind, Rejection};
use swfn_shared::{
    artifacts::{self, Artifacts},
    capacity::Capacity,
    ids::{LeaseId, WorkerId},
    quote::one_line,
    trial::TrialSpec,
};
use swfn_store::{ResultRow, WorkerRow};
use tracing::{debug, info, warn};

use super::{
    actor::{Engine, Session},
    mailbox::Mailbox,
    message::{Drained, FromWorker, Hello, Holder, Progress, Reply, SessionId},
    planted,
};

impl Engine {
    pub(super) fn end_session(&mut self, worker: &WorkerId) {
        self.sessions.remove(worker);
        self.meters.leave(worker);
        self.waiting.remove(worker);
    }

    pub(super) fn join(&mut self, session: SessionId, mut hello: Hello, replies: Mailbox) {
        let worker = hello.worker.id.clone();
        if !self.holders.claim(&worker, hello.holder) {
            warn!(%worker, host = hello.worker.host, holder = %hello.holder, "refused: the id is another certificate's");
            let reason = format!(
                "worker id `{worker}` belongs to the holder of another certificate\n\
                 hint: each worker process draws an id of its own; start the worker anew"
            );
            replies.post(&self.unread, Reply::Deny { reason }).ok();
            return;
        }
        // No reason to turn the worker itself away: its certificate may have been renewed in between. Leases of the other expire as usual.
        let foreign = |dead: &WorkerId| !self.holders.may_speak_for(dead, hello.holder);
        if let Some(dead) = hello.predecessor.take_if(|dead| foreign(&dead.worker)) {
            warn!(%worker, predecessor = %dead.worker, "the predecessor is another certificate's, and left alone");
        }
        info!(%worker, host = hello.worker.host, device = hello.worker.device, model = hello.worker.model, "worker joined");
        hello.held.sort_unstable();
        hello.held.dedup();
        let mut confirmed = Vec::new();
        for lease in &hello.held {
            match planted::admit(&self.scheduler, &worker, *lease) {
                Ok(Admission::Live | Admission::Repeated) => confirmed.push(*lease),
                Err(rejection) => self.revoke(&worker, *lease, &rejection),
            }
        }
        if !hello.held.is_empty() {
            self.replies.push((worker.clone(), Reply::Confirm { leases: confirmed }));
        }
        self.end_session(&worker);
        if let Some(dead) = &hello.predecessor {
            // What it said last may still be on its way, and its ask would stand.
            self.end_session(&dead.worker);
            if dead.innocent {
                warn!(worker = %dead.worker, "given back, and nobody is to blame: {}", one_line(&dead.end));
            }
            self.leaving.remove(&dead.worker);
        }
        self.meters.join(&hello.worker);
        let row = WorkerRow { certificate: hello.holder.certificate(), ..hello.worker };
        self.sessions.insert(worker.clone(), Session { id: session, replies, worker: row.clone() });
        self.batch.workers.push(row);
        self.apply(&Command::Joined { worker: worker.clone(), predecessor: hello.predecessor, held: hello.held }).ok();
        if self.drained {
            self.replies.push((worker, drain(FINISHED)));
        } else if self.leaving.contains(&worker) {
            // The stream on which it was told may have broken first.
            self.replies.push((worker, drain(LEAVE)));
        }
    }

    pub(super) fn drain_workers(&mut self, ids: &[String], now: bool, holder: Holder) -> Drained {
        let mut answer = Drained::default();
        let ids: HashSet<&str> = ids.iter().map(String::as_str).collect();
        let workers: Vec<WorkerId> = self.sessions.keys().cloned().collect();
        for worker in workers {
            let name = worker.to_string();
            if !(1..=name.len()).any(|end| name.get(..end).is_some_and(|beginning| ids.contains(beginning))) {
                answer.others.push(worker);
            } else if !self.holders.may_send_away(&worker, holder) {
                answer.foreign.push(worker);
            } else {
                self.send_away(worker.clone(), now);
                answer.drained.push(worker);
            }
        }
        answer
    }

    fn send_away(&mut self, worker: WorkerId, now: bool) {
        self.waiting.remove(&worker);
        self.leaving.insert(worker.clone());
        let nothing = Command::Asked { worker: worker.clone(), capacity: Capacity::default() };
        self.apply(&nothing).ok();
        if now {
            for lease in self.scheduler.leases_of(&worker) {
                self.apply(&Command::Released { worker: worker.clone(), lease }).ok();
                self.tell_revoked(&worker, lease, "somebody took back what this worker holds".to_owned());
            }
        }
        self.replies.push((worker, drain(LEAVE)));
    }

    pub(super) fn hear(&mut self, worker: &WorkerId, sequence: u64, message: FromWorker) {
        self.apply(&Command::Heard { worker: worker.clone() }).ok();
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
                    self.of_lease(&worker, lease, Command::Progressed { worker: worker.clone(), lease, step, waits });
                }
            }
            FromWorker::Points { lease, points, log } => match planted::admit(&self.scheduler, &worker, lease) {
                Ok(Admission::Live) => {
                    if let Some(spec) = self.scheduler.spec(lease.trial)
                        && let Err(problem) = self.plausibility.points(lease, spec, &points)
                    {
                        return self.refuse(&worker, lease, &problem);
                    }
                    self.meters.points(&worker, points.len());
                    if !points.is_empty() {
                        self.batch.points.push((lease, points));
                    }
                    self.said.extend(log.map(|part| (lease, part)));
                }
                // A trial that has succeeded has its points.
                Ok(Admission::Repeated) => {}
                Err(rejection) => self.revoke(&worker, lease, &rejection),
            },
            FromWorker::Artifact { lease, part } => match planted::admit(&self.scheduler, &worker, lease) {
                // What an earlier grid asked for is not wanted any more, and a trial that has succeeded has its files.
                Ok(Admission::Live) if self.artifacts.want(part.name) => self.parts.push((lease, part)),
                Ok(Admission::Live | Admission::Repeated) => {}
                Err(rejection) => self.revoke(&worker, lease, &rejection),
            },
            FromWorker::Succeeded { lease, outcome, dataset_digest } => {
                if planted::admit(&self.scheduler, &worker, lease) == Ok(Admission::Live)
                    && let Some(spec) = self.scheduler.spec(lease.trial).copied()
                {
                    let believed = self
                        .has_files(&spec)
                        .and_then(|()| self.plausibility.outcome(lease, &spec, &outcome, dataset_digest));
                    if let Err(problem) = believed {
                        return self.refuse(&worker, lease, &problem);
                    }
                }
                if self.of_lease(&worker, lease, Command::Succeeded { worker: worker.clone(), lease }) {
                    if let Some(spec) = self.scheduler.spec(lease.trial) {
                        self.meters.result(&worker, spec, &outcome);
                        self.ledger.add(spec, &outcome);
                    }
                    self.batch.results.push(ResultRow { lease, worker, outcome, dataset_digest });
                }
            }
            FromWorker::Failed { lease, kind, error, log } => {
                self.of_lease(&worker, lease, Command::Failed { worker: worker.clone(), lease, kind, error, log });
            }
            FromWorker::Refused { lease, problem } => self.refuse(&worker, lease, &problem),
            FromWorker::Released { lease } => {
                self.of_lease(&worker, lease, Command::Released { worker: worker.clone(), lease });
            }
            FromWorker::Goodbye => {
                info!(%worker, "worker left");
                self.apply(&Command::Left { worker: worker.clone() }).ok();
                self.leaving.remove(&worker);
                self.end_session(&worker);
            }
            // Acknowledged like all others.
            FromWorker::Unknown => debug!(%worker, "it said what only a newer coordinator knows"),
        }
    }

    /// Applies what a worker says of a lease; tells it when the lease is over. True when something came of it.
    fn of_lease(&mut self, worker: &WorkerId, lease: LeaseId, command: Command) -> bool {
        match self.apply(&command) {
            Ok(events) => !events.is_empty(),
            Err(rejection) => {
                self.revoke(worker, lease, &rejection);
                false
            }
        }
    }

    /// A report that cannot be true: its attempt has failed, and the worker goes on.
    fn refuse(&mut self, worker: &WorkerId, lease: LeaseId, problem: &str) {
        let error = format!("a report of worker `{worker}` was refused: {problem}");
        let (kind, log) = (FailureKind::Error, String::new());
        let told = error.clone();
        if self.of_lease(worker, lease, Command::Failed { worker: worker.clone(), lease, kind, error, log }) {
            self.tell_revoked(worker, lease, told);
        }
    }

    /// Whether the files of a trial are there that the grid file asks for. Those of this turn are written first.
    fn has_files(&mut self, spec: &TrialSpec) -> Result<(), String> {
        let wanted = Artifacts { vae_sheet: self.artifacts.vae_sheet && spec.vae().is_some(), ..self.artifacts };
        if wanted == Artifacts::default() {
            return Ok(());
        }
        let parts = std::mem::take(&mut self.parts);
        if self.folder.write(&parts).is_err() {
            // Nobody knows yet: the commit tries again, and waits.
            self.parts = parts;
            return Ok(());
        }
        match artifacts::NAMES.into_iter().find(|name| wanted.want(name) && !self.folder.has(spec.id(), name)) {
            Some(name) => Err(format!("the trial has no file `{name}`, which the grid file asks for")),
            None => Ok(()),
        }
    }

    fn revoke(&mut self, worker: &WorkerId, lease: LeaseId, rejection: &Rejection) {
        self.tell_revoked(worker, lease, rejection.to_string());
    }

    fn tell_revoked(&mut self, worker: &WorkerId, lease: LeaseId, reason: String) {
        let revoked = self.revoked.entry(worker.clone()).or_default();
        // Whatever a worker sends of a dead lease in one go, it is told once.
        if revoked.leases.insert(lease) {
            revoked.first.get_or_insert_with(|| reason.clone());
            self.replies.push((worker.clone(), Reply::Revoke { lease, reason }));
        }
    }
}

pub(super) const FINISHED: &str = "the sweep is finished";

const LEAVE: &str = "somebody told this worker to leave when it is done";

pub(super) fn drain(reason: &str) -> Reply {
    Reply::Drain { reason: reason.to_owned(), finished: reason == FINISHED }
}
