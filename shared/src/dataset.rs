//! The data sets that a grid can name. The worker reads them.

use std::{fmt, ops::RangeInclusive, str::FromStr};

use serde::{Serialize, Serializer, ser::SerializeMap as _};
use serde_json::Value;

use crate::{
    catalogue::{CATALOGUE, Entry, Origin},
    ids::{DataDigest, IdError},
    image::ImageShape,
    quote::quote,
};

/// A data set, known by content, so that this value can stand for the content in ids.
///
/// A worker checks published files against pinned SHA-256 digests, and the user's own against the
/// digest in the grid. The synthetic digits follow from version and seed of their generator.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Dataset {
    /// A row of the catalogue.
    Named {
        entry: &'static Entry,
        /// Seed of the generator; zero for published images. Another seed gives other images of the
        /// same distribution.
        seed: u64,
    },
    /// The user's own images, as four IDX files.
    Idx(IdxDataset),
}

/// The description of a user's own data set. A coordinator, which has none of the files, checks a
/// grid and estimates its work with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IdxDataset {
    /// Digest of the content of the files.
    pub digest: DataDigest,
    pub sizes: Sizes,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Sizes {
    pub image: ImageShape,
    /// Number of classes; labels are below it.
    pub classes: u32,
    /// Number of training images that subsets are drawn from.
    pub train_images: u32,
    pub test_images: u32,
}

/// The units in which networks see images: (value - mean) / deviation, for values from 0 to 1.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Units {
    /// Mean of all values of the training images.
    pub mean: f32,
    /// Standard deviation of the same values.
    pub deviation: f32,
}

impl Units {
    /// The published units of MNIST; users' own data sets have them, too.
    pub const OF_MNIST: Self = Self { mean: 0.1307, deviation: 0.3081 };

    /// A byte of an image in these units.
    pub fn of(self, byte: u8) -> f32 {
        (f32::from(byte) / 255.0 - self.mean) / self.deviation
    }
}

/// Heights and widths that the networks take: two 5x5 convolutions, each with max-pooling, leave
/// one pixel of 16.
pub const SIDES: RangeInclusive<u32> = 16..=64;

/// Numbers of channels: grey, or red, green and blue.
pub const CHANNELS: [u32; 2] = [1, 3];

/// Numbers of classes: labels are bytes.
pub const CLASSES: RangeInclusive<u32> = 2..=256;

/// The name of every user's own data set.
pub const IDX: &str = "idx";

/// All names, in the order in which messages list them.
pub fn names() -> Vec<&'static str> {
    CATALOGUE.iter().map(|entry| entry.name).chain([IDX]).collect()
}

/// A name that is not in the catalogue, such as [`IDX`], which does not identify the content.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("dataset {} is unknown; hint: one of {names}", quote(.0), names = names().join(", "))]
pub struct UnknownDataset(pub String);

impl Dataset {
    /// A row of the catalogue, with the first seed of its generator if it has one.
    pub const fn of(entry: &'static Entry) -> Self {
        Self::Named { entry, seed: 0 }
    }

    /// Reads the JSON that a data set is serialised to.
    ///
    /// # Errors
    /// A key is wrong, such as `.height`; the text says why.
    pub(crate) fn from_json(json: &Value) -> Result<Self, (&'static str, String)> {
        let get = |key: &'static str| json.get(&key[1..]);
        let count = |key, range: &RangeInclusive<u32>| {
            let value = get(key).and_then(Value::as_u64).and_then(|value| value.try_into().ok());
            value.filter(|value| range.contains(value)).ok_or_else(|| {
                (key, format!("it is not a whole number from {} to {}", range.start(), range.end()))
            })
        };
        let text = |key| get(key).and_then(Value::as_str).ok_or((key, "it is not text".to_owned()));
        let name = text(".name")?;
        if name == IDX {
            let digest = text(".digest")?;
            let digest = digest.parse().map_err(|error: IdError| (".digest", error.to_string()))?;
            let channels = get(".channels").map_or(Some(1), Value::as_u64);
            let channels = CHANNELS.into_iter().find(|known| Some(u64::from(*known)) == channels);
            let image = ImageShape {
                height: count(".height", &SIDES)?,
                width: count(".width", &SIDES)?,
                channels: channels.ok_or((".channels", "it is neither 1 nor 3".to_owned()))?,
            };
            let sizes = Sizes {
                image,
                classes: count(".classes", &CLASSES)?,
                train_images: count(".train_images", &(1..=u32::MAX))?,
                test_images: count(".test_images", &(1..=u32::MAX))?,
            };
            return Ok(Self::Idx(IdxDataset { digest, sizes }));
        }
        match name.parse().map_err(|error: UnknownDataset| (".name", error.to_string()))? {
            Self::Named { entry, .. } if matches!(entry.origin, Origin::Generated { .. }) => {
                let seed = get(".generator_seed").and_then(Value::as_u64);
                let problem = || (".generator_seed", "it is not a whole number".to_owned());
                Ok(Self::Named { entry, seed: seed.ok_or_else(problem)? })
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

    /// The digest of the content: data sets of equal digests have equal images and labels.
    pub fn digest(&self) -> DataDigest {
        match self {
            Self::Named { entry, seed } => match &entry.origin {
                Origin::Published(published) => {
                    DataDigest::of(published.files.iter().map(|file| file.sha256))
                }
                Origin::Generated { version } => {
                    DataDigest::of_text(&format!("synthetic digits {version} {seed}"))
                }
            },
            Self::Idx(own) => own.digest,
        }
    }

    pub fn sizes(&self) -> Sizes {
        match self {
            Self::Named { entry, .. } => entry.sizes,
            Self::Idx(own) => own.sizes,
        }
    }

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

/// Serialises name and description. A single channel is left out, since there was no choice when
/// the first ids were made.
impl Serialize for Dataset {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("name", self.name())?;
        match self {
            Self::Named { entry, seed } => {
                if let Origin::Generated { version } = entry.origin {
                    map.serialize_entry("generator_seed", seed)?;
                    map.serialize_entry("generator_version", &version)?;
                }
            }
            Self::Idx(IdxDataset { digest, sizes }) => {
                let Sizes { image, classes, train_images, test_images } = sizes;
                map.serialize_entry("digest", digest)?;
                map.serialize_entry("height", &image.height)?;
                map.serialize_entry("width", &image.width)?;
                if image.channels != 1 {
                    map.serialize_entry("channels", &image.channels)?;
                }
                map.serialize_entry("classes", classes)?;
                map.serialize_entry("train_images", train_images)?;
                map.serialize_entry("test_images", test_images)?;
            }
        }
        map.end()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::catalogue::{KMNIST, MNIST, SYNTHETIC};

    const OWN: &str = "{\"name\":\"idx\",\"digest\":\"ca679089cd9dd461d7b26e36e51216fc71f9271f8082e09656a7c1d29a50483b\",\
                       \"height\":32,\"width\":20,\"classes\":3,\"train_images\":30,\"test_images\":9}";

    fn read(written: &str) -> Result<Dataset, (&'static str, String)> {
        Dataset::from_json(&serde_json::from_str(written).unwrap())
    }

    #[test]
    fn digests_tell_data_sets_apart_and_stay() {
        let mut all: Vec<_> = CATALOGUE.iter().map(|entry| Dataset::of(entry)).collect();
        all.push(Dataset::Named { entry: &SYNTHETIC, seed: 1 });
        let digests: HashSet<_> = all.iter().map(Dataset::digest).collect();
        assert_eq!(digests.len(), all.len());
        // As in all results so far.
        let mnist = "ca679089cd9dd461d7b26e36e51216fc71f9271f8082e09656a7c1d29a50483b";
        assert_eq!(Dataset::of(&MNIST).digest().to_string(), mnist);
    }

    #[test]
    fn json_stays_and_survives_parsing() {
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
    fn impossible_descriptions_are_refused() {
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
