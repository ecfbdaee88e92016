//! Divergence: a loss that has left the finite numbers does not come back.

use swfn_shared::metrics::MetricPoint;

use super::{StopRule, TrainError};

/// Ends a trial whose losses are not finite.
#[derive(Debug)]
pub(crate) struct Divergence;

impl StopRule for Divergence {
    fn look(&mut self, points: &[MetricPoint]) -> Result<(), TrainError> {
        match points.iter().find(|point| !point.value.is_finite()) {
            Some(&MetricPoint { metric, step, value }) => {
                Err(TrainError::Diverged { metric, step, value })
            }
            None => Ok(()),
        }
    }
}
