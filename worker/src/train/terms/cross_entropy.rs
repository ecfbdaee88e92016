//! Cross-entropy of the batch, to which all other terms are added.

use swfn_shared::{metrics::TRAIN_LOSS, trial::TrialSpec};
use tch::Tensor;

use super::{Gradients, Logits, Term, add, sum};

/// Mean negative log-likelihood of the labels, in nats.
#[derive(Debug)]
pub(super) struct CrossEntropy;

impl Term for CrossEntropy {
    fn weight(&self, _: &TrialSpec) -> f64 {
        1.0
    }

    fn metric(&self) -> Option<&'static str> {
        Some(TRAIN_LOSS)
    }

    fn add(&self, logits: &Logits, _: &Tensor, gradients: &mut Gradients) -> Option<Tensor> {
        let Logits { log_likelihoods, labels, .. } = logits;
        let share = -1.0 / labels.size()[1] as f64;
        let of_labels = log_likelihoods.gather(2, labels, false);
        // softmax(logits) / B, minus 1 / B at the label.
        let mut of_batch = log_likelihoods.exp().g_mul_scalar_(-share);
        let _ = of_batch.scatter_add_(2, labels, &of_labels.full_like(share));
        add(&mut gradients.batch, of_batch);
        Some(sum(&of_labels) * share)
    }
}
