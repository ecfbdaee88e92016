//! Naive records of the trials, from durable events alone. They share no code with the scheduler.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use swfn_shared::ids::{Attempt, LeaseId, TrialId, WorkerId};

use super::{
    super::{Blame, Event, Limits},
    oracle::Broken,
};

/// A live lease.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct HeldLease {
    pub(super) worker: WorkerId,
    /// When it was granted, when its step last grew, and that step; not durable.
    pub(super) granted: Duration,
    pub(super) moved: Duration,
    pub(super) step: u64,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum FinalState {
    Succeeded(Attempt, WorkerId),
    Quarantined(String),
}

/// A trial.
#[derive(Debug, Clone, Default)]
pub(super) struct TrialRecord {
    pub(super) attempts: Attempt,
    pub(super) failures: u32,
    /// Losses as its worker's only lease, and losses together with others.
    pub(super) losses: u32,
    pub(super) in_company: u32,
    /// A loss in company weighs two if its worker's machine was there, else one. At two, the trial
    /// is tried alone.
    pub(super) suspicion: u32,
    pub(super) released: u32,
    /// How often a person retried it, and the earlier failures and losses, which no longer count.
    pub(super) retried: u32,
    pub(super) forgiven: u32,
    /// Places where it failed or was lost alone, since a person last retried it.
    pub(super) bad_places: BTreeSet<String>,
    pub(super) lease: Option<HeldLease>,
    pub(super) end: Option<FinalState>,
}

impl TrialRecord {
    /// Whether the result of this attempt by this worker is the trial's.
    pub(super) fn is_of(&self, lease: LeaseId, worker: &WorkerId) -> bool {
        matches!(&self.end, Some(FinalState::Succeeded(attempt, by)) if *attempt == lease.attempt && by == worker)
    }
}

#[derive(Debug, Clone)]
pub(super) struct TrialRecords {
    limits: Limits,
    pub(super) entries: BTreeMap<TrialId, TrialRecord>,
}

/// Whether so many failures must be the last, even if another place is left.
pub(super) fn must_end(count: u32, limit: u32) -> bool {
    count >= 2 * limit + 2
}

/// The device of a worker. Here each machine has one.
pub(super) fn place_of(worker: &WorkerId) -> String {
    let id = worker.to_string();
    id.rsplit_once(':').map_or_else(|| id.clone(), |(place, _)| place.to_owned())
}

impl TrialRecords {
    pub(super) fn new(limits: Limits, trials: impl Iterator<Item = TrialId>) -> Self {
        Self { limits, entries: trials.map(|trial| (trial, TrialRecord::default())).collect() }
    }

    pub(super) fn entry(&self, trial: TrialId) -> Result<&TrialRecord, Broken> {
        self.entries.get(&trial).ok_or_else(|| Broken(format!("{trial:?} is not of this sweep")))
    }

    /// The worker that holds this attempt.
    pub(super) fn holder(&self, lease: LeaseId) -> Option<&WorkerId> {
        let entry = self.entries.get(&lease.trial)?;
        entry
            .lease
            .as_ref()
            .filter(|_| entry.attempts == lease.attempt)
            .map(|holding| &holding.worker)
    }

    /// Live leases.
    pub(super) fn leases(&self) -> impl Iterator<Item = (LeaseId, &HeldLease)> {
        self.entries.iter().filter_map(|(trial, entry)| {
            Some((LeaseId { trial: *trial, attempt: entry.attempts }, entry.lease.as_ref()?))
        })
    }

    pub(super) fn held_by<'b>(
        &'b self,
        worker: &'b WorkerId,
    ) -> impl Iterator<Item = LeaseId> + 'b {
        self.leases().filter(move |(_, holding)| holding.worker == *worker).map(|(lease, _)| lease)
    }

    /// Records an event.
    ///
    /// # Errors
    ///
    /// It must not follow from the records.
    pub(super) fn write(&mut self, now: Duration, event: &Event) -> Result<(), Broken> {
        let Some(lease) = event.durable() else { return Ok(()) };
        let limits = self.limits;
        let entry = self
            .entries
            .get_mut(&lease.trial)
            .ok_or_else(|| Broken(format!("{event:?}: unknown trial")))?;
        let wrong = |what: &str, entry: &TrialRecord| {
            Err(Broken(format!("{event:?}: {what}, with {entry:?}")))
        };
        if let Event::Retried { .. } = event {
            if lease.attempt != entry.attempts
                || !matches!(entry.end, Some(FinalState::Quarantined(_)))
            {
                return wrong("there is nothing to try again", entry);
            }
            entry.forgiven += entry.failures + entry.losses;
            (entry.failures, entry.losses, entry.end) = (0, 0, None);
            entry.bad_places.clear();
            entry.retried += 1;
            return Ok(());
        }
        if entry.end.is_some() {
            return wrong("the trial has ended", entry);
        }
        if let Event::Leased { worker, .. } = event {
            if entry.lease.is_some() {
                return wrong("a second live lease", entry);
            }
            if lease.attempt != entry.attempts + 1 {
                return wrong("attempts count one by one", entry);
            }
            entry.attempts = lease.attempt;
            entry.lease =
                Some(HeldLease { worker: worker.clone(), granted: now, moved: now, step: 0 });
            return Ok(());
        }
        if lease.attempt != entry.attempts {
            return wrong("not the newest attempt", entry);
        }
        let Some(holding) = entry.lease.take() else { return wrong("no live lease", entry) };
        match event {
            Event::Succeeded { .. } => {
                entry.end = Some(FinalState::Succeeded(lease.attempt, holding.worker))
            }
            Event::Failed { error, quarantine, .. } => {
                entry.failures += 1;
                if must_end(entry.failures, limits.max_failures) && !quarantine {
                    return wrong("one failure too many", entry);
                }
                entry.bad_places.insert(place_of(&holding.worker));
                entry.end = quarantine.then(|| FinalState::Quarantined(error.clone()));
            }
            Event::Lost { error, quarantine, blame, .. } => {
                let losses = entry.losses + u32::from(*blame == Blame::Alone);
                let may = *blame == Blame::Alone && losses >= limits.max_losses;
                if *quarantine && !may || !*quarantine && may && must_end(losses, limits.max_losses)
                {
                    return wrong("the limit of losses is another", entry);
                }
                match blame {
                    Blame::Alone => {
                        entry.losses += 1;
                        entry.bad_places.insert(place_of(&holding.worker));
                    }
                    Blame::Among => {
                        (entry.in_company, entry.suspicion) =
                            (entry.in_company + 1, entry.suspicion + 1)
                    }
                    Blame::Suspected => {
                        (entry.in_company, entry.suspicion) =
                            (entry.in_company + 1, entry.suspicion + 2)
                    }
                }
                entry.end = quarantine.then(|| FinalState::Quarantined(error.clone()));
            }
            Event::Released { .. } => entry.released += 1,
            other => return wrong(&format!("{other:?} says nothing of a lease"), entry),
        }
        if let Some(FinalState::Quarantined(error)) = &entry.end
            && error.is_empty()
        {
            return wrong("quarantined without a reason", entry);
        }
        Ok(())
    }
}
