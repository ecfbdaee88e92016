//! What the oracle knows of what workers are told, and of what persons want.

use std::collections::BTreeMap;

use swfn_shared::{
    ids::{LeaseId, TrialId, WorkerId},
    person::{self, CommandOutcome, Drain, Refusal},
};

use super::{
    super::{Act, Event, Rejection},
    book::Ending,
    oracle::{Answer, Broken, Oracle, exactly, hold},
    plan::Retry,
};

impl Oracle {
    /// A worker that comes back names these leases: it is to be told which of them are still its own.
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

    /// It is told that those are still its own: no other, and none is left out.
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

    /// The answers of a turn have been looked at.
    pub(super) fn all_confirmed(&mut self) -> Result<(), Broken> {
        hold!(self.named.is_empty(), "nothing is confirmed of {:?}", self.named);
        Ok(())
    }

    /// A worker has learnt that a lease is over, by a word about it or by the acknowledgement of its own. What it learns is on the disk: or
    /// after a crash the lease would be live again, and nobody would work on it.
    pub(super) fn told_over(&self, worker: &WorkerId, lease: LeaseId) -> Result<(), Broken> {
        let live = self.durable.holder(lease) == Some(worker);
        hold!(!live, "{worker} was told that {lease:?} is over, and on the disk it is not");
        Ok(())
    }

    /// A person wants what was given up to be tried again: the command for that, if it means anything.
    pub(super) fn wants_again(&mut self, which: Retry) -> Option<person::Retry> {
        let given_up = self.live.entries.iter().filter_map(|(trial, entry)| match &entry.end {
            Some(Ending::Quarantined(error)) => Some((*trial, error.starts_with("diverged"))),
            Some(Ending::Succeeded(..)) | None => None,
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

    /// All that a person wanted is put back.
    pub(super) fn tried_again(
        &mut self,
        done: &Result<CommandOutcome, Refusal>,
    ) -> Result<(), Broken> {
        let Ok(CommandOutcome::Retried { trials, left_out: _ }) = done else {
            return Err(Broken(format!("nothing is tried again: {done:?}")));
        };
        (0..*trials).for_each(|_| self.tally.fault("trial put back by a person"));
        hold!(self.wanted.is_empty(), "{:?} are not tried again: {done:?}", self.wanted);
        Ok(())
    }

    /// A person told workers to leave; `there`: those that have a stream.
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
            self.told_to_leave.insert(worker.clone());
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
        if matches!(entry.end, Some(Ending::Quarantined(_))) {
            let lease = LeaseId { trial, attempt: entry.attempts };
            return exactly(
                answer,
                &BTreeMap::new(),
                &[].into(),
                &[].into(),
                &[Event::ByPerson { lease, act: Act::Retried }],
            );
        }
        hold!(
            *answer == Err(Rejection::NotQuarantined(trial)),
            "tried again, though it was not given up"
        );
        Ok(())
    }
}
