//! Published data sets: how their files are found on disk or downloaded.

use std::path::{Path, PathBuf};

use swfn_shared::{
    catalogue::{DigestOf, Entry, Published, PublishedFile},
    folders,
};

use super::dataset::{LoadOptions, Splits};
use super::download::Download;
use super::error::DataError;
use super::find::{find, places};
use super::format;

/// Finds, checks and reads the files of a published data set; see [`LoadOptions`] for where.
pub(super) fn load_published(
    entry: &Entry,
    published: &Published,
    options: &LoadOptions,
) -> Result<Splits, DataError> {
    // All files first: a missing one should not be told after minutes of reading others.
    let paths = published.files.iter().map(|file| match &options.data_dir {
        Some(dir) => in_data_dir(entry, published, file, dir),
        None => in_cache(entry, published, file, options),
    });
    let paths = paths.collect::<Result<Vec<_>, _>>()?;
    let (train, test) = format::read(entry, published, &paths)?;
    Ok(Splits {
        train: train.into(),
        test,
        classes: entry.sizes.classes as usize,
        units: entry.units,
    })
}

fn in_data_dir(
    entry: &Entry,
    published: &Published,
    file: &PublishedFile,
    dir: &Path,
) -> Result<PathBuf, DataError> {
    let places = places(dir, entry.name, published.folders);
    let plain = published.digest_of == DigestOf::Content;
    find(&places, "", file.name, plain).map_err(|looked_for| {
        let hint = match published.digest_of {
            DigestOf::Content => "check the data directory, or leave it out to download the files",
            DigestOf::Gzip => {
                "check the data directory, or leave it out to download the files; of this data set only \
                 the published `.gz` files can be checked, uncompressed copies are not read"
            }
        };
        DataError::Missing { dataset: entry.name, file: file.name.into(), looked_for, hint }
    })
}

fn in_cache(
    entry: &Entry,
    published: &Published,
    file: &PublishedFile,
    options: &LoadOptions,
) -> Result<PathBuf, DataError> {
    let name = format!("{}.gz", file.name);
    let target = cache_dir(options)?.join("data").join(entry.name).join(&name);
    if target.is_file() {
        return Ok(target);
    }
    if options.offline {
        return Err(DataError::Missing {
            dataset: entry.name,
            file: name,
            looked_for: vec![target],
            hint: "go online once to download it, or name a data directory that has it",
        });
    }
    let built_in = || published.mirrors.iter().map(|mirror| mirror.to_string()).collect();
    let mirrors = if options.mirrors.is_empty() { built_in() } else { options.mirrors.clone() };
    Download { file: &name, target: &target, mirrors: &mirrors, progress: options.progress }
        .run(|path| format::check(entry, published, file, path))?;
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
