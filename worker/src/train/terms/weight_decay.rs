//! Weight decay: half the squared norm of all parameters. The optimiser adds its gradient.

use swfn_shared::trial::TrialSpec;

use super::{super::sgd, Term};

/// Half the squared norm of all parameters.
#[derive(Debug)]
pub(super) struct WeightDecay;

impl Term for WeightDecay {
    fn weight(&self, spec: &TrialSpec) -> f64 {
        spec.weight_decay()
    }

    fn tune(&self, weight: f64, sgd: &mut sgd::Settings) {
        sgd.weight_decay = weight;
    }
}
