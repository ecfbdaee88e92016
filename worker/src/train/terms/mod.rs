//! Terms of the objective, one file each.
//!
//! To add a term, write its file, give the trial a setting for its weight, and list it in [`ALL`].

mod cross_entropy;
mod function_norm;
mod label_smoothing;
mod weight_decay;

use std::fmt;

use swfn_shared::trial::TrialSpec;
use tch::{Kind, Tensor};

use super::sgd;
pub(crate) use crate::compute::add;

/// All terms. Trials report their values in this order.
pub const ALL: [&dyn Term; 4] = [
    &cross_entropy::CrossEntropy,
    &label_smoothing::LabelSmoothing,
    &function_norm::FunctionNorm,
    &weight_decay::WeightDecay,
];

/// A term, weighted by one number of the trial.
pub trait Term: fmt::Debug + Sync {
    /// Its weight in a trial. Zero switches it off.
    fn weight(&self, spec: &TrialSpec) -> f64;

    /// The metric that reports its mean value, if there is one.
    fn metric(&self) -> Option<&'static str> {
        None
    }

    /// Adds its gradients by the logits, times `weights`, `[K]`. Returns its value without the
    /// weight, `[K]`, if a metric reports it.
    fn add(
        &self,
        _logits: &Logits,
        _weights: &Tensor,
        _gradients: &mut Gradients,
    ) -> Option<Tensor> {
        None
    }

    /// Sets the optimiser, if that has the gradient instead.
    fn tune(&self, _weight: f64, _sgd: &mut sgd::Settings) {}
}

/// Logits of one training step of K lanes.
#[derive(Debug)]
pub struct Logits {
    /// Log-probabilities of each class, for the images of the batch, `[K, B, classes]`.
    pub log_likelihoods: Tensor,
    /// Classes of the batch, `[K, B, 1]`.
    pub labels: Tensor,
    /// Logits of the samples of the function norm, `[K, M, classes]`.
    pub samples: Tensor,
}

/// Sums of the terms' gradients by the logits.
#[derive(Debug, Default)]
pub struct Gradients {
    /// By the logits of the batch, `[K, B, classes]`.
    pub batch: Option<Tensor>,
    /// By the logits of the samples, `[K, M, classes]`.
    pub samples: Option<Tensor>,
}

impl Logits {
    /// Logits of the batch, `[K, B, classes]`, its labels, `[K, B]`, and logits of the samples.
    pub fn new(batch: &Tensor, labels: &Tensor, samples: Tensor) -> Self {
        Self {
            log_likelihoods: batch.log_softmax(2, Kind::Float),
            labels: labels.unsqueeze(-1),
            samples,
        }
    }
}

impl Gradients {
    /// The gradients by the logits of batch and samples.
    pub fn into_parts(self, logits: &Logits) -> (Tensor, Tensor) {
        let or_zero = |gradient: Option<Tensor>, logits: &Tensor| {
            gradient.unwrap_or_else(|| logits.zeros_like())
        };
        (or_zero(self.batch, &logits.log_likelihoods), or_zero(self.samples, &logits.samples))
    }
}

/// Sum over each lane: `[K, N, classes]` -> `[K]`.
fn sum(x: &Tensor) -> Tensor {
    x.sum_dim_intlist([1_i64, 2].as_slice(), false, Kind::Float)
}

/// The hyperparameters of a trial's optimiser.
pub fn sgd_settings(spec: &TrialSpec) -> sgd::Settings {
    let mut settings = sgd::Settings {
        learning_rate: spec.learning_rate,
        momentum: spec.classifier.momentum,
        weight_decay: 0.0,
    };
    ALL.iter().for_each(|term| term.tune(term.weight(spec), &mut settings));
    settings
}
