//! Weight decay: half of the squared norm of all parameters, whose gradient the optimiser adds.

use swfn_shared::trial::TrialSpec;

use super::{super::sgd, Term};

/// See the module.
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
