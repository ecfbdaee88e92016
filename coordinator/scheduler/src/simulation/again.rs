//! When all is over, a person may have what was given up tried again: the program starts once more, and so do the workers.

use super::{
    book::Ending,
    draw::retry,
    message::Millis,
    world::{Happening, World},
};

impl World {
    /// False if nobody wants that, or there is nothing to try again.
    pub(super) fn begin_again(&mut self) -> bool {
        let given_up = |end: &Option<Ending>| matches!(end, Some(Ending::Quarantined(_)));
        if self.plan.again == 0
            || !self.oracle.durable.entries.values().any(|entry| given_up(&entry.end))
        {
            return false;
        }
        self.say(|| "a person has what was given up tried again".to_owned());
        self.plan.again -= 1;
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
