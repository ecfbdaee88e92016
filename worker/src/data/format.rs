//! How the files of a format become images with their labels, each checked against the other.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};
use swfn_shared::catalogue::{DigestOf, Entry, Format, Published, PublishedFile};
use swfn_shared::image::ImageShape;

use super::dataset::Split;
use super::error::DataError;
use super::idx::{Idx, hex, read_idx_of};

/// Reads all files of a published data set; `paths`: where each of them lies.
pub(super) fn read(
    entry: &Entry,
    published: &Published,
    paths: &[PathBuf],
) -> Result<(Split, Split), DataError> {
    match published.format {
        Format::Idx => {
            let part = |first: usize| {
                let [images, labels] = [first, first + 1].map(|file| {
                    read_verified(entry, published.digest_of, &published.files[file], &paths[file])
                });
                split(
                    (&paths[first], images?),
                    (&paths[first + 1], labels?),
                    entry.sizes.classes as usize,
                )
            };
            let (train, test) = (part(0)?, part(2)?);
            same_shape(&train, &paths[2], &test)?;
            Ok((train, test))
        }
    }
}

/// Checks one of the files, which is at `path`.
pub(super) fn check(
    entry: &Entry,
    published: &Published,
    file: &PublishedFile,
    path: &Path,
) -> Result<(), DataError> {
    match published.format {
        Format::Idx => read_verified(entry, published.digest_of, file, path).map(drop),
    }
}

/// Bytes of the images of the larger part, so that a file in the place of a published one cannot fill the
/// memory.
pub(super) fn most_bytes(entry: &Entry) -> u64 {
    let sizes = entry.sizes;
    u64::from(sizes.train_images.max(sizes.test_images)) * sizes.image.values() as u64
}

/// Puts images and labels of IDX files together, each checked against the other and against the number
/// of classes.
pub(super) fn split(
    (images_file, images): (&Path, Idx),
    (labels_file, labels): (&Path, Idx),
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
    Ok(Split {
        images: images.data,
        labels: labels.data,
        shape: ImageShape { height, width, channels },
    })
}

/// Whether the test images, which are in an IDX file, have the shape of those to train on.
pub(super) fn same_shape(train: &Split, test_file: &Path, test: &Split) -> Result<(), DataError> {
    if train.shape == test.shape {
        return Ok(());
    }
    let why = format!("the images have `{}`, those to train on {}", test.shape, train.shape);
    // The sizes stand after the magic number and the count.
    Err(DataError::Idx { file: test_file.to_path_buf(), offset: 8, why })
}

/// Reads a published IDX file from `path` and compares its checksum.
fn read_verified(
    entry: &Entry,
    digest_of: DigestOf,
    file: &PublishedFile,
    path: &Path,
) -> Result<Idx, DataError> {
    let found_in_gzip = match digest_of {
        DigestOf::Content => None,
        DigestOf::Gzip => Some(file_sha256(path)?),
    };
    let idx = read_idx_of(path, most_bytes(entry))?;
    let (expected, found) = (file.sha256, found_in_gzip.unwrap_or(idx.sha256.clone()));
    if found != expected {
        return Err(DataError::Digest {
            file: path.to_path_buf(),
            expected: expected.to_owned(),
            found,
        });
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
