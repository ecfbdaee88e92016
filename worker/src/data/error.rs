//! What can go wrong between a data set's name and its images. Every message names the place and
//! says what to do.

use std::fmt::Write as _;
use std::io;
use std::path::{Path, PathBuf};

/// An error of this module; its text ends with a hint.
#[derive(Debug, thiserror::Error)]
pub enum DataError {
    /// A file could not be opened, read, written or renamed.
    #[error("cannot {action} `{}`: {source}\nhint: {hint}", path.display())]
    Io {
        /// What was tried, as a verb.
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The reason given by the operating system.
        source: io::Error,
        /// What the user can do.
        hint: &'static str,
    },

    /// A file is not a well-formed IDX file of images or labels.
    #[error(
        "`{}`, byte {offset}: {why}\nhint: the file is damaged, no IDX file, \
         or of another data set; download or make it again",
        file.display()
    )]
    Idx {
        /// The file as the user named it.
        file: PathBuf,
        /// Where, counted in the uncompressed content.
        offset: u64,
        /// What is wrong, with the offending value in backticks.
        why: String,
    },

    /// A file's content is not the published one.
    #[error(
        "`{}` has the SHA-256 `{found}`, expected `{expected}`\nhint: the file is damaged or belongs \
         to another data set; delete it and download it again",
        file.display()
    )]
    Digest {
        /// The file.
        file: PathBuf,
        /// The published digest, in hexadecimal.
        expected: String,
        /// The digest of what is there.
        found: String,
    },

    /// Files of the user's own are not those that a grid describes.
    #[error(
        "{} have together the digest `{found}`, but the grid says `{expected}`\nhint: these are other files than those \
         that the grid was written for; `swfn-worker inspect DIR` prints the [data] table for them",
        list(files)
    )]
    OwnDigest {
        /// All of them.
        files: Vec<PathBuf>,
        /// The digest in the grid, in hexadecimal.
        expected: String,
        /// The digest of what is there.
        found: String,
    },

    /// A file of the user's own cannot be used, though it is well-formed.
    #[error("`{}`: {why}\nhint: {hint}", file.display())]
    Unfit {
        /// The file.
        file: PathBuf,
        /// What is wrong, with the offending value in backticks.
        why: String,
        /// What the user can do.
        hint: String,
    },

    /// A grid wants a data set of the user's own, and no folder is named.
    #[error(
        "the images of data set `idx` are the user's own, and no folder with them is named\nhint: start the worker, or \
         the coordinator with its local workers, with --data-dir DIR"
    )]
    NoFolder,

    /// An image file and its label file do not belong together.
    #[error(
        "`{}` has `{images}` images, but `{}` has `{labels}` labels\nhint: the two files must come \
         from one data set",
        images_file.display(), labels_file.display()
    )]
    Counts {
        /// The image file.
        images_file: PathBuf,
        /// Number of images in it.
        images: usize,
        /// The label file.
        labels_file: PathBuf,
        /// Number of labels in it.
        labels: usize,
    },

    /// A file is in none of the places where it may lie.
    #[error("`{file}` of {dataset} not found, looked for: {}\nhint: {hint}", list(looked_for))]
    Missing {
        /// Name of the data set.
        dataset: &'static str,
        /// Name of the file.
        file: String,
        /// The paths that were tried, in order.
        looked_for: Vec<PathBuf>,
        /// What the user can do.
        hint: &'static str,
    },

    /// No mirror delivered a file.
    #[error(
        "could not download `{file}`:{}\nhint: check the network and its proxy, or put the file into \
         a folder and name that as the data directory",
        bullets(failures)
    )]
    Download {
        /// Name of the file.
        file: String,
        /// For each mirror its address and why it failed.
        failures: Vec<String>,
    },

    /// The user has no cache folder.
    #[error(
        "no folder for downloads is known: neither a home nor a cache folder is set\nhint: set SWFN_CACHE"
    )]
    NoCache,

    /// More images were asked for than there are.
    #[error(
        "a subset of `{n}` images was asked for, but there are `{len}`\nhint: choose at most {len}"
    )]
    Subset {
        /// The size asked for.
        n: usize,
        /// The number of images.
        len: usize,
    },

    /// A balanced subset wants more images of a class than there are.
    #[error(
        "a balanced subset wants `{wanted}` images of class `{class}`, but there are {there}\nhint: {hint}, or sampling = \"uniform\"",
        hint = if *there == 0 { "leave that class out of the files" } else { "choose a smaller subset" }
    )]
    Class {
        /// The class.
        class: usize,
        /// Its share of the subset.
        wanted: usize,
        /// The number of its images.
        there: usize,
    },

    /// A contact sheet cannot be drawn from what was given.
    #[error("cannot draw a contact sheet: {why}\nhint: give at least one tile, all of one size")]
    Sheet {
        /// What is wrong, with the offending value in backticks.
        why: String,
    },
}

impl DataError {
    /// For `map_err` on the calls of `std::fs` and `std::io`.
    pub(super) fn io<'a>(
        action: &'static str,
        path: &'a Path,
        hint: &'static str,
    ) -> impl FnOnce(io::Error) -> DataError + use<'a> {
        move |source| DataError::Io { action, path: path.to_path_buf(), source, hint }
    }
}

fn list(paths: &[PathBuf]) -> String {
    let quoted: Vec<String> = paths.iter().map(|path| format!("`{}`", path.display())).collect();
    quoted.join(", ")
}

fn bullets(lines: &[String]) -> String {
    lines.iter().fold(String::new(), |mut text, line| {
        let _ = write!(text, "\n  - {line}");
        text
    })
}
