//! How IDX files become images with their labels, each checked against the other.

use std::{
    fs::File,
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
};

use sha2::{Digest, Sha256};
use swfn_shared::{
    catalogue::{DigestOf, Entry, Published, PublishedFile},
    image::ImageShape,
    problem,
    problem::Problem,
};

use super::{
    dataset::Split,
    idx::{Idx, hex, read_idx},
    problems::{self, UNREADABLE, malformed},
};

/// Training and test images from the contents of four files, in the order of
/// [`IDX_FILES`](swfn_shared::catalogue::IDX_FILES).
pub(super) fn splits(
    paths: &[PathBuf],
    contents: impl IntoIterator<Item = Idx>,
    classes: usize,
) -> Result<(Split, Split), Problem> {
    let mut files = paths.iter().map(PathBuf::as_path).zip(contents);
    let mut part = || {
        let mut file = || files.next().expect("a data set has four files");
        split(file(), file(), classes)
    };
    let (train, test) = (part()?, part()?);
    if train.shape != test.shape {
        let why = format!("the images have `{}`, those to train on {}", test.shape, train.shape);
        // The sizes stand after the magic number and the count.
        return Err(malformed(&paths[2], 8, why));
    }
    Ok((train, test))
}

/// Largest number of elements of a data set's file, so that a wrong file cannot fill the memory.
pub(super) fn most_elements(entry: &Entry) -> u64 {
    let sizes = entry.sizes;
    u64::from(sizes.train_images.max(sizes.test_images)) * sizes.image.values() as u64
}

/// Joins images and labels of IDX files, each checked against the other and the number of classes.
pub(super) fn split(
    (images_file, images): (&Path, Idx),
    (labels_file, labels): (&Path, Idx),
    classes: usize,
) -> Result<Split, Problem> {
    let unexpected = |file: &Path, found: &Idx, kind| {
        let why = format!("`{}` dimensions are not those of {kind}", found.dims.len());
        malformed(file, 3, why)
    };
    let (count, shape) = match *images.dims.as_slice() {
        [count, height, width] => (count, [height, width, 1]),
        [count, height, width, channels] => (count, [height, width, channels]),
        _ => return Err(unexpected(images_file, &images, "images")),
    };
    let [height, width, channels] = shape.map(|size| size as u32);
    if labels.dims.len() != 1 {
        return Err(unexpected(labels_file, &labels, "labels"));
    }
    if count != labels.data.len() {
        return Err(problem!(
            "`{}` has `{count}` images, but `{}` has `{}` labels",
            images_file.display(), labels_file.display(), labels.data.len();
            "take both files from one data set"
        ));
    }
    if let Some(at) = labels.data.iter().position(|&label| usize::from(label) >= classes) {
        let why = format!("the label `{}` is not below {classes}", labels.data[at]);
        // Labels begin after the magic number and one size.
        return Err(malformed(labels_file, 8 + at as u64, why));
    }
    let shape = ImageShape { height, width, channels };
    Ok(Split { images: images.data, labels: labels.data, shape })
}

/// Reads a published IDX file from `path` and checks its digest.
pub(super) fn read_file(
    entry: &Entry,
    published: &Published,
    file: &PublishedFile,
    path: &Path,
) -> Result<Idx, Problem> {
    let gzip_digest = match published.digest_of {
        DigestOf::Content => None,
        DigestOf::Gzip => Some(file_sha256(path)?),
    };
    let idx = read_idx(path, most_elements(entry))?;
    let (expected, found) = (file.sha256, gzip_digest.as_ref().unwrap_or(&idx.sha256));
    if found != expected {
        return Err(problem!(
            "`{}` has the SHA-256 `{found}`, expected `{expected}`", path.display();
            "the file is damaged or of another data set; delete it and download it again"
        ));
    }
    Ok(idx)
}

fn file_sha256(path: &Path) -> Result<String, Problem> {
    let hash = || {
        let mut file = BufReader::with_capacity(1 << 16, File::open(path)?);
        let mut hasher = Sha256::new();
        loop {
            let bytes = file.fill_buf()?;
            let count = bytes.len();
            if count == 0 {
                return Ok(hex(&hasher.finalize()));
            }
            hasher.update(bytes);
            file.consume(count);
        }
    };
    hash().map_err(problems::io("read", path, UNREADABLE))
}
