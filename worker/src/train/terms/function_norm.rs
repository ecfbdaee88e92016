//! The squared function norm (Rannen Triki et al. 2017): the mean over M samples x of ||f(x)||^2.

use swfn_shared::{metrics::TRAIN_FUNCTION_NORM, trial::TrialSpec};
use tch::Tensor;

use super::{Gradients, Logits, Term, add, sum};

/// Monte-Carlo estimate of the squared weighted norm of f.
#[derive(Debug)]
pub(super) struct FunctionNorm;

impl Term for FunctionNorm {
    fn weight(&self, spec: &TrialSpec) -> f64 {
        spec.lambda()
    }

    fn metric(&self) -> Option<&'static str> {
        Some(TRAIN_FUNCTION_NORM)
    }

    fn add(
        &self,
        Logits { samples, .. }: &Logits,
        weights: &Tensor,
        gradients: &mut Gradients,
    ) -> Option<Tensor> {
        let count = samples.size()[1] as f64;
        add(&mut gradients.samples, samples * (weights * (2.0 / count)).view([-1, 1, 1]));
        Some(sum(&samples.square()) / count)
    }
}
