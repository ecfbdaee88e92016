//! The data sets that a grid can name. Reading them is the worker's work.

use std::{fmt, ops::RangeInclusive, str::FromStr};

use serde::Serialize;
use serde_json::Value;

use crate::{
    ids::{DataDigest, DataDigestError},
    quote::quote,
};

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

/// Numbers of channels: grey, and red, green and blue.
pub const CHANNELS: [u32; 2] = [1, 3];

/// Numbers of classes: labels are bytes.
pub const CLASSES: RangeInclusive<u32> = 2..=256;

/// Raised when the generator draws other images for the same seed.
pub const SYNTHETIC_VERSION: u32 = 1;

/// SHA-256 of the files of MNIST, uncompressed: training images and labels, test images and labels.
pub const MNIST_FILES: [&str; 4] = [
    "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
];

/// The same of Fashion-MNIST, of the `.gz` files as they are published.
pub const FASHION_MNIST_FILES: [&str; 4] = [
    "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
    "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
    "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
    "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
];

/// The same of KMNIST, of the `.gz` files as they are published.
pub const KMNIST_FILES: [&str; 4] = [
    "51467d22d8cc72929e2a028a0428f2086b092bb31cfb79c69cc0a90ce135fde4",
    "e38f9ebcd0f3ebcdec7fc8eabdcdaef93bb0df8ea12bee65224341c8183d8e17",
    "edd7a857845ad6bb1d0ba43fe7e794d164fe2dce499a1694695a792adfac43c5",
    "20bb9a0ef54c7db3efc55a92eef5582c109615df22683c380526788f98e42a1c",
];

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

    /// Reads what it is serialised to.
    ///
    /// # Errors
    /// The key that is wrong, such as `.height`, and what is wrong with it.
    pub(crate) fn from_json(json: &Value) -> Result<Self, (&'static str, String)> {
        let number = |key: &'static str, range: RangeInclusive<u64>| {
            let value = json.get(&key[1..]).and_then(Value::as_u64).filter(|value| range.contains(value));
            value.ok_or_else(|| (key, format!("it is no whole number from {} to {}", range.start(), range.end())))
        };
        let count = |key, range: &RangeInclusive<u32>| {
            number(key, (*range.start()).into()..=(*range.end()).into()).map(|value| value as u32)
        };
        let text = |key: &'static str| {
            json.get(&key[1..]).and_then(Value::as_str).ok_or_else(|| (key, "it is no text".to_owned()))
        };
        let name = text(".name")?;
        if name == IDX {
            let images = 1..=u32::MAX;
            return Ok(Self::Idx(IdxDataset {
                digest: text(".digest")?.parse().map_err(|error: DataDigestError| (".digest", error.to_string()))?,
                height: count(".height", &SIDES)?,
                width: count(".width", &SIDES)?,
                classes: count(".classes", &CLASSES)?,
                train_images: count(".train_images", &images)?,
                test_images: count(".test_images", &images)?,
            }));
        }
        match name.parse().map_err(|error: UnknownDataset| (".name", error.to_string()))? {
            Self::Synthetic { .. } => number(".generator_seed", 0..=u64::MAX).map(Self::synthetic),
            named => Ok(named),
        }
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

    /// Identifies the content: data sets of equal digests have equal images and labels. It is known without them, and a worker checks
    /// the files.
    pub fn digest(&self) -> DataDigest {
        match self {
            Self::Mnist => DataDigest::of(MNIST_FILES),
            Self::FashionMnist => DataDigest::of(FASHION_MNIST_FILES),
            Self::Kmnist => DataDigest::of(KMNIST_FILES),
            Self::Synthetic { generator_seed, generator_version } => {
                DataDigest::of_text(&format!("synthetic digits {generator_version} {generator_seed}"))
            }
            Self::Idx(own) => own.digest,
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

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn digests_tell_data_sets_apart_and_stay() {
        let all =
            [Dataset::synthetic(0), Dataset::synthetic(1), Dataset::Mnist, Dataset::FashionMnist, Dataset::Kmnist];
        let digests: HashSet<_> = all.iter().map(Dataset::digest).collect();
        assert_eq!(digests.len(), all.len());
        // As in all results so far.
        let mnist = "ca679089cd9dd461d7b26e36e51216fc71f9271f8082e09656a7c1d29a50483b";
        assert_eq!(Dataset::Mnist.digest().to_string(), mnist);
    }
}
