//! How the session tells the trainer to stop a trial.

use std::sync::atomic::{AtomicU8, Ordering};

/// Why a trial is cancelled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// Somebody will go on with it: it is saved where it can be, which takes a moment.
    GiveBack,
    /// It is somebody else's already: nothing more is done.
    Abandon,
}

/// A wish that one thread has and another one notices. It may grow, from giving back to abandoning, and never shrinks.
#[derive(Debug, Default)]
pub struct Cancel(AtomicU8);

impl Cancel {
    /// Has the trial stopped.
    pub fn ask(&self, stop: Stop) {
        let wish = match stop {
            Stop::GiveBack => 1,
            Stop::Abandon => 2,
        };
        self.0.fetch_max(wish, Ordering::Relaxed);
    }

    /// Whether the trial is to be stopped, and why.
    pub fn asked(&self) -> Option<Stop> {
        match self.0.load(Ordering::Relaxed) {
            0 => None,
            1 => Some(Stop::GiveBack),
            _ => Some(Stop::Abandon),
        }
    }
}
