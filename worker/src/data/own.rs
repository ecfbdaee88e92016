//! Data sets of the user's own: four IDX files in a folder, identified by the digest of their
//! content.

use std::path::{Path, PathBuf};

use swfn_shared::{
    catalogue::IDX_FILES,
    dataset::{CLASSES, IDX, IdxDataset, SIDES, Sizes, Units},
    ids::DataDigest,
    image::ImageShape,
    problem,
    problem::Problem,
};

use super::{
    dataset::{LoadOptions, Split, Splits},
    find::{find, folders, prefix},
    format,
    idx::{Idx, MAX_ELEMENTS, read_idx},
    problems::{list, no_folder, unfit},
};

/// Largest number of classes.
const MOST_CLASSES: usize = *CLASSES.end() as usize;

/// Folders in which other programs keep the files, below a folder of the user's.
const OTHER_FOLDERS: [&str; 2] = ["MNIST/raw", "EMNIST/raw"];

/// The data set in a folder, and how it is described.
#[derive(Debug, Clone)]
pub(crate) struct Inspection {
    /// The data set's description in grid files.
    pub(crate) description: IdxDataset,
    /// The images and labels.
    pub(crate) data: Splits,
    /// Training images of each class.
    pub(crate) train_counts: Vec<usize>,
    /// Test images of each class.
    pub(crate) test_counts: Vec<usize>,
}

/// Reads the user's own data set in `dir/idx/` or `dir/`, plain or `.gz`, and checks that networks
/// can be trained on it.
pub(crate) fn inspect(dir: &Path) -> Result<Inspection, Problem> {
    let files = Files::read(dir)?;
    let (digest, paths) = (files.digest(), files.paths.clone());
    let (train, test) = files.splits()?;
    let ImageShape { height, width, .. } = train.shape;
    if ![height, width].iter().all(|side| SIDES.contains(side)) {
        let hint =
            format!("pad or scale them to {} to {} pixels a side", SIDES.start(), SIDES.end());
        return Err(unfit(&paths[0], format!("the images have `{}`", train.shape), hint));
    }
    if train.labels.iter().all(|label| *label == train.labels[0]) {
        let hint = "add images of at least one other class";
        return Err(unfit(&paths[1], format!("all labels are `{}`", train.labels[0]), hint));
    }
    let classes = classes(&train, &test);
    let counts = |split: &Split| {
        let mut counts = vec![0; classes];
        split.labels.iter().for_each(|label| counts[usize::from(*label)] += 1);
        counts
    };
    let description = IdxDataset { digest, sizes: sizes(&train, &test, classes) };
    let (train_counts, test_counts) = (counts(&train), counts(&test));
    Ok(Inspection { description, data: splits(train, test, classes), train_counts, test_counts })
}

/// Reads the files from [`LoadOptions::data_dir`] and checks that they are those of the grid.
pub(super) fn load_idx(expected: &IdxDataset, options: &LoadOptions) -> Result<Splits, Problem> {
    let files = Files::read(options.data_dir.as_deref().ok_or_else(no_folder)?)?;
    let (found, paths) = (files.digest(), files.paths.clone());
    if found != expected.digest {
        return Err(problem!(
            "{} have together the digest `{found}`, but the grid says `{}`",
            list(&paths), expected.digest;
            "these are not the files that the grid was written for; `swfn-worker inspect DIR` \
             prints the [data] table for them"
        ));
    }
    let (train, test) = files.splits()?;
    let expected = expected.sizes;
    // The grid may have classes without any image.
    let classes = classes(&train, &test).max(expected.classes as usize);
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
        Some((key, file, found, expected)) => Err(unfit(
            file,
            format!("{key} is `{found}`, but the grid says `{expected}`"),
            "take the [data] table of the grid from `swfn-worker inspect DIR`",
        )),
    }
}

/// The four files, in the order of [`IDX_FILES`].
struct Files {
    paths: [PathBuf; 4],
    contents: [Idx; 4],
}

impl Files {
    fn read(dir: &Path) -> Result<Files, Problem> {
        let folders = folders(dir, IDX, &OTHER_FOLDERS);
        let prefix = prefix(&folders)?;
        let hint = "name the folder with the four files; each may have `.gz` at its end";
        // All files first: a missing one is reported before others are read for minutes.
        let [a, b, c, d] = IDX_FILES.map(|file| find(IDX, &folders, &prefix, file, true, hint));
        let paths = [a?, b?, c?, d?];
        let [a, b, c, d] = paths.each_ref().map(|path| read_idx(path, MAX_ELEMENTS));
        Ok(Files { contents: [a?, b?, c?, d?], paths })
    }

    fn digest(&self) -> DataDigest {
        DataDigest::of(self.contents.each_ref().map(|content| content.sha256.as_str()))
    }

    /// Training and test images.
    fn splits(self) -> Result<(Split, Split), Problem> {
        format::splits(&self.paths, self.contents, MOST_CLASSES)
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
fn classes(train: &Split, test: &Split) -> usize {
    train.labels.iter().chain(&test.labels).max().map_or(0, |label| usize::from(*label) + 1)
}

fn narrow(size: usize) -> u32 {
    u32::try_from(size).expect("sizes stand in 32 bits in a file")
}
