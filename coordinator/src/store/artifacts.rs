//! The folder of files that trials leave behind: `artifacts/TRIAL/NAME`. A file has its name when it is whole and on the
//! disk, not before.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{self, ErrorKind, Seek as _, SeekFrom, Write as _},
    path::{Path, PathBuf},
};

use swfn_shared::{artifacts::ArtifactPart, ids::LeaseId};
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

/// The folder; it is made with its first file.
#[derive(Debug)]
pub(crate) struct ArtifactFolder(PathBuf);

impl ArtifactFolder {
    pub(crate) fn new(path: PathBuf) -> Self {
        Self(path)
    }

    /// Writes parts of files of live leases and returns when they are on the disk. A worker sends again what was not
    /// acknowledged: writing a part, or all parts, twice changes nothing.
    pub(crate) fn write(&self, parts: Vec<(LeaseId, ArtifactPart)>) -> Result<(), ArtifactError> {
        let mut open = BTreeMap::new();
        for (lease, part) in parts {
            let whole = self.0.join(lease.trial.to_string()).join(part.name);
            let partial = whole.with_file_name(format!(".{}.{}", part.name, lease.attempt));
            let failed = |error| ArtifactError { path: whole.clone(), error };
            let file = match open.remove(&partial) {
                Some(file) => Some(file),
                None => start(&partial, &whole, &part).map_err(failed)?,
            };
            let Some(mut file) = file else { continue };
            let mut put = || {
                file.seek(SeekFrom::Start(part.offset))?;
                file.write_all(&part.content)
            };
            put().map_err(failed)?;
            if part.is_last() {
                finish(&file, &partial, &whole).map_err(failed)?;
            } else {
                open.insert(partial, file);
            }
        }
        for (path, file) in open {
            file.sync_data().map_err(|error| ArtifactError { path, error })?;
        }
        Ok(())
    }
}

/// The file that a part goes into; none if it need not be written.
fn start(partial: &Path, whole: &Path, part: &ArtifactPart) -> io::Result<Option<File>> {
    if part.offset == 0 {
        if let Some(folder) = partial.parent() {
            fs::create_dir_all(folder)?;
        }
        return File::create(partial).map(Some);
    }
    match File::options().write(true).open(partial) {
        Ok(file) if file.metadata()?.len() >= part.offset => Ok(Some(file)),
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        Ok(_) | Err(_) => {
            // After a lost acknowledgement the end comes again of a file that is whole. Otherwise somebody removed its
            // beginning, and will not get it back.
            if !whole.is_file() {
                warn!(file = %whole.display(), "its first {} bytes are gone: it is left out", part.offset);
            }
            Ok(None)
        }
    }
}

fn finish(file: &File, partial: &Path, whole: &Path) -> io::Result<()> {
    file.sync_all()?;
    fs::rename(partial, whole)?;
    whole.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
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
        let folder = ArtifactFolder::new(dir.path().join("artifacts"));
        let file = |name| fs::read(dir.path().join("artifacts").join(lease(1).trial.to_string()).join(name)).ok();
        let sent = parts(WEIGHTS, 2 * MAX_PART_BYTES + 5, 0);
        assert_eq!(sent.len(), 3);
        let write = |attempt, parts: &[ArtifactPart]| {
            folder.write(parts.iter().map(|part| (lease(attempt), part.clone())).collect()).unwrap();
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
        let folder = ArtifactFolder::new(dir.path().join("artifacts"));
        let sent = parts(WEIGHTS, 2 * MAX_PART_BYTES, 0);
        folder.write(vec![(lease(1), sent[1].clone())]).unwrap();
        assert!(!dir.path().join("artifacts").exists());
    }

    #[test]
    fn a_folder_that_cannot_be_made_is_named() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("artifacts"), "in the way").unwrap();
        let folder = ArtifactFolder::new(dir.path().join("artifacts"));
        let error = folder.write(vec![(lease(1), parts(CONFUSION, 7, 0).remove(0))]).unwrap_err().to_string();
        assert!(error.contains("artifacts/0123456789abcdef0123456789abcdef/confusion.csv`"), "{error}");
    }
}
