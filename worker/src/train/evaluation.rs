//! Loss and accuracy on the test images.

use tch::{Reduction, Tensor, no_grad_guard};

use super::{
    device_data::Images,
    report::{Reporter, TrainError},
};
use crate::model::network::Network;

/// Images per pass: the activations of so many fit a CPU's cache.
const CHUNK: i64 = 50;

/// What an evaluation gives.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Evaluation {
    /// Mean negative log-likelihood, in nats.
    pub loss: f64,
    /// Share of images classified correctly.
    pub accuracy: f64,
}

/// Passes all test images through the network in test mode. `step` is where the trial stands.
pub(crate) fn evaluate(
    network: &Network,
    test: &Images,
    step: u64,
    reporter: &mut Reporter<'_>,
) -> Result<Evaluation, TrainError> {
    let _guard = no_grad_guard();
    let total = test.labels.size()[0];
    let device = test.labels.device();
    let mut loss = Tensor::zeros([], (tch::Kind::Double, device));
    let mut correct = Tensor::zeros([], (tch::Kind::Int64, device));
    for start in (0..total).step_by(CHUNK as usize) {
        let count = CHUNK.min(total - start);
        let labels = test.labels.narrow(0, start, count);
        let logits = network.test_logits(&test.pixels.narrow(0, start, count)); // [count, classes]
        loss += logits.cross_entropy_loss::<&Tensor>(&labels, None, Reduction::Sum, -100, 0.0);
        correct += logits.argmax(1, false).eq_tensor(&labels).sum(tch::Kind::Int64);
        reporter.tick(step)?;
    }
    let total = total as f64;
    Ok(Evaluation { loss: loss.double_value(&[]) / total, accuracy: correct.int64_value(&[]) as f64 / total })
}
