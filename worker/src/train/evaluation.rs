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
#[derive(Debug)]
pub struct Evaluation {
    /// Mean negative log-likelihood, in nats.
    pub loss: f64,
    /// Share of images classified correctly.
    pub accuracy: f64,
    /// The class that each image was taken for, `[N]`.
    pub predicted: Tensor,
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
    let mut predicted = Vec::new();
    for start in (0..total).step_by(CHUNK as usize) {
        let count = CHUNK.min(total - start);
        let labels = test.labels.narrow(0, start, count);
        let logits = network.test_logits(&test.pixels.narrow(0, start, count)); // [count, classes]
        loss += logits.cross_entropy_loss::<&Tensor>(&labels, None, Reduction::Sum, -100, 0.0);
        predicted.push(logits.argmax(1, false));
        reporter.tick(step)?;
    }
    let predicted = Tensor::cat(&predicted, 0);
    let correct = predicted.eq_tensor(&test.labels).sum(tch::Kind::Int64).int64_value(&[]);
    let total = total as f64;
    Ok(Evaluation { loss: loss.double_value(&[]) / total, accuracy: correct as f64 / total, predicted })
}

#[cfg(test)]
mod tests {
    use std::ops::ControlFlow;

    use swfn_shared::{
        metrics::MetricPoint,
        trial::{Architecture, BatchNormScale},
    };
    use tch::no_grad;

    use super::*;
    use crate::{
        model::layers::InputShape,
        rng::{Purpose, Stream},
        train::report::{Observer, Stop},
    };

    struct Silent;

    impl Observer for Silent {
        fn points(&mut self, _: u64, _: &[MetricPoint]) -> ControlFlow<Stop> {
            ControlFlow::Continue(())
        }
    }

    #[test]
    fn chunks_count_every_image_once() {
        let total = 2 * CHUNK + 23;
        let pixels = Stream::new(0, Purpose::Subset).normal(784 * total as usize);
        let pixels = Tensor::from_slice(&pixels).view([total, 28, 28]);
        let shape = InputShape { height: 28, width: 28, classes: 10 };
        let network = Network::new(Architecture::LenetBn, BatchNormScale::Ones, shape, 1, tch::Device::Cpu);
        let logits = no_grad(|| network.test_logits(&pixels));
        // Right for the first and the last two images, wrong for all others.
        let best: Vec<i64> = logits.argmax(1, false).try_into().unwrap();
        let right = |i: usize| i == 0 || i + 2 >= total as usize;
        let labels: Vec<i64> = best.iter().enumerate().map(|(i, &b)| if right(i) { b } else { (b + 1) % 10 }).collect();
        let test = Images { pixels, labels: Tensor::from_slice(&labels) };
        let evaluation = evaluate(&network, &test, 0, &mut Reporter::new(&mut Silent)).unwrap();
        assert_eq!(evaluation.accuracy, 3.0 / total as f64);
        let loss = logits.cross_entropy_for_logits(&test.labels).double_value(&[]);
        assert!((evaluation.loss - loss).abs() < 1e-5 * loss, "{evaluation:?} {loss}");
    }
}
