//! Where trials come from and where their results go.

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
    /// By which its result is told from others'.
    pub ticket: u64,
    /// What to train.
    pub spec: TrialSpec,
    /// The files that are wanted of it.
    pub wanted: Artifacts,
    /// Whom its progress is told.
    pub observer: Box<dyn Observer + 'o>,
    /// What is logged about it belongs to this span.
    pub span: Span,
}

/// Gives trials and takes results.
pub trait Jobs<'o> {
    /// Says how much room there is for more trials, now or soon.
    fn room(&mut self, room: Capacity);

    /// A trial of that shape that is there, or none. Without a shape: any trial, waited for if need be, or none if no more
    /// will come.
    fn next(&mut self, shape: Option<ShapeId>) -> Option<Job<'o>>;

    /// Waits until another trial comes, but not longer than that. Whether one has come.
    fn wait(&mut self, _limit: Duration) -> bool {
        false
    }

    /// The device does not compute any more: no other trial is taken.
    fn lost(&mut self, _error: &TrainError) {}

    /// A trial is over.
    fn ended(&mut self, ticket: u64, result: Result<(Outcome, Vec<Artifact>), TrainError>);
}

/// One trial, and then no more.
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
