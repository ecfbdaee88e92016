//! Data sets in memory, and the one function that brings them there.

use std::path::PathBuf;

use clap::Args;
use serde::{Deserialize, Serialize};
use swfn_digits::{IMAGE_SIDE, Part, TEST_LEN, TRAIN_LEN};
use swfn_shared::{
    catalogue::Origin,
    dataset::{Dataset, Units},
    image::ImageShape,
    problem::Problem,
};

use super::{own::load_idx, published::load_published};

/// Images with their labels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Split {
    /// Bytes, shape [len, height, width, channels]. In grey images 0 is background and 255 ink.
    pub images: Vec<u8>,
    /// The class of each image, below the data set's number of classes.
    pub labels: Vec<u8>,
    /// Shape of an image.
    pub shape: ImageShape,
}

impl Split {
    pub(crate) fn len(&self) -> usize {
        self.labels.len()
    }

    pub(crate) fn image(&self, index: usize) -> &[u8] {
        let values = self.shape.values();
        &self.images[index * values..(index + 1) * values]
    }

    /// The images at `indices`, in that order.
    ///
    /// # Panics
    /// If an index is not below the number of images.
    pub fn gather(&self, indices: &[usize]) -> Split {
        let images = indices.iter().flat_map(|&index| self.image(index)).copied().collect();
        let labels = indices.iter().map(|&index| self.labels[index]).collect();
        Split { images, labels, shape: self.shape }
    }
}

/// The training images.
#[derive(Debug, Clone)]
pub enum Train {
    /// Images from files.
    Memory(Split),
    /// Synthetic images, drawn when they are gathered, so that small subsets cost little.
    Synthetic {
        /// Seed of their generator.
        seed: u64,
    },
}

impl From<Split> for Train {
    fn from(split: Split) -> Self {
        Self::Memory(split)
    }
}

impl Train {
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Memory(split) => split.len(),
            Self::Synthetic { .. } => TRAIN_LEN,
        }
    }

    /// The class of each image.
    pub(crate) fn labels(&self) -> Vec<u8> {
        match self {
            Self::Memory(split) => split.labels.clone(),
            Self::Synthetic { seed } => draw(*seed, Part::Train, 0..TRAIN_LEN).labels,
        }
    }

    /// The images at `indices`, in that order.
    pub(crate) fn gather(&self, indices: &[usize]) -> Split {
        match self {
            Self::Memory(split) => split.gather(indices),
            Self::Synthetic { seed } => {
                assert!(indices.iter().all(|&index| index < TRAIN_LEN), "an index is out of range");
                draw(*seed, Part::Train, indices.iter().copied())
            }
        }
    }
}

/// A data set in memory.
#[derive(Debug, Clone)]
pub struct Splits {
    /// The images to train on.
    pub train: Train,
    /// The images to test on.
    pub test: Split,
    /// Number of classes; labels are below it.
    pub classes: usize,
    /// The units in which networks see the images.
    pub units: Units,
}

/// Where data sets are, and whether they may be downloaded.
#[derive(Debug, Clone, Default, PartialEq, Eq, Args, Serialize, Deserialize)]
#[command(next_help_heading = "Data")]
pub struct LoadOptions {
    /// Read the data set's files from this folder [default: downloads in the cache folder]
    ///
    /// The files lie in DIR/NAME or DIR, plain or with .gz; Fashion-MNIST and KMNIST need the
    /// published .gz files. Nothing is downloaded then. Your own data (idx) needs this option.
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// Never download
    #[arg(long)]
    pub offline: bool,
    /// Keep downloads, VAEs and checkpoints in this folder [default: $SWFN_CACHE, or swfn in your
    /// cache folder]
    #[arg(long, value_name = "DIR")]
    pub cache_dir: Option<PathBuf>,
    /// Addresses of folders to download from in turn, in place of the built-in ones.
    #[arg(skip)]
    pub mirrors: Vec<String>,
    /// Whether downloads are reported on stderr.
    #[arg(skip = true)]
    pub progress: bool,
}

/// Brings a data set into memory, after downloading it where necessary. Synthetic digits need no
/// options.
///
/// # Errors
/// A file is missing, unreadable or wrong, or cannot be downloaded.
pub fn load(dataset: &Dataset, options: &LoadOptions) -> Result<Splits, Problem> {
    match dataset {
        Dataset::Idx(own) => load_idx(own, options),
        Dataset::Named { entry, seed } => match &entry.origin {
            Origin::Published(published) => load_published(entry, published, options),
            Origin::Generated { .. } => Ok(Splits {
                train: Train::Synthetic { seed: *seed },
                test: draw(*seed, Part::Test, 0..TEST_LEN),
                classes: entry.sizes.classes as usize,
                units: entry.units,
            }),
        },
    }
}

fn draw(seed: u64, part: Part, indices: impl ExactSizeIterator<Item = usize>) -> Split {
    let shape = ImageShape::grey(IMAGE_SIDE as u32, IMAGE_SIDE as u32);
    let mut images = Vec::with_capacity(indices.len() * shape.values());
    let mut labels = Vec::with_capacity(indices.len());
    for index in indices {
        let (label, pixels) = swfn_digits::draw(seed, part, index as u64);
        images.extend_from_slice(&pixels);
        labels.push(label);
    }
    Split { images, labels, shape }
}

#[cfg(test)]
mod tests {
    use swfn_shared::catalogue::SYNTHETIC;

    use super::*;

    #[test]
    fn gathered_images_keep_the_requested_order() {
        let data =
            load(&Dataset::Named { entry: &SYNTHETIC, seed: 3 }, &LoadOptions::default()).unwrap();
        assert_eq!((data.train.len(), data.test.len(), data.classes), (60_000, 10_000, 10));
        let some = data.train.gather(&[59_999, 4, 4]);
        assert_eq!(some.image(0), swfn_digits::draw(3, Part::Train, 59_999).1);
        assert_eq!((some.image(1), some.labels[1]), (some.image(2), some.labels[2]));
        let stored = Train::Memory(data.test.clone());
        let some = stored.gather(&[7, 0]);
        assert_eq!(
            (some.len(), some.image(0), some.labels[1]),
            (2, data.test.image(7), data.test.labels[0])
        );
    }
}
