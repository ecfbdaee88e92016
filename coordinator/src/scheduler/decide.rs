//! What follows from a command. Nothing changes here; [`Scheduler::evolve`] applies the events.

use std::time::Duration;

use swfn_shared::{
    faults,
    ids::{LeaseId, ShapeId, VaeId, WorkerId},
};

use super::{
    command::{Command, Event, FailureKind, Rejection},
    fencing::Admission,
    state::{Lease, Scheduler, Trial, TrialState, Worker},
};

impl Scheduler {
    /// The events that a command brings about at time `now`, or why it has no effect.
    pub(crate) fn decide(&self, now: Duration, command: &Command) -> Result<Vec<Event>, Rejection> {
        match command {
            Command::Joined { worker, predecessor, held } => Ok(self.joined(worker, predecessor.as_ref(), held)),
            Command::Asked { worker, lanes, shape, vaes } => self.asked(now, worker, *lanes, *shape, vaes),
            // Whoever is heard is there, also after a silence for which it was taken off the list.
            Command::Heard { worker } => Ok(vec![Event::WorkerHeard { worker: worker.clone() }]),
            Command::Progressed { worker, lease, step } => {
                self.of_live(worker, *lease, |_| Event::Progressed { lease: *lease, step: *step })
            }
            Command::Succeeded { worker, lease } => {
                self.of_live(worker, *lease, |_| Event::Succeeded { lease: *lease })
            }
            Command::Failed { worker, lease, kind, error } => self.of_live(worker, *lease, |trial| {
                let quarantine = *kind == FailureKind::Diverged || trial.failures + 1 >= self.limits.max_failures;
                Event::Failed { lease: *lease, error: error.clone(), quarantine }
            }),
            Command::Released { worker, lease } if faults::bug("what-is-given-back-is-a-loss") => {
                self.of_live(worker, *lease, |_| Event::Lost { lease: *lease, error: String::new(), quarantine: false })
            }
            Command::Released { worker, lease } => self.of_live(worker, *lease, |_| Event::Released { lease: *lease }),
            Command::Left { worker } => {
                let leases = self.worker(worker)?.leases.iter().map(|index| &self.trials[*index]);
                let released = leases.map(|trial| Event::Released { lease: trial.newest_lease() });
                Ok(released.chain([Event::WorkerLeft { worker: worker.clone() }]).collect())
            }
            Command::Tick => Ok(self.expired(now)),
        }
    }

    fn worker(&self, id: &WorkerId) -> Result<&Worker, Rejection> {
        self.workers.get(id).ok_or_else(|| Rejection::UnknownWorker(id.clone()))
    }

    /// The event of a message about a live lease; nothing when the message is a repetition.
    fn of_live(
        &self,
        worker: &WorkerId,
        lease: LeaseId,
        event: impl FnOnce(&Trial) -> Event,
    ) -> Result<Vec<Event>, Rejection> {
        match self.admit(worker, lease)? {
            Admission::Live => Ok(vec![event(&self.trials[self.by_id[&lease.trial]])]),
            Admission::Repeated => Ok(Vec::new()),
        }
    }

    fn joined(&self, worker: &WorkerId, predecessor: Option<&WorkerId>, held: &[LeaseId]) -> Vec<Event> {
        let mut events = Vec::new();
        if let Some(dead) = predecessor.filter(|dead| *dead != worker)
            && let Some(state) = self.workers.get(dead)
        {
            let reason = "its worker process ended";
            events.extend(state.leases.iter().filter_map(|index| self.lost(&self.trials[*index], reason)));
            events.push(Event::WorkerLeft { worker: dead.clone() });
        }
        if let Some(state) = self.workers.get(worker) {
            // A grant that the worker does not know of was lost on its way: nobody works on it.
            for trial in state.leases.iter().map(|index| &self.trials[*index]) {
                let lease = trial.newest_lease();
                if !held.contains(&lease) {
                    events.push(Event::Released { lease });
                }
            }
        }
        events.push(Event::WorkerJoined { worker: worker.clone() });
        events
    }

    fn asked(
        &self,
        now: Duration,
        worker: &WorkerId,
        lanes: u32,
        shape: Option<ShapeId>,
        vaes: &[VaeId],
    ) -> Result<Vec<Event>, Rejection> {
        let state = self.worker(worker)?;
        let lanes = usize::try_from(lanes).unwrap_or(usize::MAX);
        let news = (state.lanes != Some(lanes)).then(|| Event::WorkerAsked { worker: worker.clone(), lanes });
        let wanted = self.share(now, worker, lanes).saturating_sub(state.leases.len());
        let leased = |index| {
            let trial: &Trial = &self.trials[index];
            Event::Leased { lease: LeaseId { trial: trial.id, attempt: trial.next_attempt() }, worker: worker.clone() }
        };
        Ok(news.into_iter().chain(self.pending.pick(wanted, shape, vaes).into_iter().map(leased)).collect())
    }

    fn expired(&self, now: Duration) -> Vec<Event> {
        let mut events = Vec::new();
        for (id, worker) in &self.workers {
            let mut live = false;
            for trial in worker.leases.iter().map(|index| &self.trials[*index]) {
                match &trial.state {
                    TrialState::Leased(_) if faults::bug("leases-never-end") => live = true,
                    TrialState::Leased(lease) if lease.deadline <= now => {
                        events.extend(self.lost(trial, &self.expiry(now, lease)));
                    }
                    _ => live = true,
                }
            }
            if !live && now.saturating_sub(worker.heard) >= self.limits.lease {
                events.push(Event::WorkerLeft { worker: id.clone() });
            }
        }
        events
    }

    fn expiry(&self, now: Duration, lease: &Lease) -> String {
        if now.saturating_sub(lease.moved) >= self.limits.stall {
            format!("worker `{}` stood still at step {} for {:?}", lease.worker, lease.step, self.limits.stall)
        } else {
            format!("worker `{}` was silent for {:?}", lease.worker, self.limits.lease)
        }
    }

    fn lost(&self, trial: &Trial, reason: &str) -> Option<Event> {
        let TrialState::Leased(lease) = &trial.state else { return None };
        let lease = LeaseId { trial: trial.id, attempt: lease.attempt };
        let quarantine = trial.losses + 1 >= self.limits.max_losses;
        Some(Event::Lost { lease, error: reason.to_owned(), quarantine })
    }
}
