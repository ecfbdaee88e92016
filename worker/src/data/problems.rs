//! Problems that several files of this folder report. Each names the place and has a hint.

use std::{
    fmt::Display,
    io,
    path::{Path, PathBuf},
};

use swfn_shared::{problem, problem::Problem};

pub(super) const UNREADABLE: &str = "check that the file exists and may be read";
pub(super) const DISK_HINT: &str =
    "check the free space and the permissions, or set SWFN_CACHE to another folder";

/// The problem with `path` of which `action` failed; for `map_err`.
pub(super) fn io<'a>(
    action: &'a str,
    path: &'a Path,
    hint: &'a str,
) -> impl FnOnce(io::Error) -> Problem + use<'a> {
    move |error| problem!("cannot {action} `{}`: {error}", path.display(); "{hint}")
}

/// A file is no well-formed IDX file of images or labels. `offset` counts its uncompressed bytes.
pub(super) fn malformed(file: &Path, offset: u64, why: impl Display) -> Problem {
    problem!(
        "`{}`, byte {offset}: {why}", file.display();
        "the file is damaged, no IDX file, or of another data set; download or make it again"
    )
}

/// A file of the user's own cannot be used, though it is well-formed.
pub(super) fn unfit(file: &Path, why: impl Display, hint: impl Into<String>) -> Problem {
    Problem::new(format!("`{}`: {why}", file.display()), hint)
}

/// A file is in none of the places where it may lie.
pub(super) fn missing(dataset: &str, file: &str, tried: &[PathBuf], hint: &str) -> Problem {
    problem!("`{file}` of {dataset} not found, looked for: {}", list(tried); "{hint}")
}

/// No folder is named for a data set of the user's own.
pub(crate) fn no_folder() -> Problem {
    problem!(
        "data set `idx` is the user's own, and no folder with its files is named";
        "add --data-dir DIR to the command of the worker, or of the coordinator with local workers"
    )
}

pub(super) fn list(paths: &[PathBuf]) -> String {
    let quoted: Vec<_> = paths.iter().map(|path| format!("`{}`", path.display())).collect();
    quoted.join(", ")
}
