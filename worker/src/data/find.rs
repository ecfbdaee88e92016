//! Where files of a data set lie in the user's folder, and under which names.
//!
//! The names are those of MNIST's page. Some archives have a dot before `idx`, or each file in a
//! folder of its name (Kaggle). torchvision puts them into `MNIST/raw`. EMNIST has several sets in
//! one folder, each with a prefix.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use swfn_shared::{catalogue::IDX_FILES, problem::Problem};

use super::problems::{missing, unfit};

/// The folders in which a data set may lie: `dir/name/`, `dir/`, `dir/raw`, and `others` below
/// `dir`.
pub(super) fn folders(dir: &Path, name: &str, others: &[&str]) -> Vec<PathBuf> {
    [name, "", "raw"].iter().chain(others).map(|folder| dir.join(folder)).collect()
}

/// A name of [`IDX_FILES`], and its other spellings. Images with channels have four dimensions.
fn spellings(file: &str) -> Vec<String> {
    let mut names = vec![file.to_owned()];
    for (usual, other) in [("-idx", ".idx"), ("t10k", "test"), ("idx3", "idx4")] {
        let others =
            names.iter().filter(|name| name.contains(usual)).map(|name| name.replace(usual, other));
        names.extend(others.collect::<Vec<_>>());
    }
    names
}

/// Looks for a file of `dataset` in each folder: first uncompressed, if `plain`, then with `.gz`,
/// each under its own name and then under others. `prefix` stands before the name.
pub(super) fn find(
    dataset: &str,
    folders: &[PathBuf],
    prefix: &str,
    file: &str,
    plain: bool,
    hint: &str,
) -> Result<PathBuf, Problem> {
    let names: Vec<_> = spellings(file).into_iter().map(|name| format!("{prefix}{name}")).collect();
    let mut tried = Vec::new();
    for folder in folders {
        for name in &names {
            let alone = folder.join(name);
            let inside = names.iter().map(|inner| alone.join(inner));
            let uncompressed = [alone.clone()].into_iter().chain(inside).filter(|_| plain);
            let mut paths = uncompressed.chain([folder.join(format!("{name}.gz"))]);
            if let Some(found) = paths.find(|path| path.is_file()) {
                return Ok(found);
            }
        }
        tried.extend(plain.then(|| folder.join(&names[0])));
        tried.push(folder.join(format!("{}.gz", names[0])));
    }
    Err(missing(dataset, file, &tried, hint))
}

/// The prefix of the user's own files, such as `emnist-letters-`; empty, if they have the usual
/// names.
pub(super) fn prefix(folders: &[PathBuf]) -> Result<String, Problem> {
    for folder in folders {
        let mut prefixes = BTreeSet::new();
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            let name = name.strip_suffix(".gz").unwrap_or(&name);
            let names = spellings(IDX_FILES[0]);
            let found = names.iter().filter_map(|file| name.strip_suffix(file.as_str()));
            prefixes.extend(found.map(str::to_owned));
        }
        if prefixes.contains("") {
            break;
        }
        if prefixes.len() > 1 {
            let names = prefixes.into_iter().collect::<Vec<_>>().join("`, `");
            let why = format!("there are files of several sets: `{names}`");
            let hint = "put the four files of one set into a folder of their own, and name that";
            return Err(unfit(folder, why, hint));
        }
        if let Some(prefix) = prefixes.pop_first() {
            return Ok(prefix);
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
    fn files_are_found_under_other_spellings() {
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
            let folders = folders(folder.path(), name, &["MNIST/raw", "KMNIST/raw"]);
            let prefix = prefix(&folders).unwrap();
            for (file, expected) in IDX_FILES.iter().zip(names) {
                assert_eq!(
                    find("", &folders, &prefix, file, true, ""),
                    Ok(folder.path().join(expected)),
                    "{name}"
                );
            }
        }
    }

    #[test]
    fn usual_names_come_first_several_sets_fail() {
        let both = folder(&[
            "train-images-idx3-ubyte",
            "train-images.idx3-ubyte",
            "mnist/train-images-idx3-ubyte.gz",
        ]);
        let folders_of = |dir| folders(dir, "mnist", &[]);
        let of = |plain| find("", &folders_of(both.path()), "", IDX_FILES[0], plain, "");
        assert_eq!(of(false), Ok(both.path().join("mnist/train-images-idx3-ubyte.gz")));
        fs::remove_dir_all(both.path().join("mnist")).unwrap();
        assert_eq!(of(true), Ok(both.path().join("train-images-idx3-ubyte")));
        let tried = both.path().join("train-images-idx3-ubyte.gz").display().to_string();
        assert!(of(false).unwrap_err().what.contains(&tried));

        let sets =
            ["emnist-digits-train-images-idx3-ubyte.gz", "emnist-letters-train-images-idx3-ubyte"];
        let prefix = |folder: tempfile::TempDir| prefix(&folders(folder.path(), "idx", &[]));
        let problem = prefix(folder(&sets)).unwrap_err().to_string();
        assert!(
            problem.contains("several sets: `emnist-digits-`, `emnist-letters-`\nhint: "),
            "{problem}"
        );
        let with_usual = folder(&[sets[0], sets[1], "train-images-idx3-ubyte"]);
        assert_eq!(prefix(with_usual).unwrap(), "");
    }
}
