//! Loss and accuracy on test or validation images.

use tch::{Kind, Tensor, no_grad_guard};

use crate::{compute::Backend, model::network::Network, trial::pool::Images};

/// Result of an evaluation for one lane.
#[derive(Debug)]
pub struct Evaluation {
    /// Mean negative log-likelihood, in nats.
    pub loss: f64,
    /// Share of images that are classified correctly.
    pub accuracy: f64,
    /// The predicted class of each image, `[N]`.
    pub predicted: Tensor,
}

/// A part of one tensor of each lane's images, `[K, count, ...]`. It is a view if all lanes see the
/// same images.
fn part(seen: &[&Images], of: fn(&Images) -> &Tensor, start: i64, count: i64) -> Tensor {
    let part = |images: &Images| of(images).narrow(0, start, count);
    if seen.iter().all(|images| std::ptr::eq(*images, seen[0])) {
        let part = part(seen[0]).unsqueeze(0);
        let mut size = part.size();
        size[0] = seen.len() as i64;
        return part.expand(&size[..], false);
    }
    Tensor::stack(&seen.iter().map(|images| part(images)).collect::<Vec<_>>(), 0)
}

/// Passes the images of each lane, equally many, through its network in test mode. Calls `tick` now
/// and then.
pub(crate) fn evaluate(
    network: &Network,
    seen: &[&Images],
    backend: Backend,
    mut tick: impl FnMut(),
) -> Vec<Evaluation> {
    let _guard = no_grad_guard();
    let (total, lanes) = (seen[0].labels.size()[0], seen.len());
    let k = lanes as i64;
    let chunk = backend.compute.images_at_once(lanes) as i64;
    let mut loss = Tensor::zeros([k], (Kind::Double, backend.device));
    let mut correct = Tensor::zeros([k], (Kind::Double, backend.device));
    let mut predicted = Vec::new();
    for start in (0..total).step_by(chunk as usize) {
        let count = chunk.min(total - start);
        // [K, count, classes]
        let logits = network.test_logits(&part(seen, |images| &images.pixels, start, count));
        let labels = part(seen, |images| &images.labels, start, count); // [K, count]
        loss -= logits
            .log_softmax(2, Kind::Float)
            .gather(2, &labels.unsqueeze(-1), false)
            .sum_dim_intlist([1_i64, 2].as_slice(), false, Kind::Double);
        let classes = logits.argmax(2, false);
        correct +=
            classes.eq_tensor(&labels).sum_dim_intlist([1_i64].as_slice(), false, Kind::Double);
        predicted.push(classes);
        tick();
    }
    let predicted = Tensor::cat(&predicted, 1); // [K, N]
    let means = Tensor::cat(&[loss, correct], 0) / total as f64;
    let numbers = Vec::<f64>::try_from(means).expect("a vector of doubles");
    let (losses, accuracies) = numbers.split_at(lanes);
    let lanes = losses.iter().zip(accuracies).zip(0_i64..);
    let evaluation = |((&loss, &accuracy), lane)| Evaluation {
        loss,
        accuracy,
        predicted: predicted.select(0, lane),
    };
    lanes.map(evaluation).collect()
}

#[cfg(test)]
mod tests {
    use swfn_shared::{
        image::ImageShape,
        trial::{Architecture, BatchNormScale},
    };
    use tch::Device;

    use super::*;
    use crate::{
        layers::InputShape,
        rng::{Purpose, Stream},
    };

    fn labels_of(images: &Images) -> Vec<i64> {
        (&images.labels).try_into().unwrap()
    }

    #[test]
    fn chunks_count_every_image_once_in_every_lane() {
        let backend = Backend::from(Device::Cpu);
        let total = 2 * backend.compute.images_at_once(2) as i64 + 23;
        let pixels = Stream::new(0, Purpose::SUBSET).normal(784 * total as usize);
        let pixels = Tensor::from_slice(&pixels).view([total, 28, 28, 1]);
        let shape = InputShape { image: ImageShape::grey(28, 28), classes: 10 };
        let network =
            Network::new(Architecture::LENET_BN, BatchNormScale::Ones, shape, &[1, 2], backend);
        // [2, total, 10]
        let logits = network.test_logits(&pixels.unsqueeze(0).repeat([2, 1, 1, 1, 1]));
        // The first lane is right for the first and the last two images, and wrong for all others.
        let best: Vec<i64> = logits.get(0).argmax(1, false).try_into().unwrap();
        let right = |i: usize| i == 0 || i + 2 >= total as usize;
        let labels: Vec<i64> = best
            .iter()
            .enumerate()
            .map(|(i, &b)| if right(i) { b } else { (b + 1) % 10 })
            .collect();
        let test = Images { pixels, labels: Tensor::from_slice(&labels) };
        let evaluations = evaluate(&network, &[&test, &test], backend, || ());
        assert_eq!(evaluations[0].accuracy, 3.0 / total as f64);
        let other: Vec<i64> = logits.get(1).argmax(1, false).try_into().unwrap();
        let hits = other.iter().zip(&labels).filter(|(a, b)| a == b).count();
        assert_eq!(evaluations[1].accuracy, hits as f64 / total as f64);
        for (lane, evaluation) in evaluations.iter().enumerate() {
            let loss =
                logits.get(lane as i64).cross_entropy_for_logits(&test.labels).double_value(&[]);
            assert!((evaluation.loss - loss).abs() < 1e-5 * loss, "{evaluation:?} {loss}");
        }
        // The second lane sees the images from the last to the first, with other labels.
        let [pixels, labels] = [&test.pixels, &test.labels].map(|x| x.flip([0]));
        let labels = labels.where_self(&labels.ne(0), &labels.ones_like());
        let own = evaluate(&network, &[&test, &Images { pixels, labels }], backend, || ());
        assert_eq!((own[0].accuracy, own[0].loss), (evaluations[0].accuracy, evaluations[0].loss));
        assert!(own[1].predicted.flip([0]).equal(&evaluations[1].predicted));
        let relabelled = |(a, b): (&i64, &i64)| a == if *b == 0 { &1 } else { b };
        let hits = other.iter().zip(&labels_of(&test)).filter(|pair| relabelled(*pair)).count();
        assert_eq!(own[1].accuracy, hits as f64 / total as f64);
    }
}
