//! Data sets of the user's own: four IDX files in a folder, known by the digest of their content.

use std::path::{Path, PathBuf};

use swfn_shared::catalogue::IDX_FILES;
use swfn_shared::dataset::{CLASSES, IDX, IdxDataset, SIDES, Sizes, Units};
use swfn_shared::ids::DataDigest;
use swfn_shared::image::ImageShape;

use super::dataset::{LoadOptions, Split, Splits};
use super::error::DataError;
use super::find::{find, places, prefix};
use super::format::{same_shape, split};
use super::idx::{Idx, read_idx};

/// The most that there can be.
const MOST_CLASSES: usize = *CLASSES.end() as usize;

/// Folders in which other programs keep them, below a folder of the user's.
const OTHER_FOLDERS: [&str; 2] = ["MNIST/raw", "EMNIST/raw"];

/// What the files of a folder hold.
#[derive(Debug, Clone)]
pub struct Inspection {
    /// What a grid says of them.
    pub description: IdxDataset,
    /// The images and labels.
    pub data: Splits,
    /// Training images of each class.
    pub train_counts: Vec<usize>,
    /// Test images of each class.
    pub test_counts: Vec<usize>,
}

/// Reads the files of a data set of the user's own, in `dir/idx/` or `dir/`, plain or `.gz`, and checks that networks can
/// be trained on them.
///
/// # Errors
/// [`DataError::Missing`], [`DataError::Io`], [`DataError::Idx`], [`DataError::Counts`], [`DataError::Unfit`].
pub fn inspect(dir: &Path) -> Result<Inspection, DataError> {
    let files = Files::read(dir)?;
    let (digest, paths) = (files.digest(), files.paths.clone());
    let (train, test) = files.splits(MOST_CLASSES)?;
    let ImageShape { height, width, .. } = train.shape;
    if ![height, width].iter().all(|side| SIDES.contains(side)) {
        let why = format!("the images have `{}`", train.shape);
        let hint =
            format!("pad or scale them to {} to {} pixels a side", SIDES.start(), SIDES.end());
        return Err(DataError::Unfit { file: paths[0].clone(), why, hint });
    }
    if train.labels.iter().all(|label| *label == train.labels[0]) {
        let why = format!("all labels are `{}`", train.labels[0]);
        let hint = "there is nothing to tell apart: at least two classes are needed".to_owned();
        return Err(DataError::Unfit { file: paths[1].clone(), why, hint });
    }
    let classes = classes(&train).max(classes(&test));
    let counts = |split: &Split| {
        let mut counts = vec![0; classes];
        split.labels.iter().for_each(|label| counts[usize::from(*label)] += 1);
        counts
    };
    let sizes = sizes(&train, &test, classes);
    let (train_counts, test_counts) = (counts(&train), counts(&test));
    let description = IdxDataset { digest, sizes };
    Ok(Inspection { description, data: splits(train, test, classes), train_counts, test_counts })
}

/// Reads the files from [`LoadOptions::data_dir`] and checks that they are what the grid describes.
pub(super) fn load_idx(expected: &IdxDataset, options: &LoadOptions) -> Result<Splits, DataError> {
    let files = Files::read(options.data_dir.as_deref().ok_or(DataError::NoFolder)?)?;
    let (found, paths) = (files.digest(), files.paths.clone());
    if found != expected.digest {
        let (expected, found) = (expected.digest.to_string(), found.to_string());
        return Err(DataError::OwnDigest { files: paths.to_vec(), expected, found });
    }
    let (train, test) = files.splits(MOST_CLASSES)?;
    let expected = expected.sizes;
    // Classes without any image are the user's to know of.
    let classes = classes(&train).max(classes(&test)).max(expected.classes as usize);
    let found = sizes(&train, &test, classes);
    let facts = [
        ("height", &paths[0], found.image.height, expected.image.height),
        ("width", &paths[0], found.image.width, expected.image.width),
        ("channels", &paths[0], found.image.channels, expected.image.channels),
        ("train_images", &paths[0], found.train_images, expected.train_images),
        ("test_images", &paths[2], found.test_images, expected.test_images),
        ("classes", &paths[1], found.classes, expected.classes),
    ];
    match facts.into_iter().find(|(_, _, found, expected)| found != expected) {
        None => Ok(splits(train, test, classes)),
        Some((key, file, found, expected)) => {
            let why = format!("{key} is `{found}`, but the grid says `{expected}`");
            let hint =
                "take the [data] table of the grid from `swfn-worker inspect DIR`".to_owned();
            Err(DataError::Unfit { file: file.clone(), why, hint })
        }
    }
}

/// The four files, in the order of [`IDX_FILES`].
struct Files {
    paths: [PathBuf; 4],
    contents: [Idx; 4],
}

impl Files {
    fn read(dir: &Path) -> Result<Files, DataError> {
        let places = places(dir, IDX, &OTHER_FOLDERS);
        let prefix = prefix(&places)?;
        let path = |file: &str| {
            let hint = "name the folder with the four files; each may have `.gz` at its end";
            find(&places, &prefix, file, true).map_err(|looked_for| DataError::Missing {
                dataset: IDX,
                file: file.to_owned(),
                looked_for,
                hint,
            })
        };
        // All files first: a missing one should not be told after minutes of reading others.
        let [a, b, c, d] = IDX_FILES.map(path);
        let paths = [a?, b?, c?, d?];
        let [a, b, c, d] = paths.each_ref().map(|path| read_idx(path));
        Ok(Files { contents: [a?, b?, c?, d?], paths })
    }

    fn digest(&self) -> DataDigest {
        DataDigest::of(self.contents.each_ref().map(|content| content.sha256.as_str()))
    }

    /// Training and test images.
    fn splits(self, classes: usize) -> Result<(Split, Split), DataError> {
        let [train_images, train_labels, test_images, test_labels] = self.contents;
        let train = split((&self.paths[0], train_images), (&self.paths[1], train_labels), classes)?;
        let test = split((&self.paths[2], test_images), (&self.paths[3], test_labels), classes)?;
        same_shape(&train, &self.paths[2], &test)?;
        Ok((train, test))
    }
}

fn splits(train: Split, test: Split, classes: usize) -> Splits {
    Splits { train: train.into(), test, classes, units: Units::OF_MNIST }
}

fn sizes(train: &Split, test: &Split, classes: usize) -> Sizes {
    let [classes, train_images, test_images] = [classes, train.len(), test.len()].map(narrow);
    Sizes { image: train.shape, classes, train_images, test_images }
}

/// One more than the largest label.
fn classes(split: &Split) -> usize {
    split.labels.iter().max().map_or(0, |label| usize::from(*label) + 1)
}

fn narrow(size: usize) -> u32 {
    u32::try_from(size).expect("sizes stand in 32 bits in a file")
}
