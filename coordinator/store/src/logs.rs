//! Logs of trials: `logs/TRIAL/ATTEMPT.log`, one file for each attempt.

use std::{
    collections::BTreeSet,
    fs,
    io::{self, Seek as _, SeekFrom, Write as _},
    path::{Path, PathBuf},
};

use swfn_shared::{files, ids::LeaseId, trial_log::LogPart};
use tracing::warn;

use super::error::{StoreError, is_full};

#[derive(Debug)]
pub struct LogFolder {
    path: PathBuf,
    /// Whether a warning about unwritable logs was printed.
    warned: bool,
}

/// Where the log of an attempt lies in the folder of logs.
pub fn log_file(logs: &Path, trial: &str, attempt: u32) -> PathBuf {
    logs.join(trial).join(format!("{attempt}.log"))
}

impl LogFolder {
    pub fn new(path: PathBuf) -> Self {
        Self { path, warned: false }
    }

    /// Adds lines of attempts. Parts that come again change nothing.
    ///
    /// Unlike results, lines are not synced: a power cut may cost a log its end. A full disk is an
    /// error, since the coordinator pauses for it. Any other obstacle costs the log alone.
    pub fn write(&mut self, parts: &[(LeaseId, LogPart)]) -> Result<(), StoreError> {
        let mut broken = BTreeSet::new();
        for (lease, part) in parts {
            let path = log_file(&self.path, &lease.trial.to_string(), lease.attempt);
            match put(&path, part) {
                Ok(()) => {}
                Err(error) if is_full(&error) => {
                    let hint = "check disk space, then run the same command again";
                    return Err(StoreError::unwritable(&path, &error, hint));
                }
                Err(error) => {
                    if !self.warned && broken.insert(path.clone()) {
                        warn!(file = %path.display(), "logs of trials are not kept: {error}");
                    }
                }
            }
        }
        self.warned |= !broken.is_empty();
        Ok(())
    }
}

/// Writes a part at its place, or at the end if somebody has removed the lines before it.
fn put(path: &Path, part: &LogPart) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    let mut file = files::options().create(true).truncate(false).write(true).open(path)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(part.offset.min(length)))?;
    file.write_all(part.text.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repeated_parts_do_not_change_a_log() {
        let dir = tempfile::tempdir().unwrap();
        let lease = |attempt| LeaseId {
            trial: "0123456789abcdef0123456789abcdef".parse().unwrap(),
            attempt,
        };
        let part = |offset, text: &str| LogPart { offset, text: text.to_owned() };
        let mut folder = LogFolder::new(dir.path().to_owned());
        let parts = [
            (lease(1), part(0, "one\n")),
            (lease(2), part(0, "other\n")),
            (lease(1), part(4, "two\n")),
        ];
        folder.write(&parts).unwrap();
        folder.write(&parts[..1]).unwrap();
        folder.write(&[(lease(1), part(8, "three\n"))]).unwrap();
        let read = |attempt| {
            fs::read_to_string(log_file(dir.path(), &lease(1).trial.to_string(), attempt)).unwrap()
        };
        assert_eq!((read(1).as_str(), read(2).as_str()), ("one\ntwo\nthree\n", "other\n"));
        // Removed in between: what comes later is kept all the same, and no hole before it.
        fs::remove_file(log_file(dir.path(), &lease(1).trial.to_string(), 1)).unwrap();
        folder.write(&[(lease(1), part(14, "four\n"))]).unwrap();
        assert_eq!(read(1), "four\n");
        // No log is worth a sweep.
        fs::remove_dir_all(dir.path().join(lease(1).trial.to_string())).unwrap();
        fs::write(dir.path().join(lease(1).trial.to_string()), "in the way").unwrap();
        folder.write(&[(lease(1), part(0, "five\n"))]).unwrap();
        assert!(folder.warned);
    }
}
