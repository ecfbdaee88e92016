//! When a trial ends before its last iteration: rules, each in a file of its own.
//!
//! A new one is a file here and a place in [`rules`].

mod divergence;

use swfn_shared::{metrics::MetricPoint, trial::TrialSpec};

pub(crate) use divergence::Divergence;

use super::{
    report::TrainError,
    state::{Misfit, State},
};

/// A rule, as it stands in one trial.
pub(crate) trait StopRule {
    /// Looks at what has just been measured, before it is reported.
    ///
    /// # Errors
    /// Why the trial ends.
    fn look(&mut self, points: &[MetricPoint]) -> Result<(), TrainError>;

    /// Keeps what it remembers.
    fn keep(&self, _: &mut State) {}

    /// Goes on where [`Self::keep`] left off.
    fn restore(&mut self, _: &State) -> Result<(), Misfit> {
        Ok(())
    }
}

/// The rules of a trial, in the order in which they look.
pub(crate) fn rules(_: &TrialSpec) -> Vec<Box<dyn StopRule>> {
    vec![Box::new(Divergence)]
}
