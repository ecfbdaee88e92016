//! The trial: one point of the grid with everything that determines its result, and the groups that it belongs to.

use serde::{Serialize, Serializer};

pub use crate::architecture::Architecture;
use crate::{
    axes::{self, Axis, Lanes, OpenValues, SpecError, Value},
    catalogue::MNIST,
    choice::choice,
    dataset::Dataset,
    ids::{CellId, ShapeId, SubsetId, TrialId, VaeId},
    numbers::{Dropout, Lambda, LearningRate, Momentum, Spread},
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
    /// How exactly GPUs multiply when they train the classifier and its VAE; CPUs ignore it.
    Precision {
        /// As float32, the numbers that all tensors hold.
        Float32 = "float32",
        /// With factors rounded to 10 bits of mantissa (NVIDIA's TF32) and float32 sums: faster, and less exact.
        Tf32 = "tf32",
    }
}

choice! {
    /// How a subset is drawn from the training images.
    Sampling {
        /// Uniformly without replacement, as published.
        Uniform = "uniform",
        /// The same, with as many images of each class as of any other; what does not divide goes to random classes.
        Balanced = "balanced",
    }
}

choice! {
    /// The density Q of the function norm.
    Density {
        /// The decoder of a VAE of fully connected layers that was trained on the subset, as published.
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
    /// The units in which the classifier sees the samples of the function norm. It sees real images in normalised units, see
    /// [`Units`](crate::dataset::Units). The inputs of the VAE are the sigmoid of those.
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
        /// As a training batch, as published: normalised with statistics of their own, they move the running statistics that tests use.
        Train = "train",
        /// Normalised with statistics of their own, but the running statistics stay those of real images.
        TrainNoUpdate = "train-no-update",
        /// Normalised with the running statistics, as real images are in tests.
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
    /// Which latent codes the samples of a VAE spread around.
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
    /// Also after each so many steps, wherever the epoch stands. As published, with as many as from one evaluation to the next.
    Restart {
        /// Steps.
        every: u32,
    },
}

impl Epochs {
    /// Names in grid files.
    pub const CONTINUOUS: &str = "continuous";
    /// See [`Self::CONTINUOUS`].
    pub const RESTART: &str = "restart";
    /// Both.
    pub const NAMES: &[&str] = &[Self::CONTINUOUS, Self::RESTART];

    /// The name in grid files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Continuous => Self::CONTINUOUS,
            Self::Restart { .. } => Self::RESTART,
        }
    }

    /// The steps after which they restart, if they do.
    pub fn restart_every(self) -> Option<u32> {
        match self {
            Self::Continuous => None,
            Self::Restart { every } => Some(every),
        }
    }
}

/// How a classifier is trained and tested. The published values are the defaults of grid files.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Classifier {
    /// Steps of SGD.
    pub iterations: u32,
    /// Images per step; the last partial batch of an epoch is dropped.
    pub batch_size: u32,
    /// Momentum of SGD.
    pub momentum: Momentum,
    /// Probability of each dropout layer; ignored by architectures without one.
    pub dropout: Dropout,
    /// Initial scale of batch norm; ignored by architectures without it.
    pub batch_norm_scale: BatchNormScale,
    /// Steps between two passes over the test images. They change nothing that is trained.
    pub evaluate_every: u32,
    /// Of multiplications on GPUs, those of the trial's VAE included.
    pub precision: Precision,
    /// When epochs begin.
    pub epochs: Epochs,
}

/// Widths of layers: far beyond the largest useful one, so that a mistake ends at once and not in an exhausted memory.
pub const MAX_WIDTH: u32 = 16_384;

/// Samples of the function norm per step beyond which a number is surely a mistake.
pub const MAX_PENALTY_SAMPLES: u32 = 100_000;

/// A variational autoencoder and its training (Kingma, Welling 2014); the published values are the defaults of grid files.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Vae {
    /// Its layers.
    pub family: VaeFamily,
    /// Steps of Adam.
    pub iterations: u32,
    /// Images per step; the last partial batch of an epoch is dropped.
    pub batch_size: u32,
    /// Step size of Adam.
    pub learning_rate: LearningRate,
    /// Width of the hidden layers of encoder and decoder; of a convolutional one the channels of its innermost layer are half of it.
    pub hidden: u32,
    /// Dimensions of the latent code.
    pub latent: u32,
    /// Which latent codes samples spread around.
    pub latent_statistics: LatentStatistics,
}

/// Where the samples of a VAE come from.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct VaeSamples {
    /// The VAE.
    pub vae: Vae,
    /// Factor on the standard deviation of the latent code.
    pub spread: Spread,
}

/// The function norm: `lambda * mean ||f(x)||^2` over `samples` samples x of the density per step.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Penalty {
    /// Its weight in the objective; above zero.
    pub lambda: Lambda,
    /// Samples per step, drawn afresh in each.
    pub samples: u32,
    /// What is sampled.
    pub density: Density,
    /// The VAE, if the density is one.
    pub vae: Option<VaeSamples>,
    /// Units of the samples.
    pub units: SampleUnits,
    /// Batch norm's treatment of the samples; ignored by architectures without it.
    pub batch_norm: SampleBatchNorm,
}

impl Penalty {
    /// Samples another density; the settings of the VAE stay where both have one.
    pub(crate) fn sample_from(&mut self, density: Density) {
        let samples = self.vae.unwrap_or(VaeSamples::PUBLISHED);
        self.density = density;
        self.vae = density
            .family()
            .map(|family| VaeSamples { vae: Vae { family, ..samples.vae }, ..samples });
    }
}

impl Density {
    /// The layers of the VAE that it samples, if it does.
    pub fn family(self) -> Option<VaeFamily> {
        match self {
            Self::Vae => Some(VaeFamily::Vanilla),
            Self::ConvVae => Some(VaeFamily::Convolutional),
            Self::Data | Self::UniformNoise | Self::GaussianNoise => None,
        }
    }
}

/// The published values, which are the defaults of grid files, too.
impl VaeSamples {
    pub(crate) const PUBLISHED: Self = Self {
        vae: Vae {
            family: VaeFamily::Vanilla,
            iterations: 10_000,
            batch_size: 20,
            learning_rate: LearningRate::PUBLISHED_VAE,
            hidden: 128,
            latent: 100,
            latent_statistics: LatentStatistics::LastBatch,
        },
        spread: Spread::PUBLISHED,
    };
}

impl Penalty {
    pub(crate) const PUBLISHED: Self = Self {
        lambda: Lambda::PUBLISHED,
        samples: 20,
        density: Density::Vae,
        vae: Some(VaeSamples::PUBLISHED),
        units: SampleUnits::Vae,
        batch_norm: SampleBatchNorm::Train,
    };
}

impl TrialSpec {
    /// A trial with the published values.
    pub const PUBLISHED: Self = Self {
        dataset: Dataset::of(&MNIST),
        subset_size: 100,
        sampling: Sampling::Uniform,
        validation: 0,
        seed: 0,
        architecture: Architecture::NET,
        learning_rate: LearningRate::PUBLISHED,
        classifier: Classifier {
            iterations: 10_000,
            batch_size: 10,
            momentum: Momentum::PUBLISHED,
            dropout: Dropout::PUBLISHED,
            batch_norm_scale: BatchNormScale::Uniform,
            evaluate_every: 1_000,
            precision: Precision::Float32,
            epochs: Epochs::Continuous,
        },
        penalty: None,
        open: OpenValues::NONE,
    };
}

/// Everything that determines a trial's result: fields that the trainer knows, and the values of all other axes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TrialSpec {
    /// Where the images come from.
    pub dataset: Dataset,
    /// Training images, drawn without replacement.
    pub subset_size: u32,
    /// How they are drawn.
    pub sampling: Sampling,
    /// Training images outside the subset on which each evaluation is made as well; zero: none.
    pub validation: u32,
    /// Seed of every random stream: subset, VAE, initial weights, order of batches, dropout, samples.
    pub seed: u64,
    /// The classifier.
    pub architecture: Architecture,
    /// Step size of the classifier's SGD.
    pub learning_rate: LearningRate,
    /// Its training.
    pub classifier: Classifier,
    /// The function norm; `None` when lambda is zero. Then neither the number of samples nor the VAE can matter, so points of a grid
    /// that differ in nothing else are the same trial.
    pub penalty: Option<Penalty>,
    /// The values of the axes that have no field here, such as weight decay.
    pub open: OpenValues,
}

impl TrialSpec {
    /// The trial's identity.
    pub fn id(&self) -> TrialId {
        TrialId::of(&self.to_json())
    }

    /// The cell: all but the seed.
    pub fn cell(&self) -> CellId {
        CellId::of(&Self { seed: 0, ..*self }.to_json())
    }

    /// The shape: all but what may differ from lane to lane ([`Lanes`]). A lane that has done its iterations ends, and another trial takes
    /// its place.
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

    /// The training images: all architectures, lambdas and so on of one (subset size, seed) share them.
    pub fn subset(&self) -> SubsetId {
        SubsetId::of(&canonical(&(self.dataset, self.subset_size, self.sampling, self.seed)))
    }

    /// The VAE that the trial samples from, if it needs one.
    pub fn vae(&self) -> Option<VaeId> {
        self.vae_samples().map(|samples| {
            VaeId::of(&canonical(&(self.subset(), samples.vae, self.classifier.precision)))
        })
    }

    /// The VAE's settings and the spread of its samples, if the trial needs one.
    pub fn vae_samples(&self) -> Option<VaeSamples> {
        self.penalty.and_then(|penalty| penalty.vae)
    }

    /// Name of the density of the function norm; `none` without it.
    pub fn density(&self) -> &'static str {
        self.penalty.map_or("none", |penalty| penalty.density.name())
    }

    /// Weight decay of the classifier's SGD.
    pub fn weight_decay(&self) -> f64 {
        axes::WEIGHT_DECAY.real(self)
    }

    /// The same trial with another value of an axis.
    #[must_use]
    pub fn with(mut self, axis: Axis, value: Value) -> Self {
        axis.set(&mut self, value);
        self
    }

    /// Weight of the function norm, zero included.
    pub fn lambda(&self) -> f64 {
        self.penalty.map_or(0.0, |penalty| penalty.lambda.get())
    }

    /// Samples of the function norm per step; zero without it.
    pub fn penalty_samples(&self) -> u32 {
        self.penalty.map_or(0, |penalty| penalty.samples)
    }

    /// Steps of training, those of the VAE included.
    pub fn steps(&self) -> u64 {
        u64::from(self.classifier.iterations)
            + self.vae_samples().map_or(0, |samples| u64::from(samples.vae.iterations))
    }

    /// Whether the settings go together, of which each is in bounds by itself.
    pub(crate) fn fits_together(&self) -> Result<(), SpecError> {
        let within = |axis: Axis, value: u32, least: u32, most: u32| {
            let problem = || format!("`{value}` is not in {least} to {most}");
            if (least..=most).contains(&value) {
                Ok(())
            } else {
                Err(SpecError::wrong(axis.place, problem()))
            }
        };
        let (images, all) = (self.subset_size, self.dataset.sizes().train_images);
        within(axes::SUBSET_SIZE, images, 1, all)?;
        within(axes::VALIDATION, self.validation, 0, all - images)?;
        within(Axis::at("classifier.batch_size"), self.classifier.batch_size, 1, images)?;
        if let Some(samples) = self.vae_samples() {
            within(Axis::at("penalty.vae.vae.batch_size"), samples.vae.batch_size, 1, images)?;
        }
        let alone = self.classifier.batch_size == 1 || self.penalty_samples() == 1;
        if self.architecture.has_batch_norm() && alone {
            return Err(SpecError::wrong(
                axes::ARCHITECTURE.place,
                "batch norm has no variance of `1` image",
            ));
        }
        Ok(())
    }
}

/// The object of the canonical JSON, in whatever order its keys are written.
impl Serialize for TrialSpec {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let object: serde_json::Value =
            serde_json::from_str(&self.to_json()).map_err(serde::ser::Error::custom)?;
        object.serialize(serializer)
    }
}

impl Serialize for SubsetId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// One text for one value: JSON with fields in the order of their declaration and the shortest form of each number.
fn canonical(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("plain structs of finite numbers always serialise")
}
