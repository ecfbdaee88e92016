//! The trial: one point of the grid with everything that determines its result, and the groups that it belongs to.

use std::{fmt, str::FromStr};

use serde::Serialize;

use crate::{
    dataset::Dataset,
    ids::{CellId, ShapeId, SubsetId, TrialId, VaeId},
    numbers::{Dropout, Lambda, LearningRate, Momentum, Spread, WeightDecay},
};

/// A classifier with its switches (Rannen Triki et al. 2019, section 4).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub enum Architecture {
    /// Two convolutions and two fully connected layers with ReLU.
    #[serde(rename = "net")]
    Net,
    /// [`Self::Net`] with dropout after its second convolution and its first fully connected layer.
    #[serde(rename = "net+dropout")]
    NetDropout,
    /// Three convolutions and one fully connected layer, linear but for max-pooling.
    #[serde(rename = "lenet")]
    Lenet,
    /// [`Self::Lenet`] with batch norm after each convolution.
    #[serde(rename = "lenet+bn")]
    LenetBn,
}

impl Architecture {
    /// All of them, in the order in which messages and tables list them.
    pub const ALL: [Self; 4] = [Self::Net, Self::NetDropout, Self::Lenet, Self::LenetBn];

    /// The name in grid files and tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Net => "net",
            Self::NetDropout => "net+dropout",
            Self::Lenet => "lenet",
            Self::LenetBn => "lenet+bn",
        }
    }
}

/// A name that is no architecture's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("architecture `{0}` is unknown; hint: one of {names}", names = Architecture::ALL.map(Architecture::name).join(", "))]
pub struct UnknownArchitecture(String);

impl FromStr for Architecture {
    type Err = UnknownArchitecture;

    fn from_str(name: &str) -> Result<Self, UnknownArchitecture> {
        Self::ALL.into_iter().find(|a| a.name() == name).ok_or_else(|| UnknownArchitecture(name.to_owned()))
    }
}

impl fmt::Display for Architecture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// Initial scale of batch norm.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum BatchNormScale {
    /// Uniform in (0, 1), as in the PyTorch of the published study.
    Uniform,
    /// One, as in PyTorch since 1.2.
    Ones,
}

impl BatchNormScale {
    /// The name in grid files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Uniform => "uniform",
            Self::Ones => "ones",
        }
    }

    /// The scale of that name.
    pub fn by_name(name: &str) -> Option<Self> {
        [Self::Uniform, Self::Ones].into_iter().find(|scale| scale.name() == name)
    }
}

/// How a classifier is trained and tested; the published values are the defaults of grid files.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
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
    /// Steps between two passes over the test images. As published, each such block of steps starts a fresh epoch, so this
    /// changes the order of the batches too.
    pub evaluate_every: u32,
}

/// A variational autoencoder and its training (Kingma, Welling 2014); the published values are the defaults of grid files.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Vae {
    /// Steps of Adam.
    pub iterations: u32,
    /// Images per step; the last partial batch of an epoch is dropped.
    pub batch_size: u32,
    /// Step size of Adam.
    pub learning_rate: LearningRate,
    /// Width of the hidden layers of encoder and decoder.
    pub hidden: u32,
    /// Dimensions of the latent code.
    pub latent: u32,
}

/// The function norm: `lambda * mean ||f(x)||^2` over `samples` decoded samples x per step.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Penalty {
    /// Its weight in the objective; above zero.
    pub lambda: Lambda,
    /// Samples per step, drawn afresh in each.
    pub samples: u32,
    /// Factor on the standard deviation of the latent code.
    pub spread: Spread,
    /// The density that is sampled.
    pub vae: Vae,
}

/// Everything that determines a trial's result.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct TrialSpec {
    /// Where the images come from.
    pub dataset: Dataset,
    /// Training images, drawn uniformly without replacement.
    pub subset_size: u32,
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

    /// The shape: all but what may differ from lane to lane.
    pub fn shape(&self) -> ShapeId {
        let Self { dataset, architecture, classifier, penalty, .. } = self;
        let penalty = penalty.map(|Penalty { lambda: _, samples, spread, vae }| (samples, spread, vae));
        ShapeId::of(&canonical(&(dataset, architecture, classifier, penalty)))
    }

    /// The training images: all architectures, lambdas and so on of one (subset size, seed) share them.
    pub fn subset(&self) -> SubsetId {
        SubsetId::of(&canonical(&(self.dataset, self.subset_size, self.seed)))
    }

    /// The VAE that the trial samples from, if it needs one.
    pub fn vae(&self) -> Option<VaeId> {
        self.penalty.map(|penalty| VaeId::of(&canonical(&(self.subset(), penalty.vae))))
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
        u64::from(self.classifier.iterations) + self.penalty.map_or(0, |penalty| u64::from(penalty.vae.iterations))
    }

    /// The specification as JSON, for people and for files that stay.
    pub fn to_json(&self) -> String {
        canonical(self)
    }
}

impl Serialize for SubsetId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// One text for one value: JSON with fields in the order of their declaration and the shortest form of each number.
fn canonical(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("plain structs of finite numbers always serialise")
}
