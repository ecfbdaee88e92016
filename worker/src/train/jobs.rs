//! The interface through which a trainer gets trials and returns results.

use std::time::Duration;

use swfn_shared::{
    artifacts::{Artifact, Artifacts},
    capacity::Capacity,
    ids::ShapeId,
    trial::TrialSpec,
};
use tracing::Span;

use crate::trial::report::{Observer, Outcome, TrainError};

/// A trial to train.
pub struct Job<'o> {
    /// The number that identifies its result.
    pub ticket: u64,
    /// Its settings.
    pub spec: TrialSpec,
    /// The files to make of it.
    pub wanted: Artifacts,
    /// Receives its progress.
    pub observer: Box<dyn Observer + 'o>,
    /// The span of its log lines.
    pub span: Span,
}

/// A source of trials and sink of results.
pub trait Jobs<'o> {
    /// Reports the room for more trials, now or soon.
    fn room(&mut self, room: Capacity);

    /// Returns a trial of that shape, if one is available. Without a shape it waits for any trial,
    /// and returns `None` if no more will come.
    fn next(&mut self, shape: Option<ShapeId>) -> Option<Job<'o>>;

    /// Waits until another trial comes, up to a limit. Returns whether one has come.
    fn wait(&mut self, _limit: Duration) -> bool {
        false
    }

    /// Reports that the device no longer computes. No other trial can be trained.
    fn lost(&mut self, _error: &TrainError) {}

    /// Takes a trial's result.
    fn ended(&mut self, ticket: u64, result: Result<(Outcome, Vec<Artifact>), TrainError>);
}

/// A source of one trial.
pub(crate) struct OneJob<'o> {
    pub(crate) job: Option<Job<'o>>,
    pub(crate) result: Option<Result<(Outcome, Vec<Artifact>), TrainError>>,
}

impl<'o> Jobs<'o> for OneJob<'o> {
    fn room(&mut self, _: Capacity) {}

    fn next(&mut self, _: Option<ShapeId>) -> Option<Job<'o>> {
        self.job.take()
    }

    fn ended(&mut self, _: u64, result: Result<(Outcome, Vec<Artifact>), TrainError>) {
        self.result = Some(result);
    }
}
