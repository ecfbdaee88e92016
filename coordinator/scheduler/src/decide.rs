//! Decides the events of a command. Nothing changes before [`Scheduler::evolve`] applies them.

use std::{collections::HashSet, time::Duration};

use swfn_shared::{
    capacity::Capacity,
    event::{Blame, Event},
    ids::{LeaseId, TrialId, WorkerDevice, WorkerId},
};

use super::{
    command::{Command, FailureKind, LeaseReport, Predecessor, Rejection},
    fencing::Admission,
    state::{Lease, Scheduler, TrialIndex, TrialState, Worker},
};

impl Scheduler {
    /// The events that a command causes at time `now`, or the reason why it has no effect.
    pub fn decide(&self, now: Duration, command: &Command) -> Result<Vec<Event>, Rejection> {
        match command {
            Command::Joined { worker, predecessor, held } => {
                Ok(self.joined(now, worker, predecessor.as_ref(), held))
            }
            Command::Asked { worker, capacity } => self.asked(now, worker, capacity),
            // A worker that is heard is there, also after a silence that had removed it.
            Command::Heard { worker } => Ok(vec![Event::WorkerHeard { worker: worker.clone() }]),
            Command::Reported { worker, lease, report } => match self.admit(worker, *lease)? {
                Admission::Live => Ok(vec![self.reported(now, worker, *lease, report)]),
                Admission::Repeated => Ok(Vec::new()),
            },
            Command::Left { worker } => {
                self.worker(worker)?;
                let left = Event::WorkerLeft { worker: worker.clone() };
                Ok(self.releases(worker).chain([left]).collect())
            }
            Command::Retried { trial } => Ok(vec![self.retried(*trial)?]),
            Command::Tick => Ok(self.expired(now)),
        }
    }

    fn retried(&self, trial: TrialId) -> Result<Event, Rejection> {
        let quarantined = self.by_id.get(&trial).map(|index| &self.trials[*index]);
        match quarantined.filter(|trial| matches!(trial.state, TrialState::Quarantined { .. })) {
            Some(trial) => Ok(Event::Retried { lease: trial.newest_lease() }),
            None => Err(Rejection::NotQuarantined(trial)),
        }
    }

    fn worker(&self, id: &WorkerId) -> Result<&Worker, Rejection> {
        self.workers.get(id).ok_or_else(|| Rejection::UnknownWorker(id.clone()))
    }

    /// The event of a report on a live lease.
    fn reported(
        &self,
        now: Duration,
        worker: &WorkerId,
        lease: LeaseId,
        report: &LeaseReport,
    ) -> Event {
        let trial = &self.trials[self.by_id[&lease.trial]];
        match report {
            LeaseReport::Progressed { step, waits } => {
                // A trial has no more steps, whatever a worker reports.
                Event::Progressed { lease, step: (*step).min(trial.spec.steps()), waits: *waits }
            }
            LeaseReport::Succeeded => Event::Succeeded { lease },
            LeaseReport::Failed { kind, error, log } => {
                // The same device would diverge again. Another may not, if this one is broken.
                let diverged = *kind == FailureKind::Diverged;
                let limit = if diverged { 1 } else { self.limits.max_failures };
                let place = WorkerDevice::from(worker);
                let quarantine = self.is_at_end(now, trial, &place, trial.failures + 1, limit);
                Event::Failed { lease, error: error.clone(), log: log.clone(), quarantine }
            }
            LeaseReport::Released => Event::Released { lease },
        }
    }

    fn releases(&self, worker: &WorkerId) -> impl Iterator<Item = Event> + use<> {
        self.leases_of(worker).into_iter().map(|lease| Event::Released { lease })
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
            if dead.innocent {
                events.extend(self.releases(&dead.worker));
            } else {
                let reason = |_: &Lease| match dead.end.as_str() {
                    "" => "its worker process ended".to_owned(),
                    end => format!("its worker process ended ({end})"),
                };
                let leases: Vec<_> = state.leases.iter().copied().collect();
                events.extend(self.lost(now, &leases, Blame::Suspected, reason, &dead.log));
            }
            events.push(Event::WorkerLeft { worker: dead.worker.clone() });
        }
        // A grant that the worker does not know was lost on its way.
        let held: HashSet<_> = held.iter().copied().collect();
        let unknown = self.leases_of(worker).into_iter().filter(|lease| !held.contains(lease));
        events.extend(unknown.map(|lease| Event::Released { lease }));
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
        let asked = (state.lanes != Some(lanes))
            .then(|| Event::WorkerAsked { worker: worker.clone(), lanes });
        let picked = if self.counts.pending == 0
            || state.leases.iter().any(|index| self.trials[*index].is_suspect())
        {
            Vec::new()
        } else {
            let able = self.able_places(now);
            let most = if state.reported { usize::MAX } else { self.limits.portion };
            let most = if self.is_excluded(state, &able) { 0 } else { most };
            let share = self.share(now, worker, lanes, &able).min(most);
            let wanted = share.saturating_sub(state.leases.len());
            let idle = state.leases.is_empty() && self.has_let_go(now, state);
            let elsewhere =
                |index: TrialIndex| able.prefer_others(&state.place, &self.trials[index]);
            self.pending.pick(wanted, capacity.shape, &capacity.vaes, idle, elsewhere)
        };
        let leased = |index: TrialIndex| {
            let trial = &self.trials[index];
            let lease = LeaseId { trial: trial.id, attempt: trial.next_attempt() };
            Event::Leased { lease, worker: worker.clone() }
        };
        Ok(asked.into_iter().chain(picked.into_iter().map(leased)).collect())
    }

    /// Whether a worker has stopped the trials that it lost: by then it knows, or was given up.
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
                continue;
            }
            let stalled = self.stalled(now, &leases);
            let stood_still = |Lease { step, .. }: &Lease| {
                format!("worker `{id}` stood still at step {step} for {:?}", self.limits.stall)
            };
            events.extend(self.lost(now, &stalled, Blame::Suspected, stood_still, ""));
            let over = |Lease { granted, step, .. }: &Lease| {
                let minutes = now.saturating_sub(*granted).as_secs() / 60;
                format!(
                    "worker `{id}` had it for {minutes} minutes and was at step {step}: longer \
                     than `[run] trial_minutes` allows"
                )
            };
            for index in leases {
                // The stalled ones are in order.
                if stalled.binary_search(&index).is_err() && self.is_too_long(now, index, worker) {
                    events.extend(self.lost(now, &[index], Blame::Alone, over, ""));
                }
            }
        }
        events
    }

    /// The leases of one worker whose steps stand still. A hanging computation stops all of its
    /// trials, but they did not all report in the same moment. So with the first go those that have
    /// not moved for half of the limit, and those that never began.
    fn stalled(&self, now: Duration, leases: &[TrialIndex]) -> Vec<TrialIndex> {
        let still = |lease: &Lease, limit| now.saturating_sub(lease.moved) >= limit;
        let live = || leases.iter().filter_map(|index| Some((*index, self.lease_of(*index)?)));
        if !live().any(|(_, lease)| still(lease, self.limits.stall)) {
            return Vec::new();
        }
        // A trial that never began may wait behind a hanging one, whose last report came late.
        let began = live().any(|(_, lease)| lease.step > 0 && still(lease, self.limits.stall));
        let half = self.limits.stall / 2;
        let company = if began { half } else { half.min(self.limits.lease) };
        let with_it = live().filter(|(_, lease)| still(lease, company) || lease.step == 0);
        with_it.map(|(index, _)| index).collect()
    }

    /// Whether a worker has been silent for a whole lease.
    pub(super) fn is_silent(&self, now: Duration, worker: &Worker) -> bool {
        now.saturating_sub(worker.heard) >= self.limits.lease
    }

    /// Whether a worker is silent, or one of its trials stands still. A slow one is awake.
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
        if let TrialState::Leased(lease) = &self.trials[index].state { Some(lease) } else { None }
    }

    /// Leases that one worker lost together. `blame` is for several; a single one takes all blame.
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
            let (error, log) = (reason(lease), log.to_owned());
            Some(Event::Lost { lease: trial.newest_lease(), error, log, blame, quarantine })
        };
        leases.iter().filter_map(lost).collect()
    }
}
