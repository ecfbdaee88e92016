//! Label smoothing (Szegedy et al. 2016), which spreads a share of each label evenly over all
//! classes.

use swfn_shared::{axes::Axis, trial::TrialSpec};
use tch::Tensor;

use super::{Gradients, Logits, Term, add};

const SHARE: Axis = Axis::at("label_smoothing");

/// Mean cross-entropy with an even distribution, minus that with the labels.
#[derive(Debug)]
pub(super) struct LabelSmoothing;

impl Term for LabelSmoothing {
    fn weight(&self, spec: &TrialSpec) -> f64 {
        SHARE.real(spec)
    }

    fn add(&self, logits: &Logits, weights: &Tensor, gradients: &mut Gradients) -> Option<Tensor> {
        let Logits { log_likelihoods, labels, .. } = logits;
        let size = log_likelihoods.size();
        let [lanes, batch, classes] = size[..] else { unreachable!("logits are [K, B, classes]") };
        // The softmax cancels: 1 / B at the label, minus 1 / (B classes) everywhere.
        let share = weights.view([lanes, 1, 1]) / batch as f64;
        let everywhere = (&share / -(classes as f64)).expand([lanes, batch, classes], false);
        let at_labels = share.expand([lanes, batch, 1], false);
        add(&mut gradients.batch, everywhere.scatter_add(2, labels, &at_labels));
        None
    }
}
