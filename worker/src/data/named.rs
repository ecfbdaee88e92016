//! The published data sets: their files, checksums and mirrors, and how they are found on disk.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};
use swfn_shared::{
    dataset::{FASHION_MNIST_FILES, KMNIST_FILES, MNIST_FILES},
    folders,
    image::ImageShape,
};

use super::dataset::{Dataset, LoadOptions, Split};
use super::download::Download;
use super::error::DataError;
use super::find::find;
use super::idx::{Idx, hex, read_idx_of};

/// A published data set: 60,000 training and 10,000 test images of 28 x 28 pixels, 10 classes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Named {
    /// Handwritten digits (LeCun, Cortes, Burges).
    Mnist,
    /// Articles of clothing (Xiao, Rasul, Vollgraf, arXiv 1708.07747).
    FashionMnist,
    /// Kuzushiji-MNIST, cursive Japanese characters (Clanuwat et al., arXiv 1812.01718).
    Kmnist,
}

impl Named {
    /// Its name on disk: `mnist`, `fashion-mnist`, `kmnist`.
    pub fn name(self) -> &'static str {
        self.catalogue().name
    }

    fn catalogue(self) -> &'static Catalogue {
        match self {
            Named::Mnist => &MNIST,
            Named::FashionMnist => &FASHION_MNIST,
            Named::Kmnist => &KMNIST,
        }
    }
}

/// Images before labels, training before test; the order of `Catalogue::digests`.
pub(super) const FILES: [&str; 4] =
    ["train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"];

/// What is known about a data set.
pub(super) struct Catalogue {
    pub(super) name: &'static str,
    /// Folders with the files under their names with `.gz`, each ending in `/`.
    pub(super) mirrors: &'static [&'static str],
    /// SHA-256 of each of `FILES`.
    pub(super) digests: [&'static str; 4],
    pub(super) digest_of: DigestOf,
}

/// What a checksum covers.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum DigestOf {
    /// The uncompressed file, however it is compressed.
    Content,
    /// The `.gz` file as published. Uncompressed or recompressed copies cannot be checked and are
    /// not accepted.
    Gzip,
}

static MNIST: Catalogue = Catalogue {
    name: "mnist",
    mirrors: &["https://ossci-datasets.s3.amazonaws.com/mnist/", "https://storage.googleapis.com/cvdf-datasets/mnist/"],
    digests: MNIST_FILES,
    digest_of: DigestOf::Content,
};

static FASHION_MNIST: Catalogue = Catalogue {
    name: "fashion-mnist",
    mirrors: &[
        "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
        "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
    ],
    digests: FASHION_MNIST_FILES,
    digest_of: DigestOf::Gzip,
};

static KMNIST: Catalogue = Catalogue {
    name: "kmnist",
    mirrors: &[
        "http://codh.rois.ac.jp/kmnist/dataset/kmnist/",
        "https://huggingface.co/datasets/tanganke/kmnist/resolve/main/raw/",
    ],
    digests: KMNIST_FILES,
    digest_of: DigestOf::Gzip,
};

/// Pixels of the largest file of any published data set, so that one in its place cannot fill the memory.
const MOST_ELEMENTS: u64 = 60_000 * 28 * 28;

/// Classes of each published data set.
const CLASSES: usize = 10;

/// Finds, checks and reads the files of a published data set; see [`LoadOptions`] for where.
pub(super) fn load_named(named: Named, options: &LoadOptions) -> Result<Dataset, DataError> {
    load_catalogue(named.catalogue(), options)
}

pub(super) fn load_catalogue(catalogue: &Catalogue, options: &LoadOptions) -> Result<Dataset, DataError> {
    // All files first: a missing one should not be told after minutes of reading others.
    let mut paths = Vec::with_capacity(FILES.len());
    for file in 0..FILES.len() {
        paths.push(match &options.data_dir {
            Some(dir) => in_data_dir(catalogue, file, dir)?,
            None => in_cache(catalogue, file, options)?,
        });
    }
    let train = read_split(catalogue, &paths, 0)?;
    let test = read_split(catalogue, &paths, 2)?;
    same_size(&train, &paths[2], &test)?;
    Ok(Dataset::new(train, test, CLASSES))
}

fn in_data_dir(catalogue: &Catalogue, file: usize, dir: &Path) -> Result<PathBuf, DataError> {
    let looked_for = match find(dir, catalogue.name, "", FILES[file], catalogue.digest_of == DigestOf::Content) {
        Ok(found) => return Ok(found),
        Err(looked_for) => looked_for,
    };
    let hint = match catalogue.digest_of {
        DigestOf::Content => "check the data directory, or leave it out to download the files",
        DigestOf::Gzip => {
            "check the data directory, or leave it out to download the files; of this data set only \
             the published `.gz` files can be checked, uncompressed copies are not read"
        }
    };
    Err(DataError::Missing { dataset: catalogue.name, file: FILES[file].into(), looked_for, hint })
}

/// Whether the test images have as many pixels as those to train on.
pub(super) fn same_size(train: &Split, test_file: &Path, test: &Split) -> Result<(), DataError> {
    if train.shape == test.shape {
        return Ok(());
    }
    let why = format!("the images have `{}`, those to train on {}", test.shape, train.shape);
    // The sizes stand after the magic number and the count.
    Err(DataError::Idx { file: test_file.to_path_buf(), offset: 8, why })
}

fn in_cache(catalogue: &Catalogue, file: usize, options: &LoadOptions) -> Result<PathBuf, DataError> {
    let name = format!("{}.gz", FILES[file]);
    let target = cache_dir(options)?.join("data").join(catalogue.name).join(&name);
    if target.is_file() {
        return Ok(target);
    }
    if options.offline {
        return Err(DataError::Missing {
            dataset: catalogue.name,
            file: name,
            looked_for: vec![target],
            hint: "go online once to download it, or name a data directory that has it",
        });
    }
    let built_in = || catalogue.mirrors.iter().map(|mirror| mirror.to_string()).collect();
    let mirrors = if options.mirrors.is_empty() { built_in() } else { options.mirrors.clone() };
    Download { file: &name, target: &target, mirrors: &mirrors, progress: options.progress }
        .run(|path| read_verified(catalogue, file, path).map(drop))?;
    Ok(target)
}

/// The folder for all that may be made again: downloads and trained VAEs.
///
/// # Errors
/// [`DataError::NoCache`]
pub(crate) fn cache_dir(options: &LoadOptions) -> Result<PathBuf, DataError> {
    if let Some(dir) = &options.cache_dir {
        return Ok(dir.clone());
    }
    folders::cache().ok_or(DataError::NoCache)
}

/// Reads the image file `paths[first]` and the label file after it.
fn read_split(catalogue: &Catalogue, paths: &[PathBuf], first: usize) -> Result<Split, DataError> {
    let (images_file, labels_file) = (&paths[first], &paths[first + 1]);
    let images = read_verified(catalogue, first, images_file)?;
    let labels = read_verified(catalogue, first + 1, labels_file)?;
    split(images_file, images, labels_file, labels, CLASSES)
}

/// Puts images and labels together, each checked against the other and against the number of
/// classes.
pub(super) fn split(
    images_file: &Path,
    images: Idx,
    labels_file: &Path,
    labels: Idx,
    classes: usize,
) -> Result<Split, DataError> {
    let not_of = |file: &Path, found: &Idx, what| DataError::Idx {
        file: file.to_path_buf(),
        offset: 3,
        why: format!("`{}` dimensions are not those of {what}", found.dims.len()),
    };
    let (count, shape) = match *images.dims.as_slice() {
        [count, height, width] => (count, [height, width, 1]),
        [count, height, width, channels] => (count, [height, width, channels]),
        _ => return Err(not_of(images_file, &images, "images")),
    };
    let [height, width, channels] = shape.map(|size| size as u32);
    if labels.dims.len() != 1 {
        return Err(not_of(labels_file, &labels, "labels"));
    }
    if count != labels.data.len() {
        return Err(DataError::Counts {
            images_file: images_file.to_path_buf(),
            images: count,
            labels_file: labels_file.to_path_buf(),
            labels: labels.data.len(),
        });
    }
    if let Some(at) = labels.data.iter().position(|&label| usize::from(label) >= classes) {
        // Labels begin after the magic number and one size.
        return Err(DataError::Idx {
            file: labels_file.to_path_buf(),
            offset: 8 + at as u64,
            why: format!("the label `{}` is not below {classes}", labels.data[at]),
        });
    }
    Ok(Split { images: images.data, labels: labels.data, shape: ImageShape { height, width, channels } })
}

/// Reads one of `FILES` from `path` and compares its checksum.
fn read_verified(catalogue: &Catalogue, file: usize, path: &Path) -> Result<Idx, DataError> {
    let found_in_gzip = match catalogue.digest_of {
        DigestOf::Content => None,
        DigestOf::Gzip => Some(file_sha256(path)?),
    };
    let idx = read_idx_of(path, MOST_ELEMENTS)?;
    let (expected, found) = (catalogue.digests[file], found_in_gzip.unwrap_or(idx.sha256.clone()));
    if found != expected {
        return Err(DataError::Digest { file: path.to_path_buf(), expected: expected.to_owned(), found });
    }
    Ok(idx)
}

fn file_sha256(path: &Path) -> Result<String, DataError> {
    let hint = "check that the file exists and may be read";
    let file = File::open(path).map_err(DataError::io("open", path, hint))?;
    let mut reader = BufReader::new(file);
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 1 << 16];
    loop {
        match reader.read(&mut buffer).map_err(DataError::io("read", path, hint))? {
            0 => return Ok(hex(&hasher.finalize())),
            n => hasher.update(&buffer[..n]),
        }
    }
}
