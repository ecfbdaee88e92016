//! The oracle's rules for asks: which trials a worker may get.

use std::{collections::BTreeSet, time::Duration};

use swfn_shared::ids::{LeaseId, ShapeId, WorkerId};

use super::{
    super::Event,
    oracle::{Answer, Broken, Oracle, hold},
    trial_records::TrialRecord,
};

impl Oracle {
    pub(super) fn judge_grant(
        &self,
        now: Duration,
        worker: &WorkerId,
        lanes: usize,
        shape: Option<ShapeId>,
        answer: &Answer,
    ) -> Result<(), Broken> {
        let Ok(events) = answer else {
            hold!(!self.heard.contains_key(worker), "a worker that is there was sent away");
            return Ok(());
        };
        hold!(self.heard.contains_key(worker), "a worker that is not there was listened to");
        let mut granted = Vec::new();
        for event in events {
            match event {
                Event::WorkerAsked { worker: asking, .. } => {
                    hold!(asking == worker, "{event:?} is of another")
                }
                Event::Leased { lease, worker: to } => {
                    hold!(to == worker, "{event:?} is for another");
                    granted.push(*lease);
                }
                other => hold!(false, "{other:?} does not follow from an ask"),
            }
        }
        let held = self.live.held_by(worker).count();
        hold!(
            granted.is_empty() || !self.dead.contains(worker),
            "a grant to a worker that is dead"
        );
        hold!(
            granted.is_empty() || !self.asleep.contains(worker),
            "a grant to a worker that has not woken up"
        );
        let told = self.drained_workers.contains(worker);
        hold!(granted.is_empty() || !told, "a grant to a worker that was told to leave");
        hold!(
            granted.is_empty() || held + granted.len() <= lanes,
            "{held} held and more granted than lanes"
        );
        let known = self.reporters.contains(worker);
        let portion = self.limits.portion;
        hold!(
            granted.is_empty() || known || held + granted.len() <= portion,
            "more than a portion for a newcomer"
        );
        hold!(
            granted.is_empty() || !self.is_excluded(now, worker),
            "a grant to a worker that only fails"
        );
        let avoided = granted.iter().find(|lease| self.avoids(now, lease.trial, worker));
        hold!(avoided.is_none(), "{avoided:?} has failed here and could be tried elsewhere");
        let suspect = |lease: &LeaseId| self.live.entries[&lease.trial].suspicion >= 2;
        let alone = held + granted.len() == 1 || !granted.iter().any(suspect);
        hold!(alone, "a suspect is not alone");
        let let_go = self.has_let_go(now, worker);
        hold!(
            let_go || !granted.iter().any(suspect),
            "a suspect for a worker that may still run what it lost"
        );
        hold!(
            granted.is_empty() || !self.live.held_by(worker).any(|lease| suspect(&lease)),
            "company for a suspect"
        );
        let shapes: BTreeSet<_> =
            granted.iter().map(|lease| self.shapes[&lease.trial]).chain(shape).collect();
        hold!(granted.is_empty() || shapes.len() == 1, "a grant of several shapes");
        let waits = self.waits_for(now, worker);
        let idle = held == 0 && lanes > 0 && shape.is_none();
        hold!(
            !(idle && waits && granted.is_empty()),
            "nothing for an idle worker while trials wait"
        );
        Ok(())
    }

    /// Whether a worker that lost a lease has been told, and has had the time to stop.
    fn has_let_go(&self, now: Duration, worker: &WorkerId) -> bool {
        self.lost
            .get(worker)
            .is_none_or(|lost| now.saturating_sub(*lost) >= self.lease + self.stall)
    }

    /// Whether a trial waits that the worker may have when it holds nothing.
    pub(super) fn waits_for(&self, now: Duration, worker: &WorkerId) -> bool {
        let any = self.has_let_go(now, worker);
        let may = |entry: &TrialRecord| {
            entry.end.is_none() && entry.lease.is_none() && (any || entry.suspicion < 2)
        };
        let mut waiting = self.live.entries.iter().filter(|(_, entry)| may(entry));
        !self.is_excluded(now, worker)
            && waiting.any(|(trial, _)| !self.avoids(now, *trial, worker))
    }
}
