//! What a classifier minimises (Rannen Triki et al. 2019): NLL(f, batch) + lambda * R(f), R(f) = mean over M samples of
//! ||f(x)||^2; in each lane.

use swfn_shared::trial::SampleBatchNorm;
use tch::{Kind, Tensor, no_grad_guard};

use crate::model::network::{Network, StepInput, Traces};

/// The two terms, `[K]` each.
#[derive(Debug)]
pub struct Objective {
    /// Negative log-likelihood, mean over the batch, in nats.
    pub nll: Tensor,
    /// R, the Monte-Carlo estimate of the squared weighted norm of f; `None` without samples.
    pub function_norm: Option<Tensor>,
    traces: Traces,
    /// Gradient of the first term by the logits of the batch, `[K, B, classes]`.
    of_batch: Tensor,
    /// Logits of the samples, `[K, M, classes]`.
    samples: Tensor,
}

impl Objective {
    /// Passes batch and samples through the networks in training mode. `batch_norm`: how it treats the samples.
    pub fn of(network: &Network, input: &StepInput, batch_norm: SampleBatchNorm) -> Self {
        let _guard = no_grad_guard();
        let (batch, samples, traces) = network.training_logits(input, batch_norm);
        let labels = input.labels.unsqueeze(-1); // [K, B, 1]
        let log_likelihoods = batch.log_softmax(2, Kind::Float); // [K, B, classes]
        let share = -1.0 / labels.size()[1] as f64;
        let of_labels = log_likelihoods.gather(2, &labels, false);
        let nll = of_labels.sum_dim_intlist([1_i64, 2].as_slice(), false, Kind::Float) * share;
        // softmax(logits) / B, less 1 / B at the label.
        let mut of_batch = log_likelihoods.exp().g_mul_scalar_(-share);
        let _ = of_batch.scatter_add_(2, &labels, &of_labels.full_like(share));
        let count = samples.size()[1];
        let function_norm = (count > 0)
            .then(|| samples.square().sum_dim_intlist([1_i64, 2].as_slice(), false, Kind::Float) / count as f64);
        Self { nll, function_norm, traces, of_batch, samples }
    }

    /// Gradients of nll + lambda * function norm by the network's parameters, in their order. `lambda`: `[K]`.
    pub fn gradients(self, network: &Network, lambda: &Tensor) -> Vec<Tensor> {
        let _guard = no_grad_guard();
        let Self { traces, of_batch, samples, .. } = self;
        let count = samples.size()[1].max(1) as f64;
        let of_samples = samples * (lambda * (2.0 / count)).view([-1, 1, 1]);
        network.gradients(&traces, of_batch, of_samples)
    }
}
