//! What the oracle knows of what workers are told, and of what persons want.

use std::collections::{BTreeMap, BTreeSet};

use swfn_shared::ids::{LeaseId, TrialId, WorkerId};

use super::{
    super::{Event, Rejection},
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
    pub(super) fn confirmed(&mut self, worker: &WorkerId, confirmed: &[LeaseId]) -> Result<(), Broken> {
        let position = self.named.iter().position(|(named, _)| named == worker);
        let own = position.map(|position| self.named.remove(position).1);
        hold!(own.as_deref() == Some(confirmed), "{confirmed:?} is confirmed to {worker}, its own is {own:?}");
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

    /// A person wants what was given up to be tried again.
    pub(super) fn wants_again(&mut self, which: Retry) -> BTreeSet<TrialId> {
        let given_up = |trial: &&TrialId| matches!(self.live.entries[*trial].end, Some(Ending::Quarantined(_)));
        let trials: Vec<_> = self.live.entries.keys().filter(given_up).copied().collect();
        self.wanted = match which {
            // The program tries all, and is refused where there is nothing to try again.
            Retry::Failed => self.live.entries.keys().copied().collect(),
            Retry::One(_) if trials.is_empty() => BTreeSet::new(),
            Retry::One(number) => [trials[number % trials.len()]].into(),
        };
        self.tries += 1;
        self.wanted.clone()
    }

    pub(super) fn judge_retry(&self, trial: TrialId, answer: &Answer) -> Result<(), Broken> {
        hold!(self.wanted.contains(&trial), "nobody asked for that");
        let entry = self.live.entry(trial)?;
        if matches!(entry.end, Some(Ending::Quarantined(_))) {
            let lease = LeaseId { trial, attempt: entry.attempts };
            return exactly(answer, &BTreeMap::new(), &[].into(), &[].into(), &[Event::Retried { lease }]);
        }
        hold!(*answer == Err(Rejection::NotQuarantined(trial)), "tried again, though it was not given up");
        Ok(())
    }
}
