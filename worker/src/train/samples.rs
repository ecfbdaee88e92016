//! The samples x ~ Q on which the function norm is estimated.

use swfn_shared::{
    dataset::Units,
    trial::{Density, Penalty, SampleUnits},
};
use tch::{Device, Kind, Tensor, no_grad_guard};

use crate::{
    compute::Backend,
    noise::{self, Noise},
    rng::{Purpose, Stream},
    trial::{
        pool::Pool,
        report::TrainError,
        state::{Misfit, State},
    },
    vae::trained::Densities,
};

/// The density Q of each lane.
#[derive(Debug)]
pub(crate) enum Source {
    /// Decoders of VAEs, at codes of that spread.
    Vaes { densities: Densities, spread: f64 },
    /// Images of each lane's subset, with replacement.
    Data,
    /// Pixels that are uniform between black and white.
    UniformNoise { black: f64, white: f64 },
    /// Pixels that are normal with mean 0 and variance 1 in normalised units.
    GaussianNoise,
}

/// The samples of K lanes.
#[derive(Debug)]
pub(crate) struct Samples {
    pub(crate) source: Source,
    /// M, the number of samples per step and lane.
    pub(crate) count: usize,
    pub(crate) units: SampleUnits,
}

/// The random stream of one trial's samples.
#[derive(Debug, Clone)]
pub(crate) enum Draw {
    /// It draws numbers of images.
    Images(Box<Stream>),
    /// It draws codes or pixels.
    Noise(Noise),
}

impl Draw {
    /// The stream of a trial.
    pub(crate) fn new(density: Density, seed: u64) -> Self {
        match density {
            Density::Data => Self::Images(Box::new(Stream::new(seed, Purpose::PENALTY_NOISE))),
            Density::Vae | Density::ConvVae | Density::UniformNoise | Density::GaussianNoise => {
                Self::Noise(Noise::new(seed, Purpose::PENALTY_NOISE))
            }
        }
    }

    /// Keeps its position.
    pub(crate) fn keep(&self, state: &mut State) {
        let position = match self {
            Self::Images(stream) => stream.position(),
            Self::Noise(noise) => noise.position(),
        };
        state.set("samples", position);
    }

    /// Resumes where [`Self::keep`] left off.
    pub(crate) fn restore(&mut self, state: &State) -> Result<(), Misfit> {
        let position = state.position("samples")?;
        match self {
            Self::Images(stream) => stream.go_to(position),
            Self::Noise(noise) => noise.go_to(position),
        }
        Ok(())
    }
}

impl Samples {
    /// The samples of lanes with that penalty. With a VAE as density, `densities` are those of the
    /// lanes.
    pub(crate) fn new(
        penalty: &Penalty,
        densities: Option<Densities>,
        units: Units,
    ) -> Result<Self, TrainError> {
        let source = match (penalty.density, penalty.vae, densities) {
            (Density::Vae | Density::ConvVae, Some(samples), Some(densities)) => {
                Source::Vaes { densities, spread: samples.spread }
            }
            (Density::Vae | Density::ConvVae, _, _) => {
                return Err(TrainError::Data(format!(
                    "density `{}` comes without a VAE",
                    penalty.density.name()
                )));
            }
            (Density::Data, _, _) => Source::Data,
            (Density::UniformNoise, _, _) => {
                let [black, white] = [0, 255].map(|byte| units.of(byte).into());
                Source::UniformNoise { black, white }
            }
            (Density::GaussianNoise, _, _) => Source::GaussianNoise,
        };
        Ok(Self { source, count: penalty.samples as usize, units: penalty.units })
    }

    /// Draws the samples of the next `steps` steps, with a stream for each lane:
    /// `[K, steps * M, H, W, C]`. `pool` has the images of all lanes.
    pub(crate) fn draw(
        &self,
        draws: Vec<&mut Draw>,
        steps: usize,
        pool: &Pool,
        backend: Backend,
    ) -> Tensor {
        let _guard = no_grad_guard();
        let [height, width, channels] = pool.image();
        let lanes = draws.len() as i64;
        let (values, at) = (self.count * (height * width * channels) as usize, backend.noise());
        let samples = match &self.source {
            Source::Data => {
                let numbers = draws.into_iter().enumerate().flat_map(|(lane, draw)| match draw {
                    Draw::Images(stream) => {
                        pool.numbers(lane, &stream.below(pool.images(lane), steps * self.count))
                    }
                    Draw::Noise(_) => panic!("the stream is of another density"),
                });
                pool.gather(&numbers.collect::<Vec<_>>())
            }
            Source::Vaes { densities, spread } => {
                let latent = densities.latent();
                let codes = noise::normal(&mut noises(draws), steps, self.count * latent, at);
                let codes = codes.view([lanes, -1, latent as i64]);
                let decode = |codes: &Tensor| densities.decode(codes, *spread);
                if backend.device == Device::Cpu && densities.round_by_count() {
                    let images = codes.chunk(steps as i64, 1);
                    Tensor::cat(&images.iter().map(decode).collect::<Vec<_>>(), 1)
                } else {
                    decode(&codes)
                }
            }
            Source::UniformNoise { black, white } => {
                noise::uniform(&mut noises(draws), steps, values, at) * (white - black) + *black
            }
            Source::GaussianNoise => noise::normal(&mut noises(draws), steps, values, at),
        };
        let samples = samples.view([lanes, -1, height, width, channels]);
        in_units(samples.to_kind(Kind::Float), self.units)
    }
}

fn noises(draws: Vec<&mut Draw>) -> Vec<&mut Noise> {
    let noise = |draw| match draw {
        &mut Draw::Noise(ref mut noise) => noise,
        Draw::Images(_) => panic!("the stream is of another density"),
    };
    draws.into_iter().map(noise).collect()
}

/// Converts normalised samples, such as a decoder's before its sigmoid, to the units that the
/// classifier sees.
pub fn in_units(mut samples: Tensor, units: SampleUnits) -> Tensor {
    match units {
        SampleUnits::Vae => samples.sigmoid_(),
        SampleUnits::Normalised => samples,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trial::pool::Images;

    /// Draws samples of one lane with these images.
    fn draw_from(
        source: Source,
        density: Density,
        units: SampleUnits,
        pixels: &Tensor,
    ) -> Vec<f32> {
        let labels = Tensor::zeros([pixels.size()[0]], (Kind::Int64, Device::Cpu));
        let pool = Pool::new(&[&Images { pixels: pixels.shallow_clone(), labels }]);
        let samples = Samples { source, count: 50, units };
        let drawn = samples.draw(vec![&mut Draw::new(density, 3)], 4, &pool, Device::Cpu.into());
        assert_eq!(drawn.size(), [1, 200, 6, 5, 1]);
        drawn.flatten(0, -1).try_into().unwrap()
    }

    fn draw(source: Source, density: Density) -> Vec<f32> {
        let pixels = Tensor::zeros([1, 6, 5, 1], (Kind::Float, Device::Cpu));
        draw_from(source, density, SampleUnits::Normalised, &pixels)
    }

    fn moments(values: &[f32]) -> (f64, f64) {
        let mean = |f: fn(f64) -> f64| {
            values.iter().map(|&x| f(x.into())).sum::<f64>() / values.len() as f64
        };
        (mean(|x| x), mean(|x| x * x))
    }

    /// 6,000 pixels each: the standard errors of the means are below 0.013.
    #[test]
    fn noise_has_its_distribution() {
        let uniform =
            draw(Source::UniformNoise { black: -0.25, white: 3.5 }, Density::UniformNoise);
        let (black, white) = (-0.25, 3.5);
        assert!(uniform.iter().all(|x| (black..=white).contains(x)));
        assert!((moments(&uniform).0 - f64::from(black + white) / 2.0).abs() < 0.06);
        let (mean, square) = moments(&draw(Source::GaussianNoise, Density::GaussianNoise));
        assert!(mean.abs() < 0.06 && (square - 1.0).abs() < 0.08, "{mean} {square}");
    }

    #[test]
    fn data_samples_are_images_of_the_subset() {
        let images =
            Tensor::from_slice(&[-0.4_f32, 0.5, 2.0]).view([3, 1, 1, 1]).repeat([1, 6, 5, 1]);
        let plain = draw_from(Source::Data, Density::Data, SampleUnits::Normalised, &images);
        let mut counts = [0; 3];
        for sample in plain.chunks(30) {
            let kind = [-0.4_f32, 0.5, 2.0].iter().position(|&x| sample == [x; 30]);
            counts[kind.unwrap()] += 1;
        }
        // 200 draws of three images: 67 each, with a standard deviation of 6.7.
        assert!(counts.iter().all(|count| (40..=94).contains(count)), "{counts:?}");
        let squashed = draw_from(Source::Data, Density::Data, SampleUnits::Vae, &images);
        let sigmoid = |x: f32| 1.0 / (1.0 + (-x).exp());
        assert!(plain.iter().zip(&squashed).all(|(x, y)| (sigmoid(*x) - y).abs() < 1e-6));
    }
}
