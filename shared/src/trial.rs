//! The trial: all settings that determine its result, and the groups that it belongs to.

use serde::{Serialize, Serializer};

pub use crate::architecture::Architecture;
use crate::{
    axes::{self, Axis, Lanes, OpenValues, SpecError, Value},
    catalogue::MNIST,
    choice::choice,
    dataset::Dataset,
    ids::{CellId, ShapeId, SubsetId, TrialId, VaeId},
};

choice! {
    /// Initial scale of batch norm.
    BatchNormScale {
        /// Uniform in (0, 1), as in the PyTorch of the published study.
        Uniform = "uniform",
        /// One, as in PyTorch since 1.2.
        Ones = "ones",
    }
}

choice! {
    /// Precision of the multiplications on GPUs that train classifier and VAE; CPUs ignore it.
    Precision {
        /// As float32, the numbers that all tensors hold.
        Float32 = "float32",
        /// NVIDIA's TF32, factors of 10 bits of mantissa and float32 sums: faster, less exact.
        Tf32 = "tf32",
    }
}

choice! {
    /// How a subset is drawn from the training images.
    Sampling {
        /// Uniformly without replacement, as published.
        Uniform = "uniform",
        /// The same with equally many images of each class; the remainder goes to random classes.
        Balanced = "balanced",
    }
}

choice! {
    /// The density Q of the function norm.
    Density {
        /// The decoder of a fully connected VAE that was trained on the subset, as published.
        Vae = "vae",
        /// The same with a VAE of convolutions.
        ConvVae = "conv-vae",
        /// The images of the subset themselves, with replacement.
        Data = "data",
        /// Pixels uniform between black and white.
        UniformNoise = "uniform-noise",
        /// Pixels normal with mean 0 and variance 1 in normalised units.
        GaussianNoise = "gaussian-noise",
    }
}

choice! {
    /// The units in which the classifier sees the samples of the function norm.
    ///
    /// It sees real images in normalised [`Units`](crate::dataset::Units). A VAE gets the sigmoid
    /// of those.
    SampleUnits {
        /// The VAE's own, in 0..1, as published: not those of the real images.
        Vae = "vae",
        /// Normalised ones: a VAE's decoder before its sigmoid.
        Normalised = "normalised",
    }
}

choice! {
    /// How batch norm treats the samples of the function norm.
    SampleBatchNorm {
        /// As a training batch, as published: their own statistics normalise them, and move the
        /// running statistics that tests use.
        Train = "train",
        /// With their own statistics, which do not move the running statistics.
        TrainNoUpdate = "train-no-update",
        /// With the running statistics, as real images in tests.
        Eval = "eval",
    }
}

choice! {
    /// The layers of a VAE.
    VaeFamily {
        /// Fully connected.
        Vanilla = "vanilla",
        /// Strided convolutions with batch norm and ELU, mirrored by transposed convolutions.
        Convolutional = "convolutional",
    }
}

choice! {
    /// The latent codes that the samples of a VAE spread around.
    LatentStatistics {
        /// Those of the last training batch, as published.
        LastBatch = "last-batch",
        /// Those of the whole subset.
        Subset = "subset",
    }
}

/// When the images of a subset are shuffled again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Epochs {
    /// When all of them have been seen.
    Continuous,
    /// Also after every so many steps. As published, that is after each evaluation.
    Restart { every: u32 },
}

impl Epochs {
    pub(crate) const CONTINUOUS: &str = "continuous";
    pub(crate) const RESTART: &str = "restart";
    /// All names in grid files.
    pub const NAMES: &[&str] = &[Self::CONTINUOUS, Self::RESTART];

    pub fn name(self) -> &'static str {
        match self {
            Self::Continuous => Self::CONTINUOUS,
            Self::Restart { .. } => Self::RESTART,
        }
    }

    /// The steps after which epochs restart, if they do.
    pub fn restart_every(self) -> Option<u32> {
        if let Self::Restart { every } = self { Some(every) } else { None }
    }
}

/// Settings of training and testing the classifier.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Classifier {
    pub iterations: u32,
    pub batch_size: u32,
    pub momentum: f64,
    /// Probability that a dropout layer zeroes an activation; other architectures ignore it.
    pub dropout: f64,
    /// Initial scale of batch norm; architectures without batch norm ignore it.
    pub batch_norm_scale: BatchNormScale,
    pub evaluate_every: u32,
    /// Precision of multiplications on GPUs, also for the trial's VAE.
    pub precision: Precision,
    pub epochs: Epochs,
}

/// Largest width of a layer: far beyond any useful one, so that a mistake is found before it
/// exhausts the memory.
pub const MAX_WIDTH: u32 = 16_384;

/// Largest number of samples of the function norm per step; a larger one is surely a mistake.
pub const MAX_PENALTY_SAMPLES: u32 = 100_000;

/// A variational autoencoder and its training (Kingma, Welling 2014).
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Vae {
    pub family: VaeFamily,
    pub iterations: u32,
    pub batch_size: u32,
    pub learning_rate: f64,
    /// Width of the hidden layers of encoder and decoder. The innermost layer of a convolutional
    /// VAE has half as many channels.
    pub hidden: u32,
    pub latent: u32,
    pub latent_statistics: LatentStatistics,
}

/// How samples are drawn from a VAE.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct VaeSamples {
    pub vae: Vae,
    /// Factor on the standard deviation of the latent code.
    pub spread: f64,
}

/// The function norm: `lambda * mean ||f(x)||^2` over `samples` samples x of the density per step.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Penalty {
    /// Its weight in the objective; above zero.
    pub lambda: f64,
    /// Samples per step, drawn afresh in each.
    pub samples: u32,
    pub density: Density,
    /// The VAE, if the density is one.
    pub vae: Option<VaeSamples>,
    pub units: SampleUnits,
    /// How batch norm treats the samples; architectures without batch norm ignore it.
    pub batch_norm: SampleBatchNorm,
}

impl Penalty {
    pub(crate) const PUBLISHED: Self = Self {
        lambda: 0.1,
        samples: 20,
        density: Density::Vae,
        vae: Some(VaeSamples::PUBLISHED),
        units: SampleUnits::Vae,
        batch_norm: SampleBatchNorm::Train,
    };

    /// Changes the density. The settings of the VAE stay if both densities have one.
    pub(crate) fn sample_from(&mut self, density: Density) {
        let samples = self.vae.unwrap_or(VaeSamples::PUBLISHED);
        self.density = density;
        self.vae = density
            .family()
            .map(|family| VaeSamples { vae: Vae { family, ..samples.vae }, ..samples });
    }
}

impl Density {
    /// The layers of the VAE, if the density is one.
    pub fn family(self) -> Option<VaeFamily> {
        match self {
            Self::Vae => Some(VaeFamily::Vanilla),
            Self::ConvVae => Some(VaeFamily::Convolutional),
            Self::Data | Self::UniformNoise | Self::GaussianNoise => None,
        }
    }
}

impl VaeSamples {
    pub(crate) const PUBLISHED: Self = Self {
        vae: Vae {
            family: VaeFamily::Vanilla,
            iterations: 10_000,
            batch_size: 20,
            learning_rate: 1e-3,
            hidden: 128,
            latent: 100,
            latent_statistics: LatentStatistics::LastBatch,
        },
        spread: 3.0,
    };
}

/// All settings that determine a trial's result: the fields that the trainer knows, and the values
/// of all other axes. [`AXES`](axes::AXES) has the meaning and the bounds of each setting.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TrialSpec {
    pub dataset: Dataset,
    pub subset_size: u32,
    pub sampling: Sampling,
    pub validation: u32,
    pub seed: u64,
    pub architecture: Architecture,
    pub learning_rate: f64,
    pub classifier: Classifier,
    /// The function norm; `None` at lambda = 0. Neither samples nor VAE can matter then, so points
    /// of a grid that differ only in those are the same trial.
    pub penalty: Option<Penalty>,
    /// The values of the axes that have no field here, such as weight decay.
    pub open: OpenValues,
}

impl TrialSpec {
    /// A trial with the published values, which are also the defaults of grid files.
    pub const PUBLISHED: Self = Self {
        dataset: Dataset::of(&MNIST),
        subset_size: 100,
        sampling: Sampling::Uniform,
        validation: 0,
        seed: 0,
        architecture: Architecture::NET,
        learning_rate: 0.01,
        classifier: Classifier {
            iterations: 10_000,
            batch_size: 10,
            momentum: 0.5,
            dropout: 0.5,
            batch_norm_scale: BatchNormScale::Uniform,
            evaluate_every: 1_000,
            precision: Precision::Float32,
            epochs: Epochs::Continuous,
        },
        penalty: None,
        open: OpenValues::NONE,
    };

    pub fn id(&self) -> TrialId {
        TrialId::of(&self.to_json())
    }

    /// The cell: all settings but the seed.
    pub fn cell(&self) -> CellId {
        CellId::of(&Self { seed: 0, ..*self }.to_json())
    }

    /// The shape: all settings that lanes must share ([`Lanes`]). Lanes may differ in iterations: a
    /// lane that has done its own ends, and another trial takes its place.
    pub fn shape(&self) -> ShapeId {
        let mut shape = *self;
        for axis in Axis::all() {
            let differs = match axis.lanes {
                Lanes::Equal => false,
                Lanes::Differ => true,
                Lanes::DifferAboveZero => axis.real(self) > 0.0,
            };
            if differs {
                axis.set(&mut shape, axis.kind.any());
            }
        }
        ShapeId::of(&shape.to_json())
    }

    /// The training images, which all trials of one subset size and seed share.
    pub fn subset(&self) -> SubsetId {
        SubsetId::of(&canonical(&(self.dataset, self.subset_size, self.sampling, self.seed)))
    }

    /// The VAE that the trial samples from, if it needs one.
    pub fn vae(&self) -> Option<VaeId> {
        self.vae_samples().map(|samples| {
            VaeId::of(&canonical(&(self.subset(), samples.vae, self.classifier.precision)))
        })
    }

    /// The VAE's settings and the spread of its samples, if the trial needs a VAE.
    pub fn vae_samples(&self) -> Option<VaeSamples> {
        self.penalty.and_then(|penalty| penalty.vae)
    }

    /// Name of the density of the function norm; `none` without the norm.
    pub fn density(&self) -> &'static str {
        self.penalty.map_or("none", |penalty| penalty.density.name())
    }

    pub fn weight_decay(&self) -> f64 {
        axes::WEIGHT_DECAY.real(self)
    }

    /// The same trial with another value of an axis.
    #[must_use]
    pub fn with(mut self, axis: Axis, value: Value) -> Self {
        axis.set(&mut self, value);
        self
    }

    /// Weight of the function norm; zero without the norm.
    pub fn lambda(&self) -> f64 {
        self.penalty.map_or(0.0, |penalty| penalty.lambda)
    }

    /// Samples of the function norm per step; zero without the norm.
    pub fn penalty_samples(&self) -> u32 {
        self.penalty.map_or(0, |penalty| penalty.samples)
    }

    /// Steps of training, those of the VAE included.
    pub fn steps(&self) -> u64 {
        u64::from(self.classifier.iterations)
            + self.vae_samples().map_or(0, |samples| u64::from(samples.vae.iterations))
    }

    /// Checks that the settings go together; each is in bounds by itself.
    pub(crate) fn fits_together(&self) -> Result<(), SpecError> {
        let (images, all) = (self.subset_size, self.dataset.sizes().train_images);
        let vae_batch = self.vae_samples().map_or(1, |samples| samples.vae.batch_size);
        for (place, value, least, most) in [
            ("subset_size", images, 1, all),
            ("validation", self.validation, 0, all.saturating_sub(images)),
            ("classifier.batch_size", self.classifier.batch_size, 1, images),
            ("penalty.vae.vae.batch_size", vae_batch, 1, images),
        ] {
            if !(least..=most).contains(&value) {
                return Err(SpecError::wrong(
                    place,
                    format!("`{value}` is not in {least} to {most}"),
                ));
            }
        }
        let alone = self.classifier.batch_size == 1 || self.penalty_samples() == 1;
        if self.architecture.has_batch_norm() && alone {
            let problem = "batch norm has no variance of `1` image";
            return Err(SpecError::wrong(axes::ARCHITECTURE.path, problem));
        }
        Ok(())
    }
}

/// Serialises the object of the canonical JSON; a serialiser may order its keys otherwise.
impl Serialize for TrialSpec {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let object: serde_json::Value =
            serde_json::from_str(&self.to_json()).map_err(serde::ser::Error::custom)?;
        object.serialize(serializer)
    }
}

/// One text for one value: JSON with fields in the order of their declaration, and the shortest
/// form of each number.
fn canonical(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("plain structs of finite numbers always serialise")
}
