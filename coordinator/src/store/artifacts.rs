//! The folder of files that trials leave behind: `artifacts/TRIAL/NAME`. A file has its name when it is whole and on the
//! disk, not before.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{self, ErrorKind, Seek as _, SeekFrom, Write as _},
    path::{Path, PathBuf},
};

use swfn_shared::{
    artifacts::{ArtifactPart, Artifacts},
    faults,
    ids::LeaseId,
};
use tracing::warn;

/// A file that cannot be written.
#[derive(Debug, thiserror::Error)]
#[error(
    "cannot write `{path}`: {error}\nhint: check disk space and permissions, then run the same command again; or take \
     [artifacts] off the grid file",
    path = path.display()
)]
pub(crate) struct ArtifactError {
    path: PathBuf,
    error: io::Error,
}

impl ArtifactError {
    /// Whether writing again may succeed.
    pub(crate) fn may_pass(&self) -> bool {
        matches!(self.error.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded)
    }
}

/// The folder.
#[derive(Debug)]
pub(crate) struct ArtifactFolder(PathBuf);

/// A file that is not whole yet.
struct Partial {
    file: File,
    /// Bytes that it has.
    bytes: u64,
}

impl ArtifactFolder {
    /// Makes the folder and tries it out, if any files are wanted: not when the first trial ends.
    pub(crate) fn open(path: PathBuf, wanted: Artifacts) -> Result<Self, ArtifactError> {
        if wanted != Artifacts::default() {
            let probe = path.join(".probe");
            let try_out = || {
                make(&path)?;
                File::create(&probe)?;
                fs::remove_file(&probe)
            };
            try_out().map_err(|error| ArtifactError { path: path.clone(), error })?;
        }
        Ok(Self(path))
    }

    /// Writes parts of files of live leases and returns when they are on the disk. A worker sends again what was not
    /// acknowledged: writing a part, or all parts, twice changes nothing.
    pub(crate) fn write(&self, parts: &[(LeaseId, ArtifactPart)]) -> Result<(), ArtifactError> {
        let mut open = BTreeMap::new();
        for (lease, part) in parts {
            let whole = self.0.join(lease.trial.to_string()).join(part.name);
            let partial = whole.with_file_name(format!(".{}.{}", part.name, lease.attempt));
            let failed = |error| ArtifactError { path: whole.clone(), error };
            let started = match open.remove(&partial) {
                Some(started) if part.offset > 0 => Some(started),
                _ => start(&partial, part.offset).map_err(failed)?,
            };
            let Some(mut started) = started.filter(|started| started.bytes >= part.offset) else {
                // After a lost acknowledgement the end comes again of a file that is whole. Otherwise somebody removed what
                // was before, or never sent it.
                if !whole.is_file() {
                    warn!(file = %whole.display(), "a part before byte {} is missing: it is left out", part.offset);
                }
                continue;
            };
            started.put(part).map_err(failed)?;
            faults::point("artifact/part");
            if part.is_last() {
                finish(&started.file, &partial, &whole, part.name).map_err(failed)?;
            } else {
                open.insert(partial, started);
            }
        }
        for (path, partial) in open {
            partial.file.sync_all().map_err(|error| ArtifactError { path, error })?;
        }
        Ok(())
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

/// The file that a part at that place goes into; none if there is none and the part is not its beginning.
fn start(partial: &Path, offset: u64) -> io::Result<Option<Partial>> {
    if offset == 0 {
        let folder = partial.parent().unwrap_or(partial);
        make(folder)?;
        let file = File::create(partial)?;
        sync(folder)?;
        return Ok(Some(Partial { file, bytes: 0 }));
    }
    match File::options().write(true).open(partial) {
        Ok(file) => Ok(Some(Partial { bytes: file.metadata()?.len(), file })),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Gives a file its name, and removes what other attempts left of theirs.
fn finish(file: &File, partial: &Path, whole: &Path, name: &str) -> io::Result<()> {
    faults::point("artifact/whole");
    file.sync_all()?;
    faults::point("artifact/synced");
    fs::rename(partial, whole)?;
    faults::point("artifact/named");
    let folder = whole.parent().unwrap_or(whole);
    for entry in fs::read_dir(folder)?.flatten() {
        if entry.file_name().to_string_lossy().starts_with(&format!(".{name}.")) {
            fs::remove_file(entry.path())?;
        }
    }
    sync(folder)
}

/// Makes a folder; its name is on the disk after that.
fn make(folder: &Path) -> io::Result<()> {
    if !folder.is_dir() {
        fs::create_dir_all(folder)?;
        folder.ancestors().skip(1).take(2).try_for_each(sync)?;
    }
    Ok(())
}

fn sync(folder: &Path) -> io::Result<()> {
    // The parent of `a` is the empty path, which nobody can open.
    let here = folder.as_os_str().is_empty();
    File::open(if here { Path::new(".") } else { folder })?.sync_all()
}

#[cfg(test)]
mod tests {
    use swfn_shared::artifacts::{Artifact, CONFUSION, MAX_PART_BYTES, WEIGHTS};

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
    fn a_file_is_there_when_it_is_whole_and_stays_as_it_is_when_parts_come_again() {
        let dir = tempfile::tempdir().unwrap();
        let folder = ArtifactFolder::open(dir.path().join("artifacts"), Artifacts::ALL).unwrap();
        let file = |name| fs::read(dir.path().join("artifacts").join(lease(1).trial.to_string()).join(name)).ok();
        let sent = parts(WEIGHTS, 2 * MAX_PART_BYTES + 5, 0);
        assert_eq!(sent.len(), 3);
        let write = |attempt, parts: &[ArtifactPart]| {
            folder.write(&parts.iter().map(|part| (lease(attempt), part.clone())).collect::<Vec<_>>()).unwrap();
        };
        write(1, &sent[..2]);
        assert_eq!(file(WEIGHTS), None);
        // Acknowledgements got lost: everything, then the end alone, comes again. A confusion matrix between them.
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
        assert_eq!(fs::read_dir(dir.path().join("artifacts").join(lease(1).trial.to_string())).unwrap().count(), 2);
    }

    #[test]
    fn a_file_without_its_beginning_is_left_out() {
        let dir = tempfile::tempdir().unwrap();
        let folder = ArtifactFolder::open(dir.path().join("artifacts"), Artifacts::ALL).unwrap();
        let sent = parts(WEIGHTS, 2 * MAX_PART_BYTES, 0);
        folder.write(&[(lease(1), sent[1].clone())]).unwrap();
        assert_eq!(fs::read_dir(dir.path().join("artifacts")).unwrap().count(), 0);
        // Nor one with a hole.
        let sent = parts(WEIGHTS, 3 * MAX_PART_BYTES, 0);
        folder.write(&[(lease(1), sent[0].clone()), (lease(1), sent[2].clone())]).unwrap();
        let of_trial = dir.path().join("artifacts").join(lease(1).trial.to_string());
        assert!(!of_trial.join(WEIGHTS).exists());
        // Until all of it comes, when nothing else of it stays.
        folder.write(&sent.iter().map(|part| (lease(2), part.clone())).collect::<Vec<_>>()).unwrap();
        assert_eq!(fs::read_dir(of_trial).unwrap().count(), 1);
    }

    #[test]
    fn a_folder_that_cannot_be_made_is_named() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("artifacts"), "in the way").unwrap();
        let path = dir.path().join("artifacts");
        let error = ArtifactFolder::open(path.clone(), Artifacts::ALL).unwrap_err().to_string();
        assert!(error.contains(&format!("cannot write `{}`", path.display())) && error.contains("hint: "), "{error}");
        // Nothing is wanted, nothing is in the way.
        ArtifactFolder::open(path, Artifacts::default()).unwrap();
    }
}
