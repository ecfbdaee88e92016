//! Published data sets: how their files are found on disk or downloaded.

use std::path::{Path, PathBuf};

use swfn_shared::{
    catalogue::{DigestOf, Entry, Published, PublishedFile},
    folders,
    problem::Problem,
};

use super::{
    dataset::{LoadOptions, Splits},
    download::Download,
    find::{self, find},
    format, problems,
};

/// Finds, checks and reads the files of a published data set; see [`LoadOptions`] for where.
pub(super) fn load_published(
    entry: &Entry,
    published: &Published,
    options: &LoadOptions,
) -> Result<Splits, Problem> {
    // All files first: a missing one is reported before others are read for minutes.
    let paths = published.files.iter().map(|file| match &options.data_dir {
        Some(dir) => in_data_dir(entry, published, file, dir),
        None => in_cache(entry, published, file, options),
    });
    let paths = paths.collect::<Result<Vec<_>, _>>()?;
    let contents = published.files.iter().zip(&paths);
    let contents = contents.map(|(file, path)| format::read_file(entry, published, file, path));
    let classes = entry.sizes.classes as usize;
    let contents = contents.collect::<Result<Vec<_>, _>>()?;
    let (train, test) = format::splits(&paths, contents, classes)?;
    Ok(Splits { train: train.into(), test, classes, units: entry.units })
}

fn in_data_dir(
    entry: &Entry,
    published: &Published,
    file: &PublishedFile,
    dir: &Path,
) -> Result<PathBuf, Problem> {
    let folders = find::folders(dir, entry.name, published.folders);
    let (plain, hint) = match published.digest_of {
        DigestOf::Content => {
            (true, "check the data directory, or leave it out to download the files")
        }
        DigestOf::Gzip => (
            false,
            "check the data directory, or leave it out to download the files; of this data set \
             only the published `.gz` files can be checked, uncompressed copies are not read",
        ),
    };
    find(entry.name, &folders, "", file.name, plain, hint)
}

fn in_cache(
    entry: &Entry,
    published: &Published,
    file: &PublishedFile,
    options: &LoadOptions,
) -> Result<PathBuf, Problem> {
    let name = format!("{}.gz", file.name);
    let target = cache_dir(options)?.join("data").join(entry.name).join(&name);
    if target.is_file() {
        return Ok(target);
    }
    if options.offline {
        let hint = "go online once to download it, or name a data directory that has it";
        return Err(problems::missing(entry.name, &name, &[target], hint));
    }
    let built_in = || published.mirrors.iter().map(|mirror| mirror.to_string()).collect();
    let mirrors = if options.mirrors.is_empty() { built_in() } else { options.mirrors.clone() };
    Download { file: &name, target: &target, mirrors: &mirrors, progress: options.progress }
        .run(|path| format::read_file(entry, published, file, path).map(drop))?;
    Ok(target)
}

/// The folder for files that can be made again: downloads, trained VAEs and checkpoints.
pub(crate) fn cache_dir(options: &LoadOptions) -> Result<PathBuf, Problem> {
    let unknown = || {
        let what = "no folder for downloads is known: neither a home nor a cache folder is set";
        Problem::new(what, "set SWFN_CACHE")
    };
    options.cache_dir.clone().or_else(folders::cache).ok_or_else(unknown)
}
