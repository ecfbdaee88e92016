//! The oracle's rules for replies to workers, and for commands of people.

use std::collections::BTreeMap;

use swfn_shared::{
    ids::{LeaseId, TrialId, WorkerId},
    person::{self, CommandOutcome, Drain, Refusal},
};

use super::{
    super::{Event, Rejection},
    oracle::{Answer, Broken, Oracle, exactly, hold},
    plan::Retry,
    trial_records::FinalState,
};

impl Oracle {
    /// Records the leases that a returning worker names. The reply must confirm those that are
    /// still its own.
    pub(super) fn named(&mut self, worker: &WorkerId, held: &[LeaseId]) -> Result<(), Broken> {
        let mut own = Vec::new();
        for lease in held {
            let is_own = self.expected(worker, *lease)?.is_some();
            self.tally.answer(if is_own { "confirmed" } else { "not confirmed" });
            own.extend(is_own.then_some(*lease));
        }
        if !held.is_empty() {
            own.sort_unstable();
            self.named.push((worker.clone(), own));
        }
        Ok(())
    }

    /// Checks that exactly its own leases are confirmed.
    pub(super) fn confirmed(
        &mut self,
        worker: &WorkerId,
        confirmed: &[LeaseId],
    ) -> Result<(), Broken> {
        let position = self.named.iter().position(|(named, _)| named == worker);
        let own = position.map(|position| self.named.remove(position).1);
        hold!(
            own.as_deref() == Some(confirmed),
            "{confirmed:?} is confirmed to {worker}, its own is {own:?}"
        );
        Ok(())
    }

    /// Checks that no returning worker is left without a reply.
    pub(super) fn all_confirmed(&mut self) -> Result<(), Broken> {
        hold!(self.named.is_empty(), "nothing is confirmed of {:?}", self.named);
        Ok(())
    }

    /// Checks that a lease that a worker learns is over is over on the disk. Otherwise it would be
    /// live again after a crash, and nobody would work on it.
    pub(super) fn check_lease_over(&self, worker: &WorkerId, lease: LeaseId) -> Result<(), Broken> {
        let live = self.durable.holder(lease) == Some(worker);
        hold!(!live, "{worker} was told that {lease:?} is over, and on the disk it is not");
        Ok(())
    }

    /// The command of a person who retries quarantined trials, if it means anything.
    pub(super) fn retry_command(&mut self, which: Retry) -> Option<person::Retry> {
        let given_up = self.live.entries.iter().filter_map(|(trial, entry)| match &entry.end {
            Some(FinalState::Quarantined(error)) => Some((*trial, error.starts_with("diverged"))),
            Some(FinalState::Succeeded(..)) | None => None,
        });
        let given_up: Vec<_> = given_up.collect();
        let (wanted, command) = match which {
            Retry::Failed => {
                let failed = given_up.iter().filter(|(_, diverged)| !diverged);
                (
                    failed.copied().collect(),
                    person::Retry { failed: true, ..person::Retry::default() },
                )
            }
            Retry::Diverged => {
                (given_up, person::Retry { diverged: true, ..person::Retry::default() })
            }
            Retry::One(number) => {
                let one = *given_up.get(number % given_up.len().max(1))?;
                (
                    vec![one],
                    person::Retry { trials: vec![one.0.to_string()], ..person::Retry::default() },
                )
            }
        };
        self.wanted = wanted.into_iter().map(|(trial, _)| trial).collect();
        self.tries += 1;
        Some(command)
    }

    /// Checks that all wanted trials are put back.
    pub(super) fn retried(&mut self, done: &Result<CommandOutcome, Refusal>) -> Result<(), Broken> {
        let Ok(CommandOutcome::Retried { trials, left_out: _ }) = done else {
            return Err(Broken(format!("nothing is tried again: {done:?}")));
        };
        (0..*trials).for_each(|_| self.tally.fault("trial put back by a person"));
        hold!(self.wanted.is_empty(), "{:?} are not tried again: {done:?}", self.wanted);
        Ok(())
    }

    /// Checks the drain of workers. `there`: those that have a stream.
    pub(super) fn drained(
        &mut self,
        which: &Drain,
        there: &[WorkerId],
        done: &Result<CommandOutcome, Refusal>,
    ) -> Result<(), Broken> {
        let named = |id: &&WorkerId| {
            which.workers.iter().any(|name| id.to_string().starts_with(name.as_str()))
        };
        let named: Vec<_> = there.iter().filter(named).collect();
        match done {
            Ok(CommandOutcome::Drained { workers }) => {
                let same =
                    workers.iter().map(String::as_str).eq(named.iter().map(|id| id.to_string()));
                hold!(
                    same && !named.is_empty(),
                    "{workers:?} are told to leave, and not {named:?}"
                );
            }
            Err(Refusal::Missing(_)) => hold!(named.is_empty(), "{named:?} are not told to leave"),
            other => hold!(false, "{other:?} does not follow from {which:?}"),
        }
        for worker in named {
            self.tally.fault("worker told to leave by a person");
            self.drained_workers.insert(worker.clone());
            let left = self.live.held_by(worker).next();
            hold!(
                !which.now || left.is_none(),
                "{left:?} was to be taken back from {worker} at once"
            );
        }
        Ok(())
    }

    pub(super) fn judge_retry(&mut self, trial: TrialId, answer: &Answer) -> Result<(), Broken> {
        hold!(self.wanted.remove(&trial), "nobody asked for that");
        let entry = self.live.entry(trial)?;
        if matches!(entry.end, Some(FinalState::Quarantined(_))) {
            let lease = LeaseId { trial, attempt: entry.attempts };
            return exactly(
                answer,
                &BTreeMap::new(),
                &[].into(),
                &[].into(),
                &[Event::Retried { lease }],
            );
        }
        hold!(
            *answer == Err(Rejection::NotQuarantined(trial)),
            "tried again, though it was not given up"
        );
        Ok(())
    }
}
