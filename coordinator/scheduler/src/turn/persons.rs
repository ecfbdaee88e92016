//! What persons command.

use std::collections::HashSet;

use swfn_shared::{
    capacity::Capacity,
    ids::{TrialId, WorkerId},
};

use super::{
    At, Drained, Holder, Turn,
    message::{LEAVE, drain},
};
use crate::Command;

impl Turn {
    /// Workers whose ids begin so are to leave when they are done. `now`: what they hold is taken back at once.
    pub fn drain_workers(&mut self, at: &mut At<'_>, ids: &[String], now: bool, holder: Holder) -> Drained {
        let mut answer = Drained::default();
        let ids: HashSet<&str> = ids.iter().map(String::as_str).collect();
        for worker in self.connected() {
            let name = worker.to_string();
            if !(1..=name.len()).any(|end| name.get(..end).is_some_and(|beginning| ids.contains(beginning))) {
                answer.others.push(worker);
            } else if !self.holders.may_send_away(&worker, holder) {
                answer.foreign.push(worker);
            } else {
                self.send_away(at, worker.clone(), now);
                answer.drained.push(worker);
            }
        }
        answer
    }

    fn send_away(&mut self, at: &mut At<'_>, worker: WorkerId, now: bool) {
        self.waiting.remove(&worker);
        self.leaving.insert(worker.clone());
        let nothing = Command::Asked { worker: worker.clone(), capacity: Capacity::default() };
        self.apply(at, &nothing).ok();
        if now {
            for lease in self.scheduler.leases_of(&worker) {
                self.apply(at, &Command::Released { worker: worker.clone(), lease }).ok();
                self.tell_revoked(&worker, lease, "somebody took back what this worker holds".to_owned());
            }
        }
        self.replies.push((worker, drain(LEAVE)));
    }

    /// Puts quarantined trials back, those that `wanted` names; returns how many.
    pub fn retry(&mut self, at: &mut At<'_>, wanted: impl Fn(TrialId) -> bool) -> usize {
        let trials: Vec<_> = self.scheduler.trials().map(|(id, ..)| id).filter(|id| wanted(*id)).collect();
        trials.into_iter().filter(|trial| self.apply(at, &Command::Retry { trial: *trial }).is_ok()).count()
    }
}
