//! How the session tells the trainer to stop a trial.

use std::sync::atomic::{AtomicU8, Ordering};

/// Why a trial is cancelled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// Another worker will resume it: it is saved where it can be, which takes a moment.
    GiveBack = 1,
    /// Another worker has it already: nothing more is done.
    Abandon,
}

/// A request to stop, from one thread to another. It may grow, from giving back to abandoning, and
/// never shrinks.
#[derive(Debug, Default)]
pub struct Cancel(AtomicU8);

impl Cancel {
    /// Requests that the trial stops.
    pub fn ask(&self, stop: Stop) {
        self.0.fetch_max(stop as u8, Ordering::Relaxed);
    }

    /// The request, if there is one.
    pub fn asked(&self) -> Option<Stop> {
        match self.0.load(Ordering::Relaxed) {
            0 => None,
            1 => Some(Stop::GiveBack),
            _ => Some(Stop::Abandon),
        }
    }
}
