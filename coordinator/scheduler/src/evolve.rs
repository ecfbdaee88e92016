//! The only place where the state changes.

use std::time::Duration;

use swfn_shared::{
    event::{Act, Blame, Event},
    ids::{WorkerDevice, WorkerId},
};

use super::{
    records,
    state::{Lease, Scheduler, TrialIndex, TrialState, Worker},
};

impl Scheduler {
    /// Applies an event that [`Self::decide`] returned or that a journal holds. An event that does not fit the state, which only a damaged
    /// journal can hold, is answered with its description and changes nothing.
    pub fn evolve(&mut self, now: Duration, event: &Event) -> Result<(), String> {
        match event {
            Event::WorkerJoined { worker, anew } => {
                if *anew {
                    self.records.anew(&WorkerDevice::from(worker));
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

    /// Workers of the journal that hold no lease may be long gone, and would only take their shares.
    pub fn forget_idle_workers(&mut self) {
        self.workers.retain(|_, worker| !worker.leases.is_empty());
        // Whoever starts a coordinator anew may have mended the workers, too.
        self.records = records::Records::default();
        // What the others lost, and when, is of another clock; they are told as soon as they are back.
        self.workers.values_mut().for_each(|worker| (worker.lost, worker.reported) = (None, false));
    }

    /// After a restart, or when the coordinator itself stood still, nobody knows when the workers were last heard: each lease gets a whole
    /// term from now.
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
        self.workers.entry(id.clone()).or_insert_with(|| Worker::from(id))
    }

    /// Writes down what the end of a lease says of its trial and of its worker's place.
    fn record(&mut self, now: Duration, index: TrialIndex, event: &Event) {
        let trial = &mut self.trials[index];
        if matches!(event, Event::ByPerson { act: Act::Retried, .. }) {
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
                // Of what happened before a restart nobody knows how long it took.
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
            // What a place lost may be its machine's doing, but what is lost at two places is the trial's.
            Event::Lost { .. } if trial.failed_at.len() > 1 => self.records.forgive(index),
            _ => {}
        }
    }

    /// The legal transitions of a trial, all of them.
    fn transition(
        &mut self,
        now: Duration,
        index: TrialIndex,
        event: &Event,
    ) -> Option<TrialState> {
        let trial = &mut self.trials[index];
        match (&trial.state, event) {
            (TrialState::Pending, Event::Leased { lease, worker })
                if lease.attempt == trial.next_attempt() =>
            {
                let (worker, attempt) = (worker.clone(), lease.attempt);
                Some(TrialState::Leased(Lease {
                    worker,
                    attempt,
                    step: 0,
                    moved: now,
                    granted: now,
                }))
            }
            (TrialState::Leased(current), Event::Succeeded { lease })
                if current.attempt == lease.attempt =>
            {
                Some(TrialState::Succeeded {
                    attempt: lease.attempt,
                    worker: current.worker.clone(),
                })
            }
            (TrialState::Leased(current), Event::Released { lease })
                if current.attempt == lease.attempt =>
            {
                Some(TrialState::Pending)
            }
            (TrialState::Leased(current), Event::Failed { lease, error, quarantine, log: _ })
                if current.attempt == lease.attempt =>
            {
                trial.failures += 1;
                Some(after(*quarantine, error))
            }
            (
                TrialState::Leased(current),
                Event::Lost { lease, error, blame, quarantine, log: _ },
            ) if current.attempt == lease.attempt => {
                trial.losses += u32::from(*blame == Blame::Alone);
                trial.suspicion += blame.suspicion();
                Some(after(*quarantine, error))
            }
            (TrialState::Quarantined { .. }, Event::ByPerson { lease, act: Act::Retried })
                if lease.attempt == trial.attempts =>
            {
                (trial.failures, trial.losses) = (0, 0);
                Some(TrialState::Pending)
            }
            (
                TrialState::Pending
                | TrialState::Leased(_)
                | TrialState::Succeeded { .. }
                | TrialState::Quarantined { .. },
                Event::WorkerJoined { .. }
                | Event::WorkerHeard { .. }
                | Event::WorkerAsked { .. }
                | Event::WorkerLeft { .. }
                | Event::Progressed { .. }
                | Event::Leased { .. }
                | Event::Succeeded { .. }
                | Event::Failed { .. }
                | Event::Lost { .. }
                | Event::Released { .. }
                | Event::ByPerson { .. },
            ) => None,
        }
    }

    /// Moves a trial to its next state and keeps the indices in step with it.
    fn enter(&mut self, index: TrialIndex, next: TrialState, attempt: u32) {
        let trial = &mut self.trials[index];
        trial.attempts = attempt;
        match &trial.state {
            TrialState::Pending => self.pending.remove(trial, index),
            TrialState::Leased(lease) => {
                self.pending.lease_ended(trial.group);
                if let Some(worker) = self.workers.get_mut(&lease.worker) {
                    worker.leases.remove(&index);
                    // An ask for what comes next counted this one, too; if the lane is free, there will be another ask.
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
                self.pending.lease_began(trial.group);
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
