//! The trial: one point of the grid with everything that determines its result, and the groups that it belongs to.

use serde::{Serialize, Serializer, ser::SerializeStruct as _};

pub use crate::architecture::Architecture;
use crate::{
    choice::choice,
    dataset::Dataset,
    ids::{CellId, ShapeId, SubsetId, TrialId, VaeId},
    numbers::{Dropout, Lambda, LearningRate, Momentum, Spread, WeightDecay},
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

    /// The steps after which they restart, if they do.
    pub fn restart_every(self) -> Option<u32> {
        match self {
            Self::Continuous => None,
            Self::Restart { every } => Some(every),
        }
    }
}

/// How a classifier is trained and tested. The published values are the defaults of grid files, but for the epochs.
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

impl Serialize for Classifier {
    /// Epochs that restart at each evaluation are left out: all trials had them before they could be chosen, and keep their ids.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self { iterations, batch_size, momentum, dropout, batch_norm_scale, evaluate_every, precision, epochs } =
            self;
        let restart_every = epochs.restart_every().filter(|every| every != evaluate_every);
        let mut object = serializer.serialize_struct("Classifier", 9)?;
        object.serialize_field("iterations", iterations)?;
        object.serialize_field("batch_size", batch_size)?;
        object.serialize_field("momentum", momentum)?;
        object.serialize_field("dropout", dropout)?;
        object.serialize_field("batch_norm_scale", batch_norm_scale)?;
        object.serialize_field("evaluate_every", evaluate_every)?;
        object.serialize_field("precision", precision)?;
        if *epochs == Epochs::Continuous {
            object.serialize_field("epochs", Epochs::CONTINUOUS)?;
        }
        if let Some(every) = restart_every {
            object.serialize_field("epochs", Epochs::RESTART)?;
            object.serialize_field("restart_every", &every)?;
        }
        object.end()
    }
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
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct VaeSamples {
    /// The VAE.
    pub vae: Vae,
    /// Factor on the standard deviation of the latent code.
    pub spread: Spread,
}

/// The function norm: `lambda * mean ||f(x)||^2` over `samples` samples x of the density per step.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
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

/// Everything that determines a trial's result.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct TrialSpec {
    /// Where the images come from.
    pub dataset: Dataset,
    /// Training images, drawn without replacement.
    pub subset_size: u32,
    /// How they are drawn.
    pub sampling: Sampling,
    /// Training images outside the subset on which each evaluation is made as well; zero: none. They change nothing else, so a trial
    /// without them is what it was before they could be had.
    #[serde(skip_serializing_if = "is_zero")]
    pub validation: u32,
    /// Seed of every random stream: subset, VAE, initial weights, order of batches, dropout, samples.
    pub seed: u64,
    /// The classifier.
    pub architecture: Architecture,
    /// Weight decay of the classifier's SGD.
    pub weight_decay: WeightDecay,
    /// Step size of the classifier's SGD.
    pub learning_rate: LearningRate,
    /// Its training.
    pub classifier: Classifier,
    /// The function norm; `None` when lambda is zero. Then neither the number of samples nor the VAE can matter, so points of a grid
    /// that differ in nothing else are the same trial.
    pub penalty: Option<Penalty>,
}

impl TrialSpec {
    /// The trial's identity.
    pub fn id(&self) -> TrialId {
        TrialId::of(&canonical(self))
    }

    /// The cell: all but the seed.
    pub fn cell(&self) -> CellId {
        CellId::of(&canonical(&Self { seed: 0, ..*self }))
    }

    /// The shape: all, the number of validation images included, but what may differ from lane to lane, which is subset, seed, lambda, learning rate, weight decay and the
    /// classifier's iterations. A lane that has done its own ends, and another trial takes its place.
    pub fn shape(&self) -> ShapeId {
        let Self { dataset, architecture, penalty, .. } = self;
        let classifier = Classifier { iterations: 0, ..self.classifier };
        let any = penalty.and_then(|_| Lambda::new(1.0).ok());
        let penalty = penalty.zip(any).map(|(penalty, lambda)| Penalty { lambda, ..penalty });
        let shape = (dataset, architecture, classifier, penalty);
        ShapeId::of(&if self.validation == 0 { canonical(&shape) } else { canonical(&(shape, self.validation)) })
    }

    /// The training images: all architectures, lambdas and so on of one (subset size, seed) share them.
    pub fn subset(&self) -> SubsetId {
        SubsetId::of(&canonical(&(self.dataset, self.subset_size, self.sampling, self.seed)))
    }

    /// The VAE that the trial samples from, if it needs one.
    pub fn vae(&self) -> Option<VaeId> {
        self.vae_samples()
            .map(|samples| VaeId::of(&canonical(&(self.subset(), samples.vae, self.classifier.precision))))
    }

    /// The VAE's settings and the spread of its samples, if the trial needs one.
    pub fn vae_samples(&self) -> Option<VaeSamples> {
        self.penalty.and_then(|penalty| penalty.vae)
    }

    /// Name of the density of the function norm; `none` without it.
    pub fn density(&self) -> &'static str {
        self.penalty.map_or("none", |penalty| penalty.density.name())
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

    /// The specification as JSON, for people and for files that stay.
    pub fn to_json(&self) -> String {
        canonical(self)
    }
}

impl Serialize for SubsetId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

fn is_zero(count: &u32) -> bool {
    *count == 0
}

/// One text for one value: JSON with fields in the order of their declaration and the shortest form of each number.
fn canonical(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("plain structs of finite numbers always serialise")
}
