//! The data sets that a grid can name. Reading them is the worker's work.

use std::{fmt, ops::RangeInclusive, str::FromStr};

use serde::Serialize;
use serde_json::Value;

use crate::{
    catalogue::{CATALOGUE, Entry, Origin, SYNTHETIC},
    ids::{DataDigest, DataDigestError},
    image::ImageShape,
    quote::quote,
};

/// A data set, known by content: a worker checks the files of a published one against pinned SHA-256
/// digests before it uses them, those of the user's own against the digest in the grid, and the
/// synthetic digits are a pure function of their generator's version and seed. So this value can stand
/// for the content in ids.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(into = "Written")]
pub enum Dataset {
    /// A row of the catalogue.
    Named {
        /// The row.
        entry: &'static Entry,
        /// Seed of its generator: another seed gives other images of the same distribution. Zero where
        /// the images are published.
        seed: u64,
    },
    /// The user's own images, as four IDX files.
    Idx(IdxDataset),
}

/// What is known of a data set of the user's own without its files: what they must be, and what a
/// coordinator, which has none of them, needs to check a grid and to estimate its work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IdxDataset {
    /// Of the content of the files.
    pub digest: DataDigest,
    /// Sizes of the images and of the parts.
    pub sizes: Sizes,
}

/// Sizes of a data set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Sizes {
    /// Of each image.
    pub image: ImageShape,
    /// Number of classes; labels are below it.
    pub classes: u32,
    /// Number of training images that subsets are drawn from.
    pub train_images: u32,
    /// Number of test images.
    pub test_images: u32,
}

/// The units in which networks see images: (value - mean) / deviation, for values from 0 to 1.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Units {
    /// Mean of all values of the training images.
    pub mean: f32,
    /// Their standard deviation.
    pub deviation: f32,
}

impl Units {
    /// Those of MNIST, as published; data sets of the user's own have them, too.
    pub const OF_MNIST: Self = Self { mean: 0.1307, deviation: 0.3081 };

    /// A byte of an image in these units.
    pub fn of(self, byte: u8) -> f32 {
        (f32::from(byte) / 255.0 - self.mean) / self.deviation
    }
}

/// Heights and widths that the networks take: two 5x5 convolutions, each with max-pooling, leave one pixel of 16.
pub const SIDES: RangeInclusive<u32> = 16..=64;

/// Numbers of channels: grey, and red, green and blue.
pub const CHANNELS: [u32; 2] = [1, 3];

/// Numbers of classes: labels are bytes.
pub const CLASSES: RangeInclusive<u32> = 2..=256;

/// The name of all data sets of users' own.
pub const IDX: &str = "idx";

/// The names, in the order in which messages list them.
pub fn names() -> Vec<&'static str> {
    CATALOGUE.iter().map(|entry| entry.name).chain([IDX]).collect()
}

/// A name that is none of [`names`], or [`IDX`], which alone says nothing of the content.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("dataset {} is unknown; hint: one of {names}", quote(.0), names = names().join(", "))]
pub struct UnknownDataset(pub String);

impl Dataset {
    /// That row of the catalogue, with the first seed of its generator if it has one.
    pub const fn of(entry: &'static Entry) -> Self {
        Self::Named { entry, seed: 0 }
    }

    /// The synthetic digits of that seed.
    pub const fn synthetic(seed: u64) -> Self {
        Self::Named { entry: &SYNTHETIC, seed }
    }

    /// Reads what it is serialised to.
    ///
    /// # Errors
    /// The key that is wrong, such as `.height`, and what is wrong with it.
    pub(crate) fn from_json(json: &Value) -> Result<Self, (&'static str, String)> {
        let number = |key: &'static str, range: RangeInclusive<u64>| {
            let value =
                json.get(&key[1..]).and_then(Value::as_u64).filter(|value| range.contains(value));
            value.ok_or_else(|| {
                (key, format!("it is no whole number from {} to {}", range.start(), range.end()))
            })
        };
        let count = |key, range: &RangeInclusive<u32>| {
            number(key, (*range.start()).into()..=(*range.end()).into()).map(|value| value as u32)
        };
        let text = |key: &'static str| {
            json.get(&key[1..])
                .and_then(Value::as_str)
                .ok_or_else(|| (key, "it is no text".to_owned()))
        };
        let name = text(".name")?;
        if name == IDX {
            let images = 1..=u32::MAX;
            let digest = text(".digest")?
                .parse()
                .map_err(|error: DataDigestError| (".digest", error.to_string()))?;
            let channels =
                match json.get("channels").map(|channels| u32::try_from(channels.as_u64()?).ok()) {
                    None => 1,
                    Some(Some(channels)) if CHANNELS.contains(&channels) => channels,
                    Some(_) => return Err((".channels", "it is neither 1 nor 3".to_owned())),
                };
            let image = ImageShape {
                height: count(".height", &SIDES)?,
                width: count(".width", &SIDES)?,
                channels,
            };
            let sizes = Sizes {
                image,
                classes: count(".classes", &CLASSES)?,
                train_images: count(".train_images", &images)?,
                test_images: count(".test_images", &images)?,
            };
            return Ok(Self::Idx(IdxDataset { digest, sizes }));
        }
        match name.parse().map_err(|error: UnknownDataset| (".name", error.to_string()))? {
            Self::Named { entry, .. } if matches!(entry.origin, Origin::Generated { .. }) => {
                let seed = number(".generator_seed", 0..=u64::MAX)?;
                Ok(Self::Named { entry, seed })
            }
            named => Ok(named),
        }
    }

    /// The name in grid files and on the command line.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Named { entry, .. } => entry.name,
            Self::Idx(_) => IDX,
        }
    }

    /// Identifies the content: data sets of equal digests have equal images and labels. It is known
    /// without them, and a worker checks the files.
    pub fn digest(&self) -> DataDigest {
        match self {
            Self::Named { entry, seed } => entry.origin.digest(*seed),
            Self::Idx(own) => own.digest,
        }
    }

    /// Sizes of its images and of its parts.
    pub fn sizes(&self) -> Sizes {
        match self {
            Self::Named { entry, .. } => entry.sizes,
            Self::Idx(own) => own.sizes,
        }
    }

    /// The units in which networks see its images.
    pub fn units(&self) -> Units {
        match self {
            Self::Named { entry, .. } => entry.units,
            Self::Idx(_) => Units::OF_MNIST,
        }
    }
}

impl FromStr for Dataset {
    type Err = UnknownDataset;

    fn from_str(name: &str) -> Result<Self, UnknownDataset> {
        let entry = CATALOGUE.iter().find(|entry| entry.name == name);
        entry
            .map(|entry| Self::of(entry))
            .ok_or_else(|| UnknownDataset(name.chars().take(80).collect()))
    }
}

impl fmt::Display for Dataset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A data set as it is written down. What does not go with it is left out, and so is a single channel,
/// since there were none to choose from when the first ids were made.
#[derive(Default, Serialize)]
struct Written {
    name: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    generator_seed: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    generator_version: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    digest: Option<DataDigest>,
    #[serde(skip_serializing_if = "Option::is_none")]
    height: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    width: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    channels: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    classes: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    train_images: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    test_images: Option<u32>,
}

impl From<Dataset> for Written {
    fn from(dataset: Dataset) -> Self {
        let written = Self { name: dataset.name(), ..Self::default() };
        match dataset {
            Dataset::Named { entry, seed } => match entry.origin {
                Origin::Published(_) => written,
                Origin::Generated { version } => {
                    Self { generator_seed: Some(seed), generator_version: Some(version), ..written }
                }
            },
            Dataset::Idx(IdxDataset { digest, sizes }) => {
                let Sizes {
                    image: ImageShape { height, width, channels },
                    classes,
                    train_images,
                    test_images,
                } = sizes;
                Self {
                    digest: Some(digest),
                    height: Some(height),
                    width: Some(width),
                    channels: (channels != 1).then_some(channels),
                    classes: Some(classes),
                    train_images: Some(train_images),
                    test_images: Some(test_images),
                    ..written
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::catalogue::{KMNIST, MNIST};

    const OWN: &str = "{\"name\":\"idx\",\"digest\":\"ca679089cd9dd461d7b26e36e51216fc71f9271f8082e09656a7c1d29a50483b\",\
                       \"height\":32,\"width\":20,\"classes\":3,\"train_images\":30,\"test_images\":9}";

    fn read(written: &str) -> Result<Dataset, (&'static str, String)> {
        Dataset::from_json(&serde_json::from_str(written).unwrap())
    }

    #[test]
    fn digests_tell_data_sets_apart_and_stay() {
        let mut all: Vec<_> = CATALOGUE.iter().map(|entry| Dataset::of(entry)).collect();
        all.push(Dataset::synthetic(1));
        let digests: HashSet<_> = all.iter().map(Dataset::digest).collect();
        assert_eq!(digests.len(), all.len());
        // As in all results so far.
        let mnist = "ca679089cd9dd461d7b26e36e51216fc71f9271f8082e09656a7c1d29a50483b";
        assert_eq!(Dataset::of(&MNIST).digest().to_string(), mnist);
    }

    #[test]
    fn what_is_written_down_stays_and_comes_back() {
        let coloured = OWN.replace("20,\"", "20,\"channels\":3,\"");
        let synthetic = "{\"name\":\"synthetic\",\"generator_seed\":7,\"generator_version\":1}";
        for written in ["{\"name\":\"kmnist\"}", synthetic, OWN, &coloured] {
            let read = read(written).unwrap();
            assert_eq!(serde_json::to_string(&read).unwrap(), written);
        }
        assert_eq!(read("{\"name\":\"kmnist\"}").unwrap(), Dataset::of(&KMNIST));
        assert_eq!(
            read(&coloured).unwrap().sizes().image,
            ImageShape { height: 32, width: 20, channels: 3 }
        );
    }

    #[test]
    fn what_cannot_be_is_refused() {
        for (from, to, key) in [
            ("\"idx\"", "\"cifar\"", ".name"),
            ("32", "15", ".height"),
            ("20,\"", "20,\"channels\":4,\"", ".channels"),
            ("\"classes\":3", "\"classes\":1", ".classes"),
            ("30", "0", ".train_images"),
            (",\"test_images\":9", "", ".test_images"),
        ] {
            assert_eq!(read(&OWN.replace(from, to)).unwrap_err().0, key);
        }
        assert_eq!(read("{\"name\":\"synthetic\"}").unwrap_err().0, ".generator_seed");
    }
}
