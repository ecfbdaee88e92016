//! What a data set is once it is in memory, and the one function that brings it there.

use std::path::PathBuf;

use swfn_digits::{IMAGE_SIDE, Part, TEST_LEN, TRAIN_LEN};
use swfn_shared::{
    catalogue::Origin,
    dataset::{Dataset, Units},
    image::ImageShape,
};

use super::error::DataError;
use super::own::load_idx;
use super::published::load_published;

/// Images with their labels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Split {
    /// Bytes, shape [len, height, width, channels]; of grey images 0 is background and 255 ink.
    pub images: Vec<u8>,
    /// The class of each image, below the data set's number of classes.
    pub labels: Vec<u8>,
    /// Of an image.
    pub shape: ImageShape,
}

impl Split {
    /// Number of images.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether there is no image.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// The bytes of image `index`.
    ///
    /// # Panics
    /// If `index` is not below [`len`](Self::len).
    pub fn image(&self, index: usize) -> &[u8] {
        let values = self.shape.values();
        &self.images[index * values..(index + 1) * values]
    }

    /// The images at `indices`, in that order.
    ///
    /// # Panics
    /// If an index is not below [`len`](Self::len).
    pub fn gather(&self, indices: &[usize]) -> Split {
        let mut images = Vec::with_capacity(indices.len() * self.shape.values());
        for &index in indices {
            images.extend_from_slice(self.image(index));
        }
        let labels = indices.iter().map(|&index| self.labels[index]).collect();
        Split { images, labels, shape: self.shape }
    }
}

/// The training images. Synthetic ones are drawn when they are gathered, so that small subsets cost
/// little.
#[derive(Debug, Clone)]
pub struct Train(Storage);

#[derive(Debug, Clone)]
enum Storage {
    Memory(Split),
    Synthetic { seed: u64 },
}

impl From<Split> for Train {
    /// Images that are in memory anyway.
    fn from(split: Split) -> Train {
        Train(Storage::Memory(split))
    }
}

impl Train {
    /// Number of images.
    pub fn len(&self) -> usize {
        match &self.0 {
            Storage::Memory(split) => split.len(),
            Storage::Synthetic { .. } => TRAIN_LEN,
        }
    }

    /// Whether there is no image.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The class of each image.
    pub fn labels(&self) -> Vec<u8> {
        match &self.0 {
            Storage::Memory(split) => split.labels.clone(),
            Storage::Synthetic { seed } => draw(*seed, Part::Train, 0..TRAIN_LEN).labels,
        }
    }

    /// The images at `indices`, in that order.
    ///
    /// # Panics
    /// If an index is not below [`len`](Self::len).
    pub fn gather(&self, indices: &[usize]) -> Split {
        match &self.0 {
            Storage::Memory(split) => split.gather(indices),
            Storage::Synthetic { seed } => {
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

/// Where to find data sets, and how to behave meanwhile.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LoadOptions {
    /// The user's own folder with the files, in `DIR/NAME/` or `DIR/`, plain or `.gz`; of
    /// Fashion-MNIST and KMNIST only the published `.gz` files, because only their checksums are known. With a
    /// folder nothing is downloaded. Images of the user's own are nowhere else.
    pub data_dir: Option<PathBuf>,
    /// Where downloads are kept, in `DIR/data/NAME/`. Without it the environment variable
    /// `SWFN_CACHE`, else `swfn` in the user's cache folder (XDG).
    pub cache_dir: Option<PathBuf>,
    /// Addresses of folders to download from, tried in turn in place of the built-in ones, if there
    /// is any.
    pub mirrors: Vec<String>,
    /// Whether missing files are an error instead of a download.
    pub offline: bool,
    /// Whether to tell on stderr what is being downloaded.
    pub progress: bool,
}

/// Brings a data set into memory, after downloading it where necessary. The options do not matter to
/// the synthetic digits.
///
/// # Errors
/// All of [`DataError`] except for `Subset` and `Sheet`.
pub fn load(dataset: &Dataset, options: &LoadOptions) -> Result<Splits, DataError> {
    match dataset {
        Dataset::Idx(own) => load_idx(own, options),
        Dataset::Named { entry, seed } => match &entry.origin {
            Origin::Published(published) => load_published(entry, published, options),
            Origin::Generated { .. } => Ok(Splits {
                train: Train(Storage::Synthetic { seed: *seed }),
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
    use super::*;

    #[test]
    fn a_gathered_subset_is_the_same_images_in_the_order_asked_for() {
        let data = load(&Dataset::synthetic(3), &LoadOptions::default()).unwrap();
        assert_eq!((data.train.len(), data.test.len(), data.classes), (60_000, 10_000, 10));
        let some = data.train.gather(&[59_999, 4, 4]);
        assert_eq!(some.image(0), swfn_digits::draw(3, Part::Train, 59_999).1);
        assert_eq!((some.image(1), some.labels[1]), (some.image(2), some.labels[2]));
        let stored = Train::from(data.test.clone());
        let some = stored.gather(&[7, 0]);
        assert_eq!(
            (some.len(), some.image(0), some.labels[1]),
            (2, data.test.image(7), data.test.labels[0])
        );
    }
}
