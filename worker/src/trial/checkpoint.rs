//! Checkpoints in a folder: a file for each trial in training. The trial resumes from it after its
//! worker was killed or returned it, on any device of the same kind that sees the folder.
//!
//! Two workers may train one trial for a while, one of them with an expired lease. Either's
//! checkpoint is a point on the same way.

use std::{fs, io, path::Path, time::Duration};

use swfn_shared::{faults, ids::TrialId};
use tch::Device;
use tracing::debug;

use super::{
    folder::{self, Description, Folder, Numbers, Owner},
    state::State,
};
use crate::store_file::{self, FileError};

/// Seconds between two checkpoints of a trial by default.
pub const DEFAULT_SECONDS: u64 = 30;

/// The largest file that is read or written, in bytes. Those of the published models have some
/// megabytes.
const MOST: u64 = 256 << 20;

/// Age at which checkpoints are removed: nobody has resumed the trial for so long.
const FORGOTTEN: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// A folder of checkpoints of one kind of device. It leaves other files alone.
#[derive(Debug, Clone)]
pub struct Checkpoints {
    folder: Folder,
    /// Least time between two checkpoints. With zero, each report saves the trial.
    pub(crate) every: Duration,
}

impl Checkpoints {
    /// Opens a folder, which is created if it is missing, and removes forgotten files.
    ///
    /// # Errors
    /// The folder cannot be created.
    pub fn open(folder: &Path, device: Device, every: Duration) -> io::Result<Self> {
        let folder = Folder::open(folder, device, "a checkpoint", ".checkpoint")?;
        for (modified, _, path) in folder.whole_files::<TrialId>() {
            // The age of a file from the future is unknown.
            if modified.elapsed().is_ok_and(|age| age > FORGOTTEN) {
                fs::remove_file(path).ok();
            }
        }
        Ok(Self { folder, every })
    }

    /// The state of a trial, if it has a checkpoint. A damaged file is removed.
    pub(crate) fn get(&self, trial: TrialId) -> Option<State> {
        let mut state = self.folder.get(trial, |path| {
            let (file, bytes) = store_file::open(path)?;
            if bytes > MOST {
                return Ok(Err(FileError::TooLarge { bytes, most: MOST }));
            }
            Ok(decode(&store_file::read(&file, MOST)?, trial, self.folder.device))
        })?;
        if faults::bug("trials-go-on-one-step-earlier") {
            state.numbers.entry("step".to_owned()).and_modify(|step| *step -= 1);
        }
        Some(state)
    }

    /// Removes a checkpoint from which the trial cannot be resumed, if there is one.
    pub(crate) fn reject(&self, trial: TrialId, why: &str) {
        if self.folder.path(trial).exists() {
            self.folder.reject(trial, why);
        }
    }

    /// Replaces the trial's checkpoint, unless another worker has got further with it in the
    /// meantime. Logs an error.
    pub(crate) fn put(&self, trial: TrialId, state: &State) {
        if self.progress(trial) >= Some(progress(&state.numbers)) {
            debug!(trial = %trial.short(), "another worker's checkpoint is further");
            return;
        }
        let numbers = Some(state.numbers.clone());
        let (owner, device) = (Owner::Trial(trial), self.folder.device);
        self.folder.put(trial, folder::encode(owner, device, &state.tensors, numbers), MOST);
    }

    /// Removes the trial's checkpoint, if it has one.
    pub fn remove(&self, trial: TrialId) {
        self.folder.remove(trial);
    }

    /// The progress of the trial's checkpoint, by its header.
    fn progress(&self, trial: TrialId) -> Option<(u64, u64)> {
        let (file, _) = store_file::open(&self.folder.path(trial)).ok()?;
        let description: Description = store_file::description_alone(&file)?;
        description.numbers.as_ref().map(progress)
    }
}

fn decode(content: &[u8], trial: TrialId, device: Device) -> Result<State, FileError> {
    let (tensors, numbers) = folder::decode(content, Owner::Trial(trial), device)?;
    Ok(State { numbers, tensors })
}

/// Phase and step of these numbers.
fn progress(numbers: &Numbers) -> (u64, u64) {
    let number = |name| numbers.get(name).copied().unwrap_or_default();
    (number("phase"), number("step"))
}

#[cfg(any(test, fuzzing))]
#[path = "checkpoint_fuzzing.rs"]
pub(crate) mod fuzzing;
#[cfg(test)]
#[path = "checkpoint_tests.rs"]
mod tests;
