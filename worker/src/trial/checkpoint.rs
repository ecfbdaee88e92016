//! Checkpoints in a folder: one file for each trial that is being trained, from which it goes on after its worker was
//! killed or gave it back, on any device of the same kind that sees the folder.
//!
//! Nothing is locked. Two workers may train one trial for a while, one of them with a lease that has run out; either's
//! checkpoint is a point on the same way. No error of the disk is an error of a trial: it costs time alone.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, SystemTime},
};

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use swfn_shared::{
    faults,
    ids::{TRAINER_REVISION, TrialId},
};
use tch::Device;
use tracing::{debug, warn};

use super::state::State;
use crate::{
    device,
    libtorch::TORCH_VERSION,
    store_file::{self, ABANDONED, FileError, PART},
};

/// Seconds between two checkpoints of a trial unless said otherwise.
pub const DEFAULT_SECONDS: u64 = 30;

/// Raised whenever files are written otherwise: older ones are then not read.
const FORMAT: u32 = 2;

/// How the names of whole files end; before it stands "cpu." or "cuda.".
const WHOLE: &str = ".checkpoint";

/// The largest file that is read or written, in bytes. Those of the published models have some megabytes.
const MOST: u64 = 256 << 20;

/// Nobody has gone on with a trial for so long: nobody will.
const FORGOTTEN: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// What a file says of itself.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Description {
    format: u32,
    trial: String,
    /// "cpu" or "cuda".
    device: String,
    trainer_revision: u32,
    libtorch: String,
    /// Of all tensors and of the numbers.
    sha256: String,
    numbers: BTreeMap<String, u64>,
}

impl Description {
    fn to_json(&self) -> String {
        serde_json::to_string(self).expect("a struct of texts and integers always serialises")
    }

    /// All that must be equal before anything else is looked at.
    fn identity(&self) -> String {
        Self { sha256: String::new(), numbers: BTreeMap::new(), ..self.clone() }.to_json()
    }
}

/// A folder of checkpoints of one kind of device. Other files in it are left alone.
#[derive(Debug, Clone)]
pub struct Checkpoints {
    folder: PathBuf,
    device: Device,
    /// Time between two checkpoints, at least; zero: at each report.
    pub(crate) every: Duration,
    /// Whether somebody was told that files cannot be written.
    told: Arc<AtomicBool>,
}

impl Checkpoints {
    /// The checkpoints in that folder, which is made if it is missing. Removes what is left over from long ago.
    ///
    /// # Errors
    /// The folder is not there and cannot be made.
    pub fn open(folder: &Path, device: Device, every: Duration) -> io::Result<Self> {
        fs::create_dir_all(folder)?;
        let checkpoints = Self { folder: folder.to_owned(), device, every, told: Arc::default() };
        checkpoints.tidy();
        Ok(checkpoints)
    }

    /// Where that trial stood. A file that is not what it should be is removed.
    pub(crate) fn get(&self, trial: TrialId) -> Option<State> {
        let path = self.path(trial);
        match self.read(trial, &path) {
            Ok(Ok(mut state)) => {
                if faults::bug("trials-go-on-one-step-earlier") {
                    state.numbers.entry("step".to_owned()).and_modify(|step| *step -= 1);
                }
                Some(state)
            }
            Ok(Err(error)) => {
                self.reject(trial, &error.to_string());
                None
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => {
                warn!(file = %path.display(), "a checkpoint cannot be read: {error}");
                None
            }
        }
    }

    /// Removes a checkpoint that cannot be gone on from.
    pub(crate) fn reject(&self, trial: TrialId, why: &str) {
        warn!(file = %self.path(trial).display(), "a checkpoint is not used and removed: {why}");
        self.remove(trial);
    }

    /// [`Self::reject`], if there is one.
    pub(crate) fn reject_if_there(&self, trial: TrialId, why: &str) {
        if self.path(trial).exists() {
            self.reject(trial, why);
        }
    }

    /// Takes the place of the trial's last checkpoint, unless another worker, to which the trial went in the meantime, has
    /// got further. Tells in the log if it cannot be written.
    pub(crate) fn put(&self, trial: TrialId, state: &State) {
        if self.progress(trial) >= Some(progress(&state.numbers)) {
            debug!(trial = %trial.short(), "another worker's checkpoint is further");
            return;
        }
        match self.write(trial, state) {
            Ok(()) => debug!(trial = %trial.short(), "checkpoint"),
            Err(error) if self.told.swap(true, Ordering::Relaxed) => {
                debug!(trial = %trial.short(), "no checkpoint: {error}");
            }
            Err(error) => {
                warn!(folder = %self.folder.display(), "checkpoints cannot be written: {error}");
            }
        }
    }

    /// Removes the trial's checkpoint, if it has one.
    pub fn remove(&self, trial: TrialId) {
        fs::remove_file(self.path(trial)).ok();
    }

    /// How far the trial's checkpoint is, as far as its beginning tells.
    fn progress(&self, trial: TrialId) -> Option<(u64, u64)> {
        let (file, _) = store_file::open(&self.path(trial)).ok()?;
        store_file::description_alone::<Description>(&file).map(|found| progress(&found.numbers))
    }

    fn path(&self, trial: TrialId) -> PathBuf {
        self.folder.join(format!("{trial}.{}{WHOLE}", device::kind(self.device)))
    }

    fn read(&self, trial: TrialId, path: &Path) -> io::Result<Result<State, FileError>> {
        let (file, bytes) = store_file::open(path)?;
        if bytes > MOST {
            return Ok(Err(FileError::TooLarge { bytes, most: MOST }));
        }
        Ok(self.decode(trial, &store_file::read(&file, MOST)?))
    }

    fn decode(&self, trial: TrialId, content: &[u8]) -> Result<State, FileError> {
        let found: Description = store_file::description(content)?;
        let (identity, expected) =
            (found.identity(), self.description(trial, &State::default()).identity());
        if identity != expected {
            return Err(FileError::Other { found: identity, expected });
        }
        let state = State { numbers: found.numbers.clone(), tensors: store_file::decode(content)? };
        let sum = self.description(trial, &state).sha256;
        if sum != found.sha256 {
            return Err(FileError::Checksum { found: sum, expected: found.sha256 });
        }
        store_file::check_finite(&state.tensors)?;
        Ok(state)
    }

    fn write(&self, trial: TrialId, state: &State) -> io::Result<()> {
        let description = self.description(trial, state).to_json();
        let content = store_file::encode(&state.tensors, description).map_err(io::Error::other)?;
        if content.len() as u64 > MOST {
            return Err(io::Error::other(format!(
                "a file of `{}` bytes is too large",
                content.len()
            )));
        }
        store_file::write(&self.folder, &trial.to_string(), &self.path(trial), &content)
    }

    fn description(&self, trial: TrialId, state: &State) -> Description {
        let numbers = format!("{:?}", state.numbers);
        Description {
            format: FORMAT,
            trial: trial.to_string(),
            device: device::kind(self.device).to_owned(),
            trainer_revision: TRAINER_REVISION,
            libtorch: TORCH_VERSION.to_owned(),
            sha256: store_file::checksum_with(&state.tensors, numbers.as_bytes()),
            numbers: state.numbers.clone(),
        }
    }

    /// Removes what dead writers left behind and what nobody came back for.
    fn tidy(&self) {
        let Ok(entries) = fs::read_dir(&self.folder) else { return };
        for entry in entries.flatten() {
            let Some(limit) = entry.file_name().to_str().and_then(oldest) else { continue };
            let written = entry
                .metadata()
                .ok()
                .filter(fs::Metadata::is_file)
                .and_then(|file| file.modified().ok());
            // A time in the future is no age.
            if written.is_some_and(|time| {
                SystemTime::now().duration_since(time).is_ok_and(|age| age > limit)
            }) {
                fs::remove_file(entry.path()).ok();
            }
        }
    }
}

/// Phase and step of these numbers.
fn progress(numbers: &BTreeMap<String, u64>) -> (u64, u64) {
    let number = |name| numbers.get(name).copied().unwrap_or_default();
    (number("phase"), number("step"))
}

/// How old a file of that name may grow; none for one that is not ours to remove.
fn oldest(name: &str) -> Option<Duration> {
    let (trial, rest) = name.split_once('.')?;
    trial.parse::<TrialId>().ok()?;
    match rest.strip_suffix(WHOLE) {
        Some("cpu" | "cuda") => Some(FORGOTTEN),
        _ => rest.ends_with(PART).then_some(ABANDONED),
    }
}

#[cfg(any(test, fuzzing))]
#[path = "checkpoint_fuzzing.rs"]
pub(crate) mod fuzzing;
#[cfg(test)]
#[path = "checkpoint_tests.rs"]
mod tests;
