//! Applies events. Nothing else changes the state.

use std::time::Duration;

use swfn_shared::{
    event::{Blame, Event},
    ids::{WorkerDevice, WorkerId},
};

use super::{
    pending::lower,
    records,
    state::{Lease, Scheduler, TrialIndex, TrialState, Worker},
};

impl Scheduler {
    /// Applies an event that [`Self::decide`] returned or that a journal has.
    ///
    /// An event of a damaged journal may not fit the state: then it changes nothing.
    pub fn evolve(&mut self, now: Duration, event: &Event) -> Result<(), String> {
        match event {
            Event::WorkerJoined { worker, anew } => {
                if *anew {
                    self.records.forget(&WorkerDevice::from(worker));
                }
                self.worker_mut(worker).heard = now;
            }
            Event::WorkerHeard { worker } => self.worker_mut(worker).heard = now,
            Event::WorkerAsked { worker, lanes } => {
                let worker = self.worker_mut(worker);
                (worker.lanes, worker.takes) = (Some(*lanes), *lanes > 0);
            }
            Event::WorkerLeft { worker } => {
                self.workers.remove(worker);
            }
            Event::Progressed { lease, step, waits } => {
                let index = self.find(event, lease.trial)?;
                if let TrialState::Leased(current) = &mut self.trials[index].state
                    && (*step > current.step || *waits)
                {
                    current.step = current.step.max(*step);
                    current.moved = now;
                    if current.step > 0
                        && let Some(worker) = self.workers.get_mut(&current.worker)
                    {
                        worker.reported = true;
                    }
                }
            }
            durable => {
                let lease = durable.durable().ok_or("not durable")?;
                let index = self.find(event, lease.trial)?;
                let next = self.transition(now, index, durable).ok_or_else(|| {
                    format!("{event:?} does not follow from {:?}", self.trials[index].state)
                })?;
                if let (Event::Lost { .. }, TrialState::Leased(lost)) =
                    (event, &self.trials[index].state)
                    && let Some(worker) = self.workers.get_mut(&lost.worker)
                {
                    worker.lost = Some(now);
                }
                self.record(now, index, event);
                self.enter(index, next, lease.attempt);
            }
        }
        Ok(())
    }

    /// Forgets workers of the journal without leases: they may be gone, and would take shares.
    pub fn forget_idle_workers(&mut self) {
        self.workers.retain(|_, worker| !worker.leases.is_empty());
        // The restart may have mended the workers, too.
        self.records = records::Records::default();
        // The times of losses are of another clock. Workers learn of losses when they come back.
        self.workers.values_mut().for_each(|worker| (worker.lost, worker.reported) = (None, false));
    }

    /// Gives each lease a whole term from now: after a restart, or a pause of the coordinator, the
    /// workers' last signs of life are unknown.
    pub fn grant_full_terms(&mut self, now: Duration) {
        for worker in self.workers.values_mut() {
            worker.heard = now;
            for index in &worker.leases {
                if let TrialState::Leased(lease) = &mut self.trials[*index].state {
                    (lease.granted, lease.moved) = (now, now);
                }
            }
        }
    }

    fn find(&self, event: &Event, trial: swfn_shared::ids::TrialId) -> Result<TrialIndex, String> {
        self.by_id.get(&trial).copied().ok_or_else(|| format!("{event:?} is of an unknown trial"))
    }

    fn worker_mut(&mut self, id: &WorkerId) -> &mut Worker {
        let new = || Worker { place: WorkerDevice::from(id), ..Worker::default() };
        self.workers.entry(id.clone()).or_insert_with(new)
    }

    /// Records what the end of a lease means for its trial and its worker's place.
    fn record(&mut self, now: Duration, index: TrialIndex, event: &Event) {
        let trial = &mut self.trials[index];
        if matches!(event, Event::Retried { .. }) {
            trial.failed_at.clear();
            self.records.forgive(index);
        }
        let TrialState::Leased(lease) = &trial.state else { return };
        let place = WorkerDevice::from(&lease.worker);
        let bad = match event {
            Event::Succeeded { .. } => {
                if let Some(worker) = self.workers.get_mut(&lease.worker) {
                    worker.reported = true;
                }
                // The time before a restart is unknown.
                let seconds = now.saturating_sub(lease.granted).as_secs_f64();
                let rate = (seconds > 0.0).then(|| seconds / records::operations(trial));
                return self.records.succeeded(&place, rate);
            }
            Event::Failed { .. } => true,
            Event::Lost { blame, .. } => *blame == Blame::Alone,
            _ => false,
        };
        if bad && !trial.failed_at.contains(&place) {
            trial.failed_at.push(place);
        }
        match event {
            Event::Failed { .. } => self.records.failed(index, &trial.failed_at),
            // A loss may be the fault of a machine; losses at two places are the trial's.
            Event::Lost { .. } if trial.failed_at.len() > 1 => self.records.forgive(index),
            _ => {}
        }
    }

    /// The next state of a trial, for each legal transition.
    fn transition(
        &mut self,
        now: Duration,
        index: TrialIndex,
        event: &Event,
    ) -> Option<TrialState> {
        let trial = &mut self.trials[index];
        let attempt = event.durable()?.attempt;
        match (&trial.state, event) {
            (TrialState::Pending, Event::Leased { worker, .. })
                if attempt == trial.next_attempt() =>
            {
                let (worker, step) = (worker.clone(), 0);
                let lease = Lease { worker, attempt, step, moved: now, granted: now };
                Some(TrialState::Leased(lease))
            }
            (TrialState::Leased(current), event) if current.attempt == attempt => match event {
                Event::Succeeded { .. } => {
                    Some(TrialState::Succeeded { attempt, worker: current.worker.clone() })
                }
                Event::Released { .. } => Some(TrialState::Pending),
                Event::Failed { error, quarantine, .. } => {
                    trial.failures += 1;
                    Some(after(*quarantine, error))
                }
                Event::Lost { error, blame, quarantine, .. } => {
                    trial.losses += u32::from(*blame == Blame::Alone);
                    trial.suspicion += blame.suspicion();
                    Some(after(*quarantine, error))
                }
                _ => None,
            },
            (TrialState::Quarantined { .. }, Event::Retried { .. })
                if attempt == trial.attempts =>
            {
                (trial.failures, trial.losses) = (0, 0);
                Some(TrialState::Pending)
            }
            _ => None,
        }
    }

    /// Moves a trial to its next state and keeps the indices in step with it.
    fn enter(&mut self, index: TrialIndex, next: TrialState, attempt: u32) {
        let trial = &mut self.trials[index];
        trial.attempts = attempt;
        match &trial.state {
            TrialState::Pending => self.pending.remove(trial, index),
            TrialState::Leased(lease) => {
                lower(&mut self.pending.leased, trial.group);
                if let Some(worker) = self.workers.get_mut(&lease.worker) {
                    worker.leases.remove(&index);
                    // The last ask counted this lease, too. A free lane will be asked for again.
                    worker.lanes =
                        worker.lanes.map(|lanes| lanes.saturating_sub(1).max(worker.leases.len()));
                }
            }
            TrialState::Succeeded { .. } | TrialState::Quarantined { .. } => {}
        }
        *self.counts.get_mut(trial.state.kind()) -= 1;
        trial.state = next;
        *self.counts.get_mut(trial.state.kind()) += 1;
        match &trial.state {
            TrialState::Pending => self.pending.insert(trial, index),
            TrialState::Leased(lease) => {
                *self.pending.leased.entry(trial.group).or_default() += 1;
                let worker = lease.worker.clone();
                self.worker_mut(&worker).leases.insert(index);
            }
            TrialState::Succeeded { .. } | TrialState::Quarantined { .. } => {}
        }
    }
}

fn after(quarantine: bool, error: &str) -> TrialState {
    if quarantine {
        TrialState::Quarantined { error: error.to_owned() }
    } else {
        TrialState::Pending
    }
}
