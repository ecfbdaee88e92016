//! Loss and accuracy on the test images.

use tch::{Kind, Tensor, no_grad_guard};

use super::device_data::Images;
use crate::{compute::Place, model::network::Network};

/// What an evaluation gives for one lane.
#[derive(Debug)]
pub struct Evaluation {
    /// Mean negative log-likelihood, in nats.
    pub loss: f64,
    /// Share of images classified correctly.
    pub accuracy: f64,
    /// The class that each image was taken for, `[N]`.
    pub predicted: Tensor,
}

/// Passes all test images through the networks of `lanes` lanes in test mode. `tick` is called every now and then.
pub(crate) fn evaluate(
    network: &Network,
    lanes: usize,
    test: &Images,
    place: Place,
    mut tick: impl FnMut(),
) -> Vec<Evaluation> {
    let _guard = no_grad_guard();
    let (total, k) = (test.labels.size()[0], lanes as i64);
    let chunk = place.compute.images_at_once(lanes) as i64;
    let mut loss = Tensor::zeros([k], (Kind::Double, place.device));
    let mut predicted = Vec::new();
    for start in (0..total).step_by(chunk as usize) {
        let count = chunk.min(total - start);
        let of_lanes = |x: Tensor| {
            let mut size = x.size();
            size.insert(0, k);
            x.unsqueeze(0).expand(&size[..], false)
        };
        let logits = network.test_logits(&of_lanes(test.pixels.narrow(0, start, count))); // [K, count, classes]
        let labels = of_lanes(test.labels.narrow(0, start, count)).unsqueeze(-1); // [K, count, 1]
        loss -= logits.log_softmax(2, Kind::Float).gather(2, &labels, false).sum_dim_intlist(
            [1_i64, 2].as_slice(),
            false,
            Kind::Double,
        );
        predicted.push(logits.argmax(2, false));
        tick();
    }
    let predicted = Tensor::cat(&predicted, 1); // [K, N]
    let correct = predicted.eq_tensor(&test.labels).sum_dim_intlist([1_i64].as_slice(), false, Kind::Double);
    let numbers = Vec::<f64>::try_from(Tensor::cat(&[loss, correct], 0) / total as f64).expect("numbers of a vector");
    let (losses, accuracies) = numbers.split_at(lanes);
    let lanes = losses.iter().zip(accuracies).zip(0_i64..);
    lanes
        .map(|((&loss, &accuracy), lane)| Evaluation { loss, accuracy, predicted: predicted.select(0, lane) })
        .collect()
}

#[cfg(test)]
mod tests {
    use swfn_shared::trial::{Architecture, BatchNormScale};
    use tch::Device;

    use super::*;
    use crate::{
        model::layers::InputShape,
        rng::{Purpose, Stream},
    };

    #[test]
    fn chunks_count_every_image_once_in_every_lane() {
        let place = Place::from(Device::Cpu);
        let total = 2 * place.compute.images_at_once(2) as i64 + 23;
        let pixels = Stream::new(0, Purpose::Subset).normal(784 * total as usize);
        let pixels = Tensor::from_slice(&pixels).view([total, 28, 28]);
        let shape = InputShape { height: 28, width: 28, classes: 10 };
        let network = Network::new(Architecture::LenetBn, BatchNormScale::Ones, shape, &[1, 2], place);
        let logits = network.test_logits(&pixels.unsqueeze(0).repeat([2, 1, 1, 1])); // [2, total, 10]
        // In the first lane right for the first and the last two images, wrong for all others.
        let best: Vec<i64> = logits.get(0).argmax(1, false).try_into().unwrap();
        let right = |i: usize| i == 0 || i + 2 >= total as usize;
        let labels: Vec<i64> = best.iter().enumerate().map(|(i, &b)| if right(i) { b } else { (b + 1) % 10 }).collect();
        let test = Images { pixels, labels: Tensor::from_slice(&labels) };
        let evaluations = evaluate(&network, 2, &test, place, || ());
        assert_eq!(evaluations[0].accuracy, 3.0 / total as f64);
        let other: Vec<i64> = logits.get(1).argmax(1, false).try_into().unwrap();
        let hits = other.iter().zip(&labels).filter(|(a, b)| a == b).count();
        assert_eq!(evaluations[1].accuracy, hits as f64 / total as f64);
        for (lane, evaluation) in evaluations.iter().enumerate() {
            let loss = logits.get(lane as i64).cross_entropy_for_logits(&test.labels).double_value(&[]);
            assert!((evaluation.loss - loss).abs() < 1e-5 * loss, "{evaluation:?} {loss}");
        }
    }
}
