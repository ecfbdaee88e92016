//! Where files of a data set lie in the user's folder, under the names that others give them.
//!
//! The names are those of MNIST's page. Some archives have a dot before `idx`, or each file in a folder of its name (Kaggle). torchvision
//! puts them into `MNIST/raw`. EMNIST has several sets in one folder, each with a prefix.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use swfn_shared::dataset::IDX;

use super::error::DataError;
use super::named::FILES;

/// The folders in which torchvision keeps a data set; whoever has one of these as a set of their own may name its root, too.
fn torchvision(name: &str) -> &'static [&'static str] {
    match name {
        "mnist" => &["MNIST/raw"],
        "fashion-mnist" => &["FashionMNIST/raw"],
        "kmnist" => &["KMNIST/raw"],
        IDX => &["MNIST/raw", "EMNIST/raw"],
        _ => &[],
    }
}

/// All folders in which a data set may lie.
fn folders(dir: &Path, name: &str) -> Vec<PathBuf> {
    let usual = [dir.join(name), dir.to_path_buf(), dir.join("raw")];
    usual.into_iter().chain(torchvision(name).iter().map(|folder| dir.join(folder))).collect()
}

/// A name of [`FILES`], and how else it is written.
fn spellings(file: &str) -> Vec<String> {
    let mut names = vec![file.to_owned(), file.replace("-idx", ".idx")];
    if file.starts_with("t10k") {
        names.extend([file.replace("t10k", "test"), file.replace("t10k", "test").replace("-idx", ".idx")]);
    }
    names
}

/// Looks for a file of the data set `name` in the user's folder: in `dir/name/`, then in `dir/`, then where torchvision has it; there
/// first uncompressed, if `plain`, then with `.gz`, under its own name and then under others. `prefix` stands before the name.
///
/// # Errors
/// The paths under its own name that were tried, in order.
pub(super) fn find(dir: &Path, name: &str, prefix: &str, file: &str, plain: bool) -> Result<PathBuf, Vec<PathBuf>> {
    let mut looked_for = Vec::new();
    for folder in folders(dir, name) {
        let names: Vec<_> = spellings(file).into_iter().map(|name| format!("{prefix}{name}")).collect();
        for name in &names {
            let alone = folder.join(name);
            let in_folder = names.iter().map(|inner| alone.join(inner));
            let plain_ones = [alone.clone()].into_iter().chain(in_folder).filter(|_| plain);
            if let Some(found) = plain_ones.chain([folder.join(format!("{name}.gz"))]).find(|path| path.is_file()) {
                return Ok(found);
            }
        }
        let own = folder.join(&names[0]);
        looked_for.extend([own].into_iter().filter(|_| plain).chain([folder.join(format!("{}.gz", names[0]))]));
    }
    Err(looked_for)
}

/// What stands before the names of the user's own files, as `emnist-letters-` does; nothing, if files have their usual names.
///
/// # Errors
/// [`DataError::Unfit`] if there are files of several sets.
pub(super) fn prefix(dir: &Path) -> Result<String, DataError> {
    for folder in folders(dir, IDX) {
        let mut prefixes = BTreeSet::new();
        for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            let name = name.strip_suffix(".gz").unwrap_or(&name);
            prefixes.extend(
                spellings(FILES[0]).iter().filter_map(|file| name.strip_suffix(file.as_str())).map(str::to_owned),
            );
        }
        if prefixes.contains("") || prefixes.len() == 1 {
            return Ok(if prefixes.contains("") { String::new() } else { prefixes.into_iter().collect() });
        }
        if !prefixes.is_empty() {
            let names = prefixes.into_iter().collect::<Vec<_>>().join("`, `");
            let why = format!("there are files of several sets: `{names}`");
            let hint = "put the four files of one set into a folder of their own, and name that".to_owned();
            return Err(DataError::Unfit { file: folder, why, hint });
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
                    "emnist-letters-test-images-idx3-ubyte",
                    "emnist-letters-test-labels-idx1-ubyte",
                ],
            ),
        ] {
            let folder = folder(&names);
            let prefix = prefix(folder.path()).unwrap();
            for (file, expected) in FILES.iter().zip(names) {
                assert_eq!(find(folder.path(), name, &prefix, file, true), Ok(folder.path().join(expected)), "{name}");
            }
        }
    }

    #[test]
    fn own_names_come_first_and_several_sets_are_refused() {
        let both = folder(&["train-images-idx3-ubyte", "train-images.idx3-ubyte", "mnist/train-images-idx3-ubyte.gz"]);
        let of = |plain| find(both.path(), "mnist", "", FILES[0], plain);
        assert_eq!(of(false), Ok(both.path().join("mnist/train-images-idx3-ubyte.gz")));
        fs::remove_dir_all(both.path().join("mnist")).unwrap();
        assert_eq!(of(true), Ok(both.path().join("train-images-idx3-ubyte")));
        assert!(of(false).unwrap_err().contains(&both.path().join("train-images-idx3-ubyte.gz")));

        let sets = ["emnist-digits-train-images-idx3-ubyte.gz", "emnist-letters-train-images-idx3-ubyte"];
        let problem = prefix(folder(&sets).path()).unwrap_err().to_string();
        assert!(problem.contains("several sets: `emnist-digits-`, `emnist-letters-`\nhint: "), "{problem}");
        let with_usual = folder(&[sets[0], sets[1], "train-images-idx3-ubyte"]);
        assert_eq!(prefix(with_usual.path()).unwrap(), "");
    }
}
