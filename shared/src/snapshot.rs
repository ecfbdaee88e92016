//! The state of a sweep as people see it while it runs.

use std::{sync::Arc, time::Duration};

use crate::{
    ids::{TrialId, WorkerId},
    state::TrialState,
    trial::TrialSpec,
};

/// Trials by state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Neither begun nor ended.
    pub pending: usize,
    /// Under way.
    pub leased: usize,
    /// With a result.
    pub succeeded: usize,
    /// Given up.
    pub quarantined: usize,
}

impl Counts {
    /// The number of trials in that state.
    pub fn of(&self, state: TrialState) -> usize {
        match state {
            TrialState::Pending => self.pending,
            TrialState::Leased => self.leased,
            TrialState::Succeeded => self.succeeded,
            TrialState::Quarantined => self.quarantined,
        }
    }

    /// The same, to change it.
    pub fn of_mut(&mut self, state: TrialState) -> &mut usize {
        match state {
            TrialState::Pending => &mut self.pending,
            TrialState::Leased => &mut self.leased,
            TrialState::Succeeded => &mut self.succeeded,
            TrialState::Quarantined => &mut self.quarantined,
        }
    }

    /// Whether nothing is left to do.
    pub fn finished(&self) -> bool {
        self.pending + self.leased == 0
    }

    /// All of them.
    pub fn total(&self) -> usize {
        self.pending + self.leased + self.succeeded + self.quarantined
    }
}

/// A moment of the sweep.
#[derive(Debug, Clone, Default)]
pub struct Snapshot {
    /// Trials by state.
    pub counts: Counts,
    /// Trials that are trained a second time, when the others have ended; none unless the grid file asks for it.
    pub verification: Option<Counts>,
    /// Connected workers.
    pub workers: usize,
    /// Share of the arithmetic of the whole sweep that is done, running trials included.
    pub share_done: f64,
    /// Share that was done when this coordinator started.
    pub share_at_start: f64,
    /// Trials that succeeded since this coordinator started.
    pub succeeded_here: usize,
    /// Since this coordinator started.
    pub elapsed: Duration,
    /// The best cell so far.
    pub best: Option<BestCell>,
    /// Those that are connected.
    pub connected: Arc<[WorkerId]>,
    /// Trials that somebody has a lease of.
    pub running: Arc<[Running]>,
}

/// A trial under way.
#[derive(Debug, Clone)]
pub struct Running {
    /// The trial.
    pub trial: TrialId,
    /// The worker that holds its lease.
    pub worker: WorkerId,
    /// Iterations done, those of the VAE included.
    pub step: u64,
}

impl Snapshot {
    /// Whether nothing is left to do, a second training included.
    pub fn finished(&self) -> bool {
        self.counts.finished() && self.verification.is_none_or(|counts| counts.finished())
    }

    /// Time left at the pace so far; `None` before there is a pace.
    pub fn remaining(&self) -> Option<Duration> {
        let done_here = self.share_done - self.share_at_start;
        let pace = done_here / self.elapsed.as_secs_f64();
        (done_here > 0.001)
            .then(|| Duration::try_from_secs_f64((1.0 - self.share_done) / pace).ok())
            .flatten()
    }
}

/// The cell with the highest mean of the accuracies that count, so far.
#[derive(Debug, Clone)]
pub struct BestCell {
    /// Any trial of the cell.
    pub spec: TrialSpec,
    /// Seeds with a result.
    pub seeds: usize,
    /// Mean accuracy over these seeds, 0 to 1.
    pub mean: f64,
}
