//! At the end, a person may retry quarantined trials: coordinator and workers start once more.

use super::{
    draw::retry,
    message::Millis,
    trial_records::FinalState,
    world::{Happening, World},
};

impl World {
    /// Returns false if nobody wants that, or nothing is quarantined.
    pub(super) fn retry_quarantined(&mut self) -> bool {
        let given_up = |end: &Option<FinalState>| matches!(end, Some(FinalState::Quarantined(_)));
        if self.plan.retries == 0
            || !self.oracle.durable.entries.values().any(|entry| given_up(&entry.end))
        {
            return false;
        }
        self.say(|| "a person has what was given up tried again".to_owned());
        self.plan.retries -= 1;
        self.retry = Some(retry(&mut self.rng));
        self.finished = false;
        const PAUSE: Millis = 1_000;
        self.end_coordinator(PAUSE);
        for slot in 0..self.slots.len() {
            (self.slots[slot].expected, self.slots[slot].back) = (true, None);
            let at = self.soon(5 * PAUSE);
            self.queue.plan(at, Happening::ProcessStarts { slot });
        }
        self.calm_from = self.now + 4 * self.plan.lease() + 60 * PAUSE;
        true
    }
}
