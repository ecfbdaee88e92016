//! The samples x ~ Q on which the function norm is estimated.

use swfn_shared::trial::SampleUnits;
use tch::{Device, Kind, Tensor, no_grad_guard};

use super::device_data::normalised;
use crate::{rng::Stream, vae::trained::TrainedVae};

/// The density Q.
pub(crate) enum Source<'a> {
    /// A VAE's decoder, at codes of that spread.
    Vae { vae: &'a TrainedVae, spread: f64 },
    /// These images, with replacement: `[n, H, W]` in normalised units.
    Data(&'a Tensor),
    /// Pixels uniform between black and white.
    UniformNoise,
    /// Pixels normal with mean 0 and variance 1 in normalised units.
    GaussianNoise,
}

/// Samples of a trial: a density, units, and the stream that they are drawn from.
pub(crate) struct Samples<'a> {
    pub(crate) source: Source<'a>,
    /// M, per step.
    pub(crate) count: usize,
    pub(crate) units: SampleUnits,
    pub(crate) stream: Stream,
}

impl Samples<'_> {
    /// The samples of the next `steps` steps: `[steps * M, height, width]`.
    pub(crate) fn draw(&mut self, steps: usize, (height, width): (i64, i64), device: Device) -> Tensor {
        let _guard = no_grad_guard();
        let (count, pixels) = (steps * self.count, (height * width) as usize);
        let stream = &mut self.stream;
        let host = |values: Vec<f32>| Tensor::from_slice(&values).to_device(device);
        let samples = match self.source {
            Source::Vae { vae, spread } => vae.sample(count, spread, stream),
            Source::Data(images) => {
                let numbers = stream.below(images.size()[0], count);
                images.index_select(0, &Tensor::from_slice(&numbers).to_device(device))
            }
            Source::UniformNoise => host(stream.uniform(normalised(0), normalised(255), count * pixels)),
            Source::GaussianNoise => host(stream.normal(count * pixels)),
        };
        in_units(samples.view([-1, height, width]).to_kind(Kind::Float), self.units)
    }
}

/// Samples in the units that the classifier shall see, from normalised ones, such as a decoder gives before its sigmoid.
pub fn in_units(mut samples: Tensor, units: SampleUnits) -> Tensor {
    match units {
        SampleUnits::Vae => samples.sigmoid_(),
        SampleUnits::Normalised => samples,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Purpose;

    fn draw(source: Source<'_>, units: SampleUnits) -> Vec<f32> {
        let stream = Stream::new(3, Purpose::PenaltyNoise);
        let mut samples = Samples { source, count: 50, units, stream };
        let drawn = samples.draw(4, (6, 5), Device::Cpu);
        assert_eq!(drawn.size(), [200, 6, 5]);
        drawn.flatten(0, -1).try_into().unwrap()
    }

    fn moments(values: &[f32]) -> (f64, f64) {
        let mean = |f: fn(f64) -> f64| values.iter().map(|&x| f(x.into())).sum::<f64>() / values.len() as f64;
        (mean(|x| x), mean(|x| x * x))
    }

    /// 6,000 pixels each: the standard errors of the means are below 0.013.
    #[test]
    fn noise_has_its_distribution() {
        let uniform = draw(Source::UniformNoise, SampleUnits::Normalised);
        let (black, white) = (normalised(0), normalised(255));
        assert!(uniform.iter().all(|x| (black..=white).contains(x)));
        assert!((moments(&uniform).0 - f64::from(black + white) / 2.0).abs() < 0.06);
        let (mean, square) = moments(&draw(Source::GaussianNoise, SampleUnits::Normalised));
        assert!(mean.abs() < 0.06 && (square - 1.0).abs() < 0.08, "{mean} {square}");
    }

    #[test]
    fn data_are_images_of_the_subset_and_the_units_are_a_sigmoid_apart() {
        let images = Tensor::from_slice(&[-0.4_f32, 0.5, 2.0]).view([3, 1, 1]).repeat([1, 6, 5]);
        let plain = draw(Source::Data(&images), SampleUnits::Normalised);
        let mut counts = [0; 3];
        for sample in plain.chunks(30) {
            let kind = [-0.4_f32, 0.5, 2.0].iter().position(|&x| sample == [x; 30]);
            counts[kind.unwrap()] += 1;
        }
        // 200 draws of three images: 67 each, with a standard deviation of 6.7.
        assert!(counts.iter().all(|count| (40..=94).contains(count)), "{counts:?}");
        let squashed = draw(Source::Data(&images), SampleUnits::Vae);
        let sigmoid = |x: f32| 1.0 / (1.0 + (-x).exp());
        assert!(plain.iter().zip(&squashed).all(|(x, y)| (sigmoid(*x) - y).abs() < 1e-6));
    }
}
