//! Loss and accuracy on images that are not trained on.

use tch::{Kind, Tensor, no_grad_guard};

use crate::{compute::Place, model::network::Network, trial::pool::Images};

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

/// Which images the lanes see.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Seen<'i> {
    /// The same ones in all of so many lanes.
    Together(&'i Images, usize),
    /// Its own in each, as many as in any other; at least one lane.
    Each(&'i [&'i Images]),
}

impl Seen<'_> {
    fn lanes(&self) -> usize {
        match self {
            Self::Together(_, lanes) => *lanes,
            Self::Each(images) => images.len(),
        }
    }

    fn total(&self) -> i64 {
        match self {
            Self::Together(images, _) => images.labels.size()[0],
            Self::Each(images) => images[0].labels.size()[0],
        }
    }

    /// A part of one tensor of the images, `[K, count, ...]`.
    fn part(&self, of: fn(&Images) -> &Tensor, start: i64, count: i64) -> Tensor {
        match self {
            Self::Together(images, lanes) => {
                let part = of(images).narrow(0, start, count);
                let mut size = part.size();
                size.insert(0, *lanes as i64);
                part.unsqueeze(0).expand(&size[..], false)
            }
            Self::Each(images) => {
                let parts: Vec<_> =
                    images.iter().map(|images| of(images).narrow(0, start, count)).collect();
                Tensor::stack(&parts, 0)
            }
        }
    }
}

/// Passes all these images through the networks of the lanes in test mode. `tick` is called every now and then.
pub(crate) fn evaluate(
    network: &Network,
    seen: Seen<'_>,
    place: Place,
    mut tick: impl FnMut(),
) -> Vec<Evaluation> {
    let _guard = no_grad_guard();
    let (total, lanes) = (seen.total(), seen.lanes());
    let k = lanes as i64;
    let chunk = place.compute.images_at_once(lanes) as i64;
    let mut loss = Tensor::zeros([k], (Kind::Double, place.device));
    let mut correct = Tensor::zeros([k], (Kind::Double, place.device));
    let mut predicted = Vec::new();
    for start in (0..total).step_by(chunk as usize) {
        let count = chunk.min(total - start);
        let logits = network.test_logits(&seen.part(|images| &images.pixels, start, count)); // [K, count, classes]
        let labels = seen.part(|images| &images.labels, start, count); // [K, count]
        loss -= logits
            .log_softmax(2, Kind::Float)
            .gather(2, &labels.unsqueeze(-1), false)
            .sum_dim_intlist([1_i64, 2].as_slice(), false, Kind::Double);
        let taken_for = logits.argmax(2, false);
        correct +=
            taken_for.eq_tensor(&labels).sum_dim_intlist([1_i64].as_slice(), false, Kind::Double);
        predicted.push(taken_for);
        tick();
    }
    let predicted = Tensor::cat(&predicted, 1); // [K, N]
    let numbers = Vec::<f64>::try_from(Tensor::cat(&[loss, correct], 0) / total as f64)
        .expect("numbers of a vector");
    let (losses, accuracies) = numbers.split_at(lanes);
    let lanes = losses.iter().zip(accuracies).zip(0_i64..);
    lanes
        .map(|((&loss, &accuracy), lane)| Evaluation {
            loss,
            accuracy,
            predicted: predicted.select(0, lane),
        })
        .collect()
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
        let place = Place::from(Device::Cpu);
        let total = 2 * place.compute.images_at_once(2) as i64 + 23;
        let pixels = Stream::new(0, Purpose::Subset).normal(784 * total as usize);
        let pixels = Tensor::from_slice(&pixels).view([total, 28, 28, 1]);
        let shape = InputShape { image: ImageShape::grey(28, 28), classes: 10 };
        let network =
            Network::new(Architecture::LENET_BN, BatchNormScale::Ones, shape, &[1, 2], place);
        let logits = network.test_logits(&pixels.unsqueeze(0).repeat([2, 1, 1, 1, 1])); // [2, total, 10]
        // In the first lane right for the first and the last two images, wrong for all others.
        let best: Vec<i64> = logits.get(0).argmax(1, false).try_into().unwrap();
        let right = |i: usize| i == 0 || i + 2 >= total as usize;
        let labels: Vec<i64> = best
            .iter()
            .enumerate()
            .map(|(i, &b)| if right(i) { b } else { (b + 1) % 10 })
            .collect();
        let test = Images { pixels, labels: Tensor::from_slice(&labels) };
        let evaluations = evaluate(&network, Seen::Together(&test, 2), place, || ());
        assert_eq!(evaluations[0].accuracy, 3.0 / total as f64);
        let other: Vec<i64> = logits.get(1).argmax(1, false).try_into().unwrap();
        let hits = other.iter().zip(&labels).filter(|(a, b)| a == b).count();
        assert_eq!(evaluations[1].accuracy, hits as f64 / total as f64);
        for (lane, evaluation) in evaluations.iter().enumerate() {
            let loss =
                logits.get(lane as i64).cross_entropy_for_logits(&test.labels).double_value(&[]);
            assert!((evaluation.loss - loss).abs() < 1e-5 * loss, "{evaluation:?} {loss}");
        }
        // Images of their own: the second lane sees them from the last to the first, and other labels.
        let [pixels, labels] = [&test.pixels, &test.labels].map(|x| x.flip([0]));
        let labels = labels.where_self(&labels.ne(0), &labels.ones_like());
        let own =
            evaluate(&network, Seen::Each(&[&test, &Images { pixels, labels }]), place, || ());
        assert_eq!((own[0].accuracy, own[0].loss), (evaluations[0].accuracy, evaluations[0].loss));
        assert!(own[1].predicted.flip([0]).equal(&evaluations[1].predicted));
        let relabelled = |(a, b): (&i64, &i64)| a == if *b == 0 { &1 } else { b };
        let hits = other.iter().zip(&labels_of(&test)).filter(|pair| relabelled(*pair)).count();
        assert_eq!(own[1].accuracy, hits as f64 / total as f64);
    }
}
