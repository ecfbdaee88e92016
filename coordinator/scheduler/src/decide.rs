//! What follows from a command. Nothing changes here; [`Scheduler::evolve`] applies the events.

use std::{collections::HashSet, time::Duration};

use swfn_shared::{
    capacity::Capacity,
    event::{Act, Blame, Event},
    ids::{LeaseId, TrialId, WorkerDevice, WorkerId},
};

use super::{
    command::{Command, FailureKind, Predecessor, Rejection},
    fencing::Admission,
    state::{Lease, Scheduler, Trial, TrialIndex, TrialState, Worker},
};

impl Scheduler {
    /// The events that a command brings about at time `now`, or why it has no effect.
    pub fn decide(&self, now: Duration, command: &Command) -> Result<Vec<Event>, Rejection> {
        match command {
            Command::Joined { worker, predecessor, held } => {
                Ok(self.joined(now, worker, predecessor.as_ref(), held))
            }
            Command::Asked { worker, capacity } => self.asked(now, worker, capacity),
            // Whoever is heard is there, also after a silence for which it was taken off the list.
            Command::Heard { worker } => Ok(vec![Event::WorkerHeard { worker: worker.clone() }]),
            Command::Progressed { worker, lease, step, waits } => {
                self.of_live(worker, *lease, |trial| {
                    // Beyond its own there are none, whatever a worker says.
                    Event::Progressed {
                        lease: *lease,
                        step: (*step).min(trial.spec.steps()),
                        waits: *waits,
                    }
                })
            }
            Command::Succeeded { worker, lease } => {
                self.of_live(worker, *lease, |_| Event::Succeeded { lease: *lease })
            }
            Command::Failed { worker, lease, kind, error, log } => {
                self.of_live(worker, *lease, |trial| {
                    // The same device would find the same again, but a broken one finds what is not so.
                    let limit =
                        if *kind == FailureKind::Diverged { 1 } else { self.limits.max_failures };
                    let quarantine = self.is_at_end(
                        now,
                        trial,
                        &WorkerDevice::from(worker),
                        trial.failures + 1,
                        limit,
                    );
                    Event::Failed {
                        lease: *lease,
                        error: error.clone(),
                        log: log.clone(),
                        quarantine,
                    }
                })
            }
            Command::Released { worker, lease } => {
                self.of_live(worker, *lease, |_| Event::Released { lease: *lease })
            }
            Command::Left { worker } => {
                let leases = self.worker(worker)?.leases.iter().map(|index| &self.trials[*index]);
                let released = leases.map(|trial| Event::Released { lease: trial.newest_lease() });
                Ok(released.chain([Event::WorkerLeft { worker: worker.clone() }]).collect())
            }
            Command::ByPerson { trial, act: Act::Retried } => {
                self.retried(*trial).map(|event| vec![event])
            }
            Command::Tick => Ok(self.expired(now)),
        }
    }

    fn retried(&self, trial: TrialId) -> Result<Event, Rejection> {
        let quarantined = self.by_id.get(&trial).map(|index| &self.trials[*index]);
        match quarantined.filter(|trial| matches!(trial.state, TrialState::Quarantined { .. })) {
            Some(trial) => Ok(Event::ByPerson { lease: trial.newest_lease(), act: Act::Retried }),
            None => Err(Rejection::NotQuarantined(trial)),
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

    fn joined(
        &self,
        now: Duration,
        worker: &WorkerId,
        predecessor: Option<&Predecessor>,
        held: &[LeaseId],
    ) -> Vec<Event> {
        let mut events = Vec::new();
        if let Some(dead) = predecessor.filter(|dead| dead.worker != *worker)
            && let Some(state) = self.workers.get(&dead.worker)
        {
            let reason = match dead.end.as_str() {
                "" => "its worker process ended".to_owned(),
                end => format!("its worker process ended ({end})"),
            };
            let leases: Vec<_> = state.leases.iter().copied().collect();
            if dead.innocent {
                let lease = |index: &TrialIndex| Event::Released {
                    lease: self.trials[*index].newest_lease(),
                };
                events.extend(leases.iter().map(lease));
            } else {
                events.extend(self.lost(
                    now,
                    &leases,
                    Blame::Suspected,
                    |_| reason.clone(),
                    &dead.log,
                ));
            }
            events.push(Event::WorkerLeft { worker: dead.worker.clone() });
        }
        if let Some(state) = self.workers.get(worker) {
            let held: HashSet<_> = held.iter().copied().collect();
            // A grant that the worker does not know of was lost on its way: nobody works on it.
            for trial in state.leases.iter().map(|index| &self.trials[*index]) {
                let lease = trial.newest_lease();
                if !held.contains(&lease) {
                    events.push(Event::Released { lease });
                }
            }
        }
        let anew = predecessor.is_none() && !self.workers.contains_key(worker);
        events.push(Event::WorkerJoined { worker: worker.clone(), anew });
        events
    }

    fn asked(
        &self,
        now: Duration,
        worker: &WorkerId,
        capacity: &Capacity,
    ) -> Result<Vec<Event>, Rejection> {
        let state = self.worker(worker)?;
        let lanes = usize::try_from(capacity.lanes).unwrap_or(usize::MAX);
        let news = (state.lanes != Some(lanes))
            .then(|| Event::WorkerAsked { worker: worker.clone(), lanes });
        let picked = if self.counts.pending == 0
            || state.leases.iter().any(|index| self.trials[*index].is_suspect())
        {
            Vec::new()
        } else {
            let able = self.able_places(now);
            let most = match () {
                () if self.is_set_aside(state, &able) => 0,
                () if state.reported => usize::MAX,
                () => self.limits.portion,
            };
            let wanted =
                self.share(now, worker, lanes, &able).min(most).saturating_sub(state.leases.len());
            let idle = state.leases.is_empty() && self.has_let_go(now, state);
            let elsewhere = |index: TrialIndex| able.rather_than(&state.place, &self.trials[index]);
            self.pending.pick(wanted, capacity.shape, &capacity.vaes, idle, elsewhere)
        };
        let leased = |index| {
            let trial: &Trial = &self.trials[index];
            Event::Leased {
                lease: LeaseId { trial: trial.id, attempt: trial.next_attempt() },
                worker: worker.clone(),
            }
        };
        Ok(news.into_iter().chain(picked.into_iter().map(leased)).collect())
    }

    /// Whether it has nothing at work any more that it lost: by then it has heard of it and stopped, or was given up because it did not.
    fn has_let_go(&self, now: Duration, worker: &Worker) -> bool {
        worker
            .lost
            .is_none_or(|lost| now.saturating_sub(lost) >= self.limits.lease + self.limits.stall)
    }

    fn expired(&self, now: Duration) -> Vec<Event> {
        let mut events = Vec::new();
        for (id, worker) in &self.workers {
            let leases: Vec<_> = worker.leases.iter().copied().collect();
            if self.is_silent(now, worker) {
                let silent =
                    |_: &Lease| format!("worker `{id}` was silent for {:?}", self.limits.lease);
                events.extend(self.lost(now, &leases, Blame::Among, silent, ""));
                events.push(Event::WorkerLeft { worker: id.clone() });
            } else {
                let stalled = |lease: &Lease| {
                    format!(
                        "worker `{id}` stood still at step {} for {:?}",
                        lease.step, self.limits.stall
                    )
                };
                let still = self.stalled(now, &leases);
                events.extend(self.lost(now, &still, Blame::Suspected, stalled, ""));
                // Both are in order.
                let too_long = |index: &TrialIndex| {
                    still.binary_search(index).is_err() && self.is_too_long(now, *index, worker)
                };
                let too_long: Vec<_> = leases.into_iter().filter(too_long).collect();
                let over = |lease: &Lease| {
                    let minutes = now.saturating_sub(lease.granted).as_secs() / 60;
                    format!(
                        "worker `{id}` had it for {minutes} minutes and was at step {}: longer than `[run] trial_minutes` allows",
                        lease.step
                    )
                };
                events.extend(
                    too_long
                        .iter()
                        .flat_map(|index| self.lost(now, &[*index], Blame::Alone, over, "")),
                );
            }
        }
        events
    }

    /// Of the leases of one worker those whose step stands still. What hangs one computation hangs all of its trials, but they did not
    /// all report in the same moment: with the first go those that have not moved for half of the limit, and those that never began.
    fn stalled(&self, now: Duration, leases: &[TrialIndex]) -> Vec<TrialIndex> {
        let still = |lease: &Lease, limit| now.saturating_sub(lease.moved) >= limit;
        let live = || leases.iter().filter_map(|index| Some((*index, self.lease_of(*index)?)));
        if !live().any(|(_, lease)| still(lease, self.limits.stall)) {
            return Vec::new();
        }
        // A trial that never began may wait its turn behind one that hangs, of which a late message still told.
        let began = live().any(|(_, lease)| lease.step > 0 && still(lease, self.limits.stall));
        let half = self.limits.stall / 2;
        let company = if began { half } else { half.min(self.limits.lease) };
        let with_it = live().filter(|(_, lease)| still(lease, company) || lease.step == 0);
        with_it.map(|(index, _)| index).collect()
    }

    /// Whether nothing was heard of a worker for a whole lease.
    pub(super) fn is_silent(&self, now: Duration, worker: &Worker) -> bool {
        now.saturating_sub(worker.heard) >= self.limits.lease
    }

    /// Whether a worker is silent, or a trial of its stands still. One that is only slow is awake.
    pub fn sleeps(&self, now: Duration, id: &WorkerId) -> bool {
        self.workers.get(id).is_none_or(|worker| {
            let leases: Vec<_> = worker.leases.iter().copied().collect();
            self.is_silent(now, worker) || !self.stalled(now, &leases).is_empty()
        })
    }

    fn is_too_long(&self, now: Duration, index: TrialIndex, worker: &Worker) -> bool {
        let lasts =
            self.lease_of(index).map_or(Duration::ZERO, |lease| now.saturating_sub(lease.granted));
        let is_over = |longest: Duration| lasts >= longest;
        self.longest(&self.trials[index], worker, lasts).is_some_and(is_over)
    }

    fn lease_of(&self, index: TrialIndex) -> Option<&Lease> {
        match &self.trials[index].state {
            TrialState::Leased(lease) => Some(lease),
            TrialState::Pending | TrialState::Succeeded { .. } | TrialState::Quarantined { .. } => {
                None
            }
        }
    }

    /// The losses of leases that one worker lost together. `blame`: if they are several; one alone is to blame for itself.
    fn lost(
        &self,
        now: Duration,
        leases: &[TrialIndex],
        blame: Blame,
        reason: impl Fn(&Lease) -> String,
        log: &str,
    ) -> Vec<Event> {
        let blame = if leases.len() == 1 { Blame::Alone } else { blame };
        let lost = |index: &TrialIndex| {
            let (trial, lease) = (&self.trials[*index], self.lease_of(*index)?);
            let (place, limit) = (WorkerDevice::from(&lease.worker), self.limits.max_losses);
            let quarantine = blame == Blame::Alone
                && self.is_at_end(now, trial, &place, trial.losses + 1, limit);
            let id = LeaseId { trial: trial.id, attempt: lease.attempt };
            Some(Event::Lost {
                lease: id,
                error: reason(lease),
                log: log.to_owned(),
                blame,
                quarantine,
            })
        };
        leases.iter().filter_map(lost).collect()
    }
}
