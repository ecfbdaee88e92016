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
    /// A worker that has come back holds these leases, and is told that those are still its own: no other, and none is left out.
    pub(super) fn confirmed(
        &mut self,
        worker: &WorkerId,
        held: &[LeaseId],
        confirmed: &[LeaseId],
    ) -> Result<(), Broken> {
        for lease in held {
            let own = self.expected(worker, *lease)?.is_some();
            hold!(own == confirmed.contains(lease), "{confirmed:?} of {held:?} is confirmed to {worker}");
            self.tally.answer(if own { "confirmed" } else { "not confirmed" });
        }
        hold!(confirmed.iter().all(|lease| held.contains(lease)), "{confirmed:?} was not named by {worker}");
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
