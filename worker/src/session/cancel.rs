//! How the session tells the trainer to stop a trial.

use std::sync::atomic::{AtomicU8, Ordering};

use crate::train::report::Stop;

/// A wish that one thread has and another one notices. It may grow, from giving back to abandoning, and never shrinks.
#[derive(Debug, Default)]
pub(crate) struct Cancel(AtomicU8);

impl Cancel {
    pub(crate) fn ask(&self, stop: Stop) {
        let wish = match stop {
            Stop::GiveBack => 1,
            Stop::Abandon => 2,
        };
        self.0.fetch_max(wish, Ordering::Relaxed);
    }

    pub(crate) fn asked(&self) -> Option<Stop> {
        match self.0.load(Ordering::Relaxed) {
            0 => None,
            1 => Some(Stop::GiveBack),
            _ => Some(Stop::Abandon),
        }
    }
}
