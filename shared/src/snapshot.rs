//! The state of a running sweep, for people.

use std::{sync::Arc, time::Duration};

use crate::{
    ids::{TrialId, WorkerId},
    state::TrialState,
    trial::TrialSpec,
};

/// Numbers of trials by state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Waiting trials.
    pub pending: usize,
    pub leased: usize,
    /// Done trials.
    pub succeeded: usize,
    /// Failed trials.
    pub quarantined: usize,
}

impl Counts {
    pub fn get(mut self, state: TrialState) -> usize {
        *self.get_mut(state)
    }

    /// The number of trials in a state, to change it.
    pub fn get_mut(&mut self, state: TrialState) -> &mut usize {
        match state {
            TrialState::Pending => &mut self.pending,
            TrialState::Leased => &mut self.leased,
            TrialState::Succeeded => &mut self.succeeded,
            TrialState::Quarantined => &mut self.quarantined,
        }
    }

    /// Whether all trials have ended.
    pub fn finished(&self) -> bool {
        self.pending + self.leased == 0
    }

    pub fn total(&self) -> usize {
        self.pending + self.leased + self.succeeded + self.quarantined
    }
}

/// A moment of the sweep.
#[derive(Debug, Clone, Default)]
pub struct Snapshot {
    /// Numbers of trials by state.
    pub counts: Counts,
    /// The same for trials that are trained again to verify them, after all others have ended.
    pub verification: Option<Counts>,
    /// Number of connected workers.
    pub workers: usize,
    /// Share of the arithmetic of the whole sweep that is done, running trials included.
    pub share_done: f64,
    /// The same share when this coordinator started.
    pub share_at_start: f64,
    /// Trials that succeeded since this coordinator started.
    pub succeeded_here: usize,
    /// Time since this coordinator started.
    pub elapsed: Duration,
    pub best: Option<BestCell>,
    /// Ids of the connected workers.
    pub connected: Arc<[WorkerId]>,
    pub running: Arc<[Running]>,
}

#[derive(Debug, Clone)]
pub struct Running {
    pub trial: TrialId,
    /// The worker that holds its lease.
    pub worker: WorkerId,
    /// Iterations done, those of the VAE included.
    pub step: u64,
}

impl Snapshot {
    /// Whether all trials have ended, verifications included.
    pub fn finished(&self) -> bool {
        self.counts.finished() && self.verification.is_none_or(|counts| counts.finished())
    }

    /// Time left at the pace so far; `None` before there is a pace.
    pub fn remaining(&self) -> Option<Duration> {
        let done_here = self.share_done - self.share_at_start;
        let pace = done_here / self.elapsed.as_secs_f64();
        let left = Duration::try_from_secs_f64((1.0 - self.share_done) / pace).ok();
        left.filter(|_| done_here > 0.001)
    }
}

/// The cell with the highest mean of the selected accuracies, so far.
#[derive(Debug, Clone)]
pub struct BestCell {
    /// Any trial of the cell.
    pub spec: TrialSpec,
    /// Seeds with a result.
    pub seeds: usize,
    /// Mean accuracy over these seeds, 0 to 1.
    pub mean: f64,
}
