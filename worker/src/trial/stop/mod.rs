//! Rules that end a trial before its last iteration, one file each.
//!
//! To add a rule, write its file and list it in [`rules`].

mod divergence;

use swfn_shared::{metrics::MetricPoint, trial::TrialSpec};

pub(crate) use divergence::Divergence;

use super::{
    report::TrainError,
    state::{Misfit, State},
};

/// A rule with its memory of one trial.
pub(crate) trait StopRule {
    /// Checks points before they are reported.
    ///
    /// # Errors
    /// The reason why the trial ends.
    fn look(&mut self, points: &[MetricPoint]) -> Result<(), TrainError>;

    /// Keeps its memory in a checkpoint.
    fn keep(&self, _: &mut State) {}

    /// Resumes where [`Self::keep`] left off.
    fn restore(&mut self, _: &State) -> Result<(), Misfit> {
        Ok(())
    }
}

/// The rules of a trial, in the order in which they check.
pub(crate) fn rules(spec: &TrialSpec) -> Vec<Box<dyn StopRule>> {
    vec![Box::new(Divergence::for_classifier(spec))]
}
