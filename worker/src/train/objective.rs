//! The objective of classifiers: the sum of its terms, in each lane.

use swfn_shared::trial::{SampleBatchNorm, TrialSpec};
use tch::{Device, Tensor, no_grad_guard};

use super::terms::{self, Gradients, Logits, Term};
use crate::model::network::{Network, StepInput};

/// The objective of trials of one shape, a trial in each lane.
#[derive(Debug)]
pub struct Objective {
    active: Vec<Active>,
    /// How batch norm treats the samples of the function norm.
    batch_norm: SampleBatchNorm,
}

/// A term that at least one of the trials has.
#[derive(Debug)]
struct Active {
    /// Its index in [`terms::ALL`].
    index: usize,
    term: &'static dyn Term,
    /// `[K]`.
    weights: Tensor,
}

/// Result of one training step.
#[derive(Debug)]
pub struct Gradient {
    /// Values of terms without their weights, `[K]` each, with their indices in [`terms::ALL`].
    pub values: Vec<(usize, Tensor)>,
    /// Gradients by the network's parameters, in their order.
    pub of_parameters: Vec<Tensor>,
}

impl Objective {
    /// The objective of these trials, with its weights on that device.
    pub fn new(specs: &[&TrialSpec], device: Device) -> Self {
        let active = |(index, &term): (usize, &&'static dyn Term)| {
            let weights: Vec<_> = specs.iter().map(|spec| term.weight(spec) as f32).collect();
            let tensor = || Tensor::from_slice(&weights).to_device(device);
            let is_active = weights.iter().any(|weight| *weight != 0.0);
            is_active.then(|| Active { index, term, weights: tensor() })
        };
        let batch_norm =
            specs.iter().find_map(|spec| spec.penalty.map(|penalty| penalty.batch_norm));
        Self {
            active: terms::ALL.iter().enumerate().filter_map(active).collect(),
            batch_norm: batch_norm.unwrap_or(SampleBatchNorm::Train),
        }
    }

    /// Passes batch and samples forward through the networks in training mode, and back.
    pub fn gradient(&self, network: &Network, input: &StepInput) -> Gradient {
        let _guard = no_grad_guard();
        let (batch, samples, traces) = network.training_logits(input, self.batch_norm);
        let logits = Logits::new(&batch, &input.labels, samples);
        let mut gradients = Gradients::default();
        let values = self.active.iter().filter_map(|Active { index, term, weights }| {
            term.add(&logits, weights, &mut gradients).map(|value| (*index, value))
        });
        let values = values.collect();
        let (of_batch, of_samples) = gradients.into_parts(&logits);
        Gradient { values, of_parameters: network.gradients(&traces, of_batch, of_samples) }
    }
}
