//! Where files of a data set lie in the user's folder, under the names that others give them.
//!
//! The names are those of MNIST's page. Some archives have a dot before `idx`, or each file in a folder of its name (Kaggle). torchvision
//! puts them into `MNIST/raw`. EMNIST has several sets in one folder, each with a prefix.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use swfn_shared::catalogue::IDX_FILES;

use super::error::DataError;

/// All folders in which a data set may lie: `dir/name/`, `dir/`, and where other programs have it.
pub(super) fn places(dir: &Path, name: &str, others: &[&str]) -> Vec<PathBuf> {
    let usual = [dir.join(name), dir.to_path_buf(), dir.join("raw")];
    usual.into_iter().chain(others.iter().map(|folder| dir.join(folder))).collect()
}

/// A name of [`IDX_FILES`], and how else it is written. Images with channels have four dimensions.
fn spellings(file: &str) -> Vec<String> {
    let mut names = vec![file.to_owned()];
    for (usual, other) in [("-idx", ".idx"), ("t10k", "test"), ("idx3", "idx4")] {
        let others =
            names.iter().filter(|name| name.contains(usual)).map(|name| name.replace(usual, other));
        names.extend(others.collect::<Vec<_>>());
    }
    names
}

/// Looks for a file in these folders: in each first uncompressed, if `plain`, then with `.gz`, under its own name and then
/// under others. `prefix` stands before the name.
///
/// # Errors
/// The paths under its own name that were tried, in order.
pub(super) fn find(
    places: &[PathBuf],
    prefix: &str,
    file: &str,
    plain: bool,
) -> Result<PathBuf, Vec<PathBuf>> {
    let mut looked_for = Vec::new();
    for folder in places {
        let names: Vec<_> =
            spellings(file).into_iter().map(|name| format!("{prefix}{name}")).collect();
        for name in &names {
            let alone = folder.join(name);
            let in_folder = names.iter().map(|inner| alone.join(inner));
            let plain_ones = [alone.clone()].into_iter().chain(in_folder).filter(|_| plain);
            if let Some(found) =
                plain_ones.chain([folder.join(format!("{name}.gz"))]).find(|path| path.is_file())
            {
                return Ok(found);
            }
        }
        let own = folder.join(&names[0]);
        looked_for.extend(
            [own].into_iter().filter(|_| plain).chain([folder.join(format!("{}.gz", names[0]))]),
        );
    }
    Err(looked_for)
}

/// What stands before the names of the user's own files, as `emnist-letters-` does; nothing, if files have their usual names.
///
/// # Errors
/// [`DataError::Unfit`] if there are files of several sets.
pub(super) fn prefix(places: &[PathBuf]) -> Result<String, DataError> {
    for folder in places {
        let mut prefixes = BTreeSet::new();
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            let name = name.strip_suffix(".gz").unwrap_or(&name);
            prefixes.extend(
                spellings(IDX_FILES[0])
                    .iter()
                    .filter_map(|file| name.strip_suffix(file.as_str()))
                    .map(str::to_owned),
            );
        }
        if prefixes.contains("") || prefixes.len() == 1 {
            return Ok(if prefixes.contains("") {
                String::new()
            } else {
                prefixes.into_iter().collect()
            });
        }
        if !prefixes.is_empty() {
            let names = prefixes.into_iter().collect::<Vec<_>>().join("`, `");
            let why = format!("there are files of several sets: `{names}`");
            let hint = "put the four files of one set into a folder of their own, and name that"
                .to_owned();
            return Err(DataError::Unfit { file: folder.clone(), why, hint });
        }
    }
    Ok(String::new())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A folder with empty files of these names.
    fn folder(names: &[&str]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for name in names {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        }
        folder
    }

    #[test]
    fn files_are_found_under_the_names_that_others_give_them() {
        for (name, names) in [
            (
                "mnist",
                [
                    "train-images-idx3-ubyte",
                    "train-labels-idx1-ubyte.gz",
                    "t10k-images-idx3-ubyte",
                    "t10k-labels-idx1-ubyte",
                ],
            ),
            (
                "mnist",
                [
                    "mnist/train-images.idx3-ubyte",
                    "train-labels.idx1-ubyte",
                    "t10k-images.idx3-ubyte.gz",
                    "t10k-labels.idx1-ubyte",
                ],
            ),
            (
                "idx",
                [
                    "MNIST/raw/train-images-idx3-ubyte",
                    "MNIST/raw/train-labels-idx1-ubyte",
                    "MNIST/raw/t10k-images-idx3-ubyte",
                    "MNIST/raw/t10k-labels-idx1-ubyte",
                ],
            ),
            (
                "kmnist",
                [
                    "KMNIST/raw/train-images-idx3-ubyte",
                    "KMNIST/raw/train-labels-idx1-ubyte",
                    "raw/t10k-images-idx3-ubyte",
                    "KMNIST/raw/t10k-labels-idx1-ubyte",
                ],
            ),
            (
                "mnist",
                [
                    "train-images-idx3-ubyte/train-images-idx3-ubyte",
                    "train-labels-idx1-ubyte/train-labels.idx1-ubyte",
                    "t10k-images.idx3-ubyte/t10k-images-idx3-ubyte",
                    "t10k-labels-idx1-ubyte",
                ],
            ),
            (
                "idx",
                [
                    "emnist-letters-train-images-idx3-ubyte",
                    "emnist-letters-train-labels-idx1-ubyte.gz",
                    "emnist-letters-test-images-idx4-ubyte",
                    "emnist-letters-test-labels-idx1-ubyte",
                ],
            ),
        ] {
            let folder = folder(&names);
            let places = places(folder.path(), name, &["MNIST/raw", "KMNIST/raw"]);
            let prefix = prefix(&places).unwrap();
            for (file, expected) in IDX_FILES.iter().zip(names) {
                assert_eq!(
                    find(&places, &prefix, file, true),
                    Ok(folder.path().join(expected)),
                    "{name}"
                );
            }
        }
    }

    #[test]
    fn own_names_come_first_and_several_sets_are_refused() {
        let both = folder(&[
            "train-images-idx3-ubyte",
            "train-images.idx3-ubyte",
            "mnist/train-images-idx3-ubyte.gz",
        ]);
        let of = |plain| find(&places(both.path(), "mnist", &[]), "", IDX_FILES[0], plain);
        assert_eq!(of(false), Ok(both.path().join("mnist/train-images-idx3-ubyte.gz")));
        fs::remove_dir_all(both.path().join("mnist")).unwrap();
        assert_eq!(of(true), Ok(both.path().join("train-images-idx3-ubyte")));
        assert!(of(false).unwrap_err().contains(&both.path().join("train-images-idx3-ubyte.gz")));

        let sets =
            ["emnist-digits-train-images-idx3-ubyte.gz", "emnist-letters-train-images-idx3-ubyte"];
        let prefix = |folder: tempfile::TempDir| prefix(&places(folder.path(), "idx", &[]));
        let problem = prefix(folder(&sets)).unwrap_err().to_string();
        assert!(
            problem.contains("several sets: `emnist-digits-`, `emnist-letters-`\nhint: "),
            "{problem}"
        );
        let with_usual = folder(&[sets[0], sets[1], "train-images-idx3-ubyte"]);
        assert_eq!(prefix(with_usual).unwrap(), "");
    }
}
