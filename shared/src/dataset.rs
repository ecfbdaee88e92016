//! The data sets that a grid can name. Reading them is the worker's work.

use std::{fmt, ops::RangeInclusive, str::FromStr};

use serde::Serialize;

use crate::{ids::DataDigest, quote::quote};

/// A data set, known by content: a worker checks the files of a published one against pinned SHA-256 digests before it uses them,
/// those of the user's own against the digest in the grid, and the synthetic digits are a pure function of their generator's version
/// and seed. So this value can stand for the content in ids.
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
    /// The user's own images, as four IDX files.
    Idx(IdxDataset),
}

/// What is known of a data set of the user's own without its files: what they must be, and what a coordinator, which has none of
/// them, needs to check a grid and to estimate its work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct IdxDataset {
    /// Of the content of the files.
    pub digest: DataDigest,
    /// Rows of pixels of each image.
    pub height: u32,
    /// Columns of pixels.
    pub width: u32,
    /// Number of classes; labels are below it.
    pub classes: u32,
    /// Number of training images.
    pub train_images: u32,
    /// Number of test images.
    pub test_images: u32,
}

/// Heights and widths that the networks take: two 5x5 convolutions, each with max-pooling, leave one pixel of 16.
pub const SIDES: RangeInclusive<u32> = 16..=64;

/// Numbers of classes: labels are bytes.
pub const CLASSES: RangeInclusive<u32> = 2..=256;

/// Raised when the generator draws other images for the same seed.
pub const SYNTHETIC_VERSION: u32 = 1;

/// The names, in the order in which messages list them.
pub const NAMES: [&str; 5] = ["synthetic", "mnist", "fashion-mnist", "kmnist", IDX];

/// The name of all data sets of users' own.
pub const IDX: &str = "idx";

/// A name that is none of [`NAMES`], or [`IDX`], which alone says nothing of the content.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("dataset {} is unknown; hint: one of {names}", quote(.0), names = NAMES.join(", "))]
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
            Self::Idx(_) => IDX,
        }
    }

    /// Height and width of its images in pixels.
    pub fn sides(&self) -> (u32, u32) {
        match self {
            Self::Mnist | Self::FashionMnist | Self::Kmnist | Self::Synthetic { .. } => (28, 28),
            Self::Idx(own) => (own.height, own.width),
        }
    }

    /// Number of classes.
    pub fn classes(&self) -> u32 {
        match self {
            Self::Mnist | Self::FashionMnist | Self::Kmnist | Self::Synthetic { .. } => 10,
            Self::Idx(own) => own.classes,
        }
    }

    /// Number of training images that subsets are drawn from.
    pub fn train_len(&self) -> u32 {
        match self {
            Self::Mnist | Self::FashionMnist | Self::Kmnist | Self::Synthetic { .. } => 60_000,
            Self::Idx(own) => own.train_images,
        }
    }

    /// Number of test images.
    pub fn test_len(&self) -> u32 {
        match self {
            Self::Mnist | Self::FashionMnist | Self::Kmnist | Self::Synthetic { .. } => 10_000,
            Self::Idx(own) => own.test_images,
        }
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
            _ => Err(UnknownDataset(name.chars().take(80).collect())),
        }
    }
}

impl fmt::Display for Dataset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
