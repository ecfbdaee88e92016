//! The terms of what a classifier minimises, each in a file of its own.
//!
//! A new one is a file here, with a number in the trial's specification, and a place in [`ALL`].

mod cross_entropy;
mod function_norm;
mod label_smoothing;
mod weight_decay;

use std::fmt;

use swfn_shared::trial::TrialSpec;
use tch::{Kind, Tensor};

use super::sgd;

/// All terms; trials report their values in this order.
pub const ALL: [&dyn Term; 4] = [
    &cross_entropy::CrossEntropy,
    &label_smoothing::LabelSmoothing,
    &function_norm::FunctionNorm,
    &weight_decay::WeightDecay,
];

/// A term, weighted by one number of the trial.
pub trait Term: fmt::Debug + Sync {
    /// Its weight in that trial; 0: the trial does without it.
    fn weight(&self, spec: &TrialSpec) -> f64;

    /// The metric that tells its mean value, if one does.
    fn metric(&self) -> Option<&'static str> {
        None
    }

    /// Adds its gradients by the logits, times `weights`, a number for each lane, `[K]`. Gives its value
    /// without the weight, `[K]`, if a metric tells it.
    fn add(
        &self,
        _logits: &Logits,
        _weights: &Tensor,
        _gradients: &mut Gradients,
    ) -> Option<Tensor> {
        None
    }

    /// Sets what the optimiser does in its place.
    fn tune(&self, _weight: f64, _sgd: &mut sgd::Settings) {}
}

/// What one step of training computes of K lanes.
#[derive(Debug)]
pub struct Logits {
    /// Logarithms of the probabilities of each class, for the images of the batch, `[K, B, classes]`.
    pub log_likelihoods: Tensor,
    /// Classes of the batch, `[K, B, 1]`.
    pub labels: Tensor,
    /// Logits of the samples of the function norm, `[K, M, classes]`.
    pub samples: Tensor,
}

/// Gradients by logits, as far as terms have added them.
#[derive(Debug, Default)]
pub struct Gradients {
    batch: Option<Tensor>,
    samples: Option<Tensor>,
}

impl Logits {
    /// From the logits of the batch, `[K, B, classes]`, its labels, `[K, B]`, and those of the samples.
    pub fn new(batch: &Tensor, labels: &Tensor, samples: Tensor) -> Self {
        Self {
            log_likelihoods: batch.log_softmax(2, Kind::Float),
            labels: labels.unsqueeze(-1),
            samples,
        }
    }
}

impl Gradients {
    /// Adds one by the logits of the batch, `[K, B, classes]`.
    pub fn add_to_batch(&mut self, gradient: Tensor) {
        add(&mut self.batch, gradient);
    }

    /// Adds one by the logits of the samples, `[K, M, classes]`.
    pub fn add_to_samples(&mut self, gradient: Tensor) {
        add(&mut self.samples, gradient);
    }

    /// Those of the batch and of the samples.
    pub fn into_parts(self, logits: &Logits) -> (Tensor, Tensor) {
        let or_zero = |gradient: Option<Tensor>, logits: &Tensor| {
            gradient.unwrap_or_else(|| logits.zeros_like())
        };
        (or_zero(self.batch, &logits.log_likelihoods), or_zero(self.samples, &logits.samples))
    }
}

fn add(sum: &mut Option<Tensor>, gradient: Tensor) {
    *sum = Some(match sum.take() {
        Some(sum) => sum + gradient,
        None => gradient,
    });
}

/// Over each lane: `[K, N, classes]` -> `[K]`.
fn sum(x: &Tensor) -> Tensor {
    x.sum_dim_intlist([1_i64, 2].as_slice(), false, Kind::Float)
}

/// The numbers of a trial's optimiser.
pub fn sgd_settings(spec: &TrialSpec) -> sgd::Settings {
    let mut settings = sgd::Settings {
        learning_rate: spec.learning_rate,
        momentum: spec.classifier.momentum,
        weight_decay: 0.0,
    };
    ALL.iter().for_each(|term| term.tune(term.weight(spec), &mut settings));
    settings
}
