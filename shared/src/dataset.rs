//! The data sets that a grid can name. Reading them is the worker's work.

use std::{fmt, str::FromStr};

use serde::Serialize;

/// A data set, known by content: a worker checks the files of a named one against pinned SHA-256 digests before it uses them, and
/// the synthetic digits are a pure function of their generator's version and seed. So the name can stand for the content in ids.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(tag = "name", rename_all = "kebab-case")]
pub enum Dataset {
    /// Handwritten digits (LeCun, Cortes, Burges 1998).
    Mnist,
    /// Articles of clothing (Xiao, Rasul, Vollgraf 2017).
    FashionMnist,
    /// Cursive Japanese characters (Clanuwat et al. 2018).
    Kmnist,
    /// Digits drawn by swfn's own generator.
    Synthetic {
        /// Seed of the generator: another seed gives other images of the same distribution.
        generator_seed: u64,
        /// Version of the generator; see [`SYNTHETIC_VERSION`].
        generator_version: u32,
    },
}

/// Raised when the generator draws other images for the same seed.
pub const SYNTHETIC_VERSION: u32 = 1;

/// The names, in the order in which messages list them.
pub const NAMES: [&str; 4] = ["synthetic", "mnist", "fashion-mnist", "kmnist"];

/// A name that is none of [`NAMES`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("dataset `{0}` is unknown; hint: one of {names}", names = NAMES.join(", "))]
pub struct UnknownDataset(pub String);

impl Dataset {
    /// The synthetic digits of that seed.
    pub fn synthetic(generator_seed: u64) -> Self {
        Self::Synthetic { generator_seed, generator_version: SYNTHETIC_VERSION }
    }

    /// The name in grid files and on the command line.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Mnist => "mnist",
            Self::FashionMnist => "fashion-mnist",
            Self::Kmnist => "kmnist",
            Self::Synthetic { .. } => "synthetic",
        }
    }

    /// Number of training images that subsets are drawn from.
    pub fn train_len(&self) -> u32 {
        60_000
    }

    /// Number of test images.
    pub fn test_len(&self) -> u32 {
        10_000
    }
}

impl FromStr for Dataset {
    type Err = UnknownDataset;

    fn from_str(name: &str) -> Result<Self, UnknownDataset> {
        match name {
            "mnist" => Ok(Self::Mnist),
            "fashion-mnist" => Ok(Self::FashionMnist),
            "kmnist" => Ok(Self::Kmnist),
            "synthetic" => Ok(Self::synthetic(0)),
            _ => Err(UnknownDataset(name.to_owned())),
        }
    }
}

impl fmt::Display for Dataset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
