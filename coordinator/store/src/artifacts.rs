//! The folder of files of trials: `artifacts/TRIAL/NAME`. Only whole files have their names.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{self, ErrorKind, Read as _, Seek as _, SeekFrom, Write as _},
    path::{Path, PathBuf},
};

use swfn_shared::{
    artifacts::{self, ArtifactPart, Artifacts},
    faults, files,
    ids::{LeaseId, TrialId},
};
use tracing::warn;

use super::{clean::sync_folder, error::StoreError};

fn unwritable(path: &Path, error: &io::Error) -> StoreError {
    let hint = "check disk space and permissions, then run the same command again; or take \
                [artifacts] off the grid file";
    StoreError::unwritable(path, error, hint)
}

#[derive(Debug)]
pub struct ArtifactFolder(PathBuf);

/// A file that is not whole yet.
struct Partial {
    file: File,
    bytes: u64,
}

impl ArtifactFolder {
    /// Makes the folder and tries it out at once, if any files are wanted.
    pub fn open(path: PathBuf, wanted: Artifacts) -> Result<Self, StoreError> {
        if wanted != Artifacts::default() {
            let probe = path.join(".probe");
            let try_out = || {
                make(&path)?;
                files::create(&probe)?;
                fs::remove_file(&probe)
            };
            try_out().map_err(|error| unwritable(&path, &error))?;
        }
        Ok(Self(path))
    }

    /// Writes parts of files of live leases and returns when they are on the disk. Workers send
    /// parts again that were not acknowledged, so writing a part twice changes nothing.
    pub fn write(&self, parts: &[(LeaseId, ArtifactPart)]) -> Result<(), StoreError> {
        let mut open = BTreeMap::new();
        for (lease, part) in parts {
            let whole = self.0.join(lease.trial.to_string()).join(part.name);
            let partial = whole.with_file_name(format!(".{}.{}", part.name, lease.attempt));
            let failed = |error| unwritable(&whole, &error);
            let started = match open.remove(&partial) {
                Some(started) if part.offset > 0 => Some(started),
                _ => start(&partial, part).map_err(failed)?,
            };
            let Some(mut started) = started.filter(|started| started.bytes >= part.offset) else {
                // The end of a whole file came again, or somebody has removed its beginning.
                if !whole.is_file() {
                    let (file, offset) = (whole.display(), part.offset);
                    warn!(%file, offset, "left out a part, since the one before it is missing");
                }
                continue;
            };
            started.put(part).map_err(failed)?;
            faults::point("artifact/part");
            if part.is_last() {
                finish(&started.file, part, &partial, &whole).map_err(failed)?;
            } else {
                open.insert(partial, started);
            }
        }
        for (path, partial) in open {
            partial.file.sync_all().map_err(|error| unwritable(&path, &error))?;
        }
        Ok(())
    }

    /// Whether the trial has that whole file.
    pub fn has(&self, trial: TrialId, name: &str) -> bool {
        self.0.join(trial.to_string()).join(name).is_file()
    }

    /// Removes the unfinished files of an attempt that is over.
    pub fn remove_attempt(&self, lease: LeaseId) {
        for name in artifacts::NAMES {
            let partial =
                self.0.join(lease.trial.to_string()).join(format!(".{name}.{}", lease.attempt));
            fs::remove_file(partial).ok();
        }
    }

    /// Removes unfinished files of a trial that has succeeded, such as those of lost attempts.
    pub fn remove_unfinished(&self, trial: TrialId) {
        let folder = self.0.join(trial.to_string());
        if let Err(error) = remove(&folder, ".")
            && error.kind() != ErrorKind::NotFound
        {
            warn!(folder = %folder.display(), "could not remove unfinished files: {error}");
        }
    }
}

impl Partial {
    fn put(&mut self, part: &ArtifactPart) -> io::Result<()> {
        self.file.seek(SeekFrom::Start(part.offset))?;
        self.file.write_all(&part.content)?;
        self.bytes = self.bytes.max(part.offset + part.content.len() as u64);
        Ok(())
    }
}

/// The file that a part goes into; `None` if its beginning is missing. A beginning that comes again
/// keeps the parts behind it: they may have been acknowledged, and would not come again.
fn start(partial: &Path, part: &ArtifactPart) -> io::Result<Option<Partial>> {
    let begins = part.offset == 0;
    let folder = partial.parent().unwrap_or(partial);
    if begins {
        make(folder)?;
    }
    let mut options = files::options();
    let opened = options.read(true).write(true).create(begins).truncate(false).open(partial);
    let mut file = match opened {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound && !begins => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut bytes = file.metadata()?.len();
    if begins {
        if bytes > part.size || !begins_with(&mut file, &part.content)? {
            file.set_len(0)?;
            bytes = 0;
        }
        sync_folder(folder)?;
    }
    Ok(Some(Partial { file, bytes }))
}

fn begins_with(file: &mut File, content: &[u8]) -> io::Result<bool> {
    let mut there = Vec::with_capacity(content.len());
    file.take(content.len() as u64).read_to_end(&mut there)?;
    Ok(there == content)
}

/// Gives a file its name, and removes the unfinished files of other attempts.
fn finish(file: &File, last: &ArtifactPart, partial: &Path, whole: &Path) -> io::Result<()> {
    faults::point("artifact/whole");
    file.set_len(last.size)?;
    file.sync_all()?;
    faults::point("artifact/synced");
    fs::rename(partial, whole)?;
    faults::point("artifact/named");
    let folder = whole.parent().unwrap_or(whole);
    remove(folder, &format!(".{}.", last.name))?;
    sync_folder(folder)
}

fn remove(folder: &Path, beginning: &str) -> io::Result<()> {
    for entry in fs::read_dir(folder)?.flatten() {
        if entry.file_name().to_string_lossy().starts_with(beginning) {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

/// Makes a folder, and brings its name to the disk.
fn make(folder: &Path) -> io::Result<()> {
    if !folder.is_dir() {
        fs::create_dir_all(folder)?;
        folder.ancestors().skip(1).take(2).try_for_each(sync_folder)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use swfn_shared::artifacts::{ALL, Artifact, CONFUSION, MAX_PART_BYTES, WEIGHTS};

    use super::*;

    fn lease(attempt: u32) -> LeaseId {
        LeaseId { trial: "0123456789abcdef0123456789abcdef".parse().unwrap(), attempt }
    }

    fn parts(name: &'static str, bytes: usize, seed: u8) -> Vec<ArtifactPart> {
        let content = (0..bytes).map(|i| (i % 251) as u8 ^ seed).collect();
        Artifact { name, content }.parts().collect()
    }

    fn content(parts: &[ArtifactPart]) -> Vec<u8> {
        parts.iter().flat_map(|part| part.content.clone()).collect()
    }

    #[test]
    fn a_file_appears_only_when_it_is_whole() {
        let dir = tempfile::tempdir().unwrap();
        let folder = ArtifactFolder::open(dir.path().join("artifacts"), ALL).unwrap();
        let file = |name| {
            fs::read(dir.path().join("artifacts").join(lease(1).trial.to_string()).join(name)).ok()
        };
        let sent = parts(WEIGHTS, 2 * MAX_PART_BYTES + 5, 0);
        assert_eq!(sent.len(), 3);
        let write = |attempt, parts: &[ArtifactPart]| {
            folder
                .write(&parts.iter().map(|part| (lease(attempt), part.clone())).collect::<Vec<_>>())
                .unwrap();
        };
        write(1, &sent[..2]);
        assert_eq!(file(WEIGHTS), None);
        // Acknowledgements got lost: everything, then the end alone, comes again. A confusion
        // matrix between them.
        let other = parts(CONFUSION, 7, 0);
        write(1, &[&sent[..1], &other, &sent[1..]].concat());
        write(1, &sent[2..]);
        assert_eq!((file(WEIGHTS), file(CONFUSION)), (Some(content(&sent)), Some(content(&other))));
        // A later attempt replaces the file as a whole.
        let later = parts(WEIGHTS, MAX_PART_BYTES + 1, 3);
        write(2, &later[..1]);
        assert_eq!(file(WEIGHTS), Some(content(&sent)));
        write(2, &later[1..]);
        assert_eq!(file(WEIGHTS), Some(content(&later)));
        assert_eq!(
            fs::read_dir(dir.path().join("artifacts").join(lease(1).trial.to_string()))
                .unwrap()
                .count(),
            2
        );
    }

    #[test]
    fn a_beginning_that_comes_again_takes_nothing_back() {
        let dir = tempfile::tempdir().unwrap();
        let folder = ArtifactFolder::open(dir.path().join("artifacts"), ALL).unwrap();
        let of_trial = dir.path().join("artifacts").join(lease(1).trial.to_string());
        let write = |parts: &[ArtifactPart]| {
            folder
                .write(&parts.iter().map(|part| (lease(1), part.clone())).collect::<Vec<_>>())
                .unwrap();
        };
        let sent = parts(WEIGHTS, 2 * MAX_PART_BYTES + 5, 0);
        // Another file under the same name is no part of it.
        for other in [parts(WEIGHTS, 4 * MAX_PART_BYTES, 0), parts(WEIGHTS, 2 * MAX_PART_BYTES, 7)]
        {
            write(&other[..other.len() - 1]);
            write(&sent[..1]);
            write(&sent[2..]);
            assert!(!of_trial.join(WEIGHTS).exists(), "its second part has not come");
        }
        for together in [false, true] {
            write(&sent[..2]);
            match together {
                true => write(&[&sent[..1], &sent[2..]].concat()),
                false => {
                    write(&sent[..1]);
                    write(&sent[2..]);
                }
            }
            assert_eq!(
                fs::read(of_trial.join(WEIGHTS)).unwrap(),
                content(&sent),
                "together: {together}"
            );
            fs::remove_file(of_trial.join(WEIGHTS)).unwrap();
        }
        write(&sent);
        write(&sent[..1]);
        folder.remove_unfinished(lease(1).trial);
        assert_eq!(
            fs::read_dir(&of_trial).unwrap().count(),
            1,
            "nothing stays of it beside the file"
        );
        folder.remove_unfinished("ffffffffffffffffffffffffffffffff".parse().unwrap());
    }

    #[test]
    fn a_file_without_its_beginning_is_left_out() {
        let dir = tempfile::tempdir().unwrap();
        let folder = ArtifactFolder::open(dir.path().join("artifacts"), ALL).unwrap();
        let sent = parts(WEIGHTS, 2 * MAX_PART_BYTES, 0);
        folder.write(&[(lease(1), sent[1].clone())]).unwrap();
        assert_eq!(fs::read_dir(dir.path().join("artifacts")).unwrap().count(), 0);
        // Nor one with a hole.
        let sent = parts(WEIGHTS, 3 * MAX_PART_BYTES, 0);
        folder.write(&[(lease(1), sent[0].clone()), (lease(1), sent[2].clone())]).unwrap();
        let of_trial = dir.path().join("artifacts").join(lease(1).trial.to_string());
        assert!(!of_trial.join(WEIGHTS).exists());
        // Until all of it comes, when nothing else of it stays.
        folder
            .write(&sent.iter().map(|part| (lease(2), part.clone())).collect::<Vec<_>>())
            .unwrap();
        assert_eq!(fs::read_dir(of_trial).unwrap().count(), 1);
    }

    #[test]
    fn a_folder_that_cannot_be_made_is_named() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("artifacts"), "in the way").unwrap();
        let path = dir.path().join("artifacts");
        let error = ArtifactFolder::open(path.clone(), ALL).unwrap_err().to_string();
        assert!(
            error.contains(&format!("cannot write `{}`", path.display()))
                && error.contains("hint: "),
            "{error}"
        );
        // Nothing is wanted, nothing is in the way.
        ArtifactFolder::open(path, Artifacts::default()).unwrap();
    }
}
