//! Folders of files with tensors: a file for each id and kind of device. A file says whose it is,
//! and is checked before it is used. No lock is needed.
//!
//! Errors of the disk are no errors of a trial: they cost time alone.

use std::{
    collections::BTreeMap,
    fmt::Display,
    fs, io,
    path::{Path, PathBuf},
    str::FromStr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::SystemTime,
};

use serde::{Deserialize, Serialize};
use swfn_shared::ids::{TRAINER_REVISION, TrialId, VaeId};
use tch::Device;
use tracing::{debug, warn};

use crate::{
    device,
    libtorch::TORCH_VERSION,
    store_file::{self, ABANDONED, Contents, FileError, PART},
};

/// The owner of a file.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Owner {
    Vae(VaeId),
    Trial(TrialId),
}

/// The numbers in a file.
pub(crate) type Numbers = BTreeMap<String, u64>;

/// A file's description of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Description {
    /// It grows whenever the format of files changes. Older files are not read then.
    format: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    vae: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    trial: Option<String>,
    /// "cpu" or "cuda".
    device: String,
    trainer_revision: u32,
    libtorch: String,
    /// The checksum of all tensors and of the numbers.
    sha256: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) numbers: Option<Numbers>,
}

impl Description {
    fn new(owner: Owner, device: Device, contents: &Contents, numbers: Option<Numbers>) -> Self {
        let (format, vae, trial) = match owner {
            Owner::Vae(id) => (3, Some(id.to_string()), None),
            Owner::Trial(id) => (2, None, Some(id.to_string())),
        };
        let of_numbers =
            numbers.as_ref().map_or_else(String::new, |numbers| format!("{numbers:?}"));
        Self {
            format,
            vae,
            trial,
            device: device::kind(device).to_owned(),
            trainer_revision: TRAINER_REVISION,
            libtorch: TORCH_VERSION.to_owned(),
            sha256: store_file::checksum(contents, of_numbers.as_bytes()),
            numbers,
        }
    }

    fn to_json(&self) -> String {
        serde_json::to_string(self).expect("texts and integers always serialise")
    }

    /// The part that must be equal before anything else is read.
    fn identity(&self) -> String {
        Self { sha256: String::new(), numbers: None, ..self.clone() }.to_json()
    }
}

/// The file of these tensors and numbers: always the same bytes for the same contents.
///
/// # Errors
/// [`FileError::Damaged`] for more than 100 MB of names and shapes.
pub(crate) fn encode(
    owner: Owner,
    device: Device,
    contents: &Contents,
    numbers: Option<Numbers>,
) -> Result<Vec<u8>, FileError> {
    store_file::encode(contents, Description::new(owner, device, contents, numbers).to_json())
}

/// Tensors and numbers of an owner's file.
///
/// # Errors
/// The file is damaged, of another owner, or has floats that are not finite.
pub(crate) fn decode(
    file: &[u8],
    owner: Owner,
    device: Device,
) -> Result<(Contents, Numbers), FileError> {
    let description: Description = store_file::description(file)?;
    let found = description.identity();
    let expected = Description::new(owner, device, &Contents::new(), None).identity();
    if found != expected {
        return Err(FileError::Other { found, expected });
    }
    let (contents, numbers) = (store_file::decode(file)?, description.numbers);
    let found = Description::new(owner, device, &contents, numbers.clone()).sha256;
    if found != description.sha256 {
        return Err(FileError::Checksum { found, expected: description.sha256 });
    }
    store_file::check_finite(&contents)?;
    Ok((contents, numbers.unwrap_or_default()))
}

/// A folder of files for one kind of device. It leaves other files alone.
#[derive(Debug, Clone)]
pub(crate) struct Folder {
    path: PathBuf,
    pub(crate) device: Device,
    /// The name of a file in the log.
    what: &'static str,
    /// The end of the names of whole files, after "cpu" or "cuda".
    ending: &'static str,
    /// Whether a warning said that files cannot be written. A full disk would warn for each file.
    warned: Arc<AtomicBool>,
}

impl Folder {
    /// Opens a folder, and creates it if it is missing.
    ///
    /// # Errors
    /// The folder cannot be created.
    pub(crate) fn open(
        path: &Path,
        device: Device,
        what: &'static str,
        ending: &'static str,
    ) -> io::Result<Self> {
        fs::create_dir_all(path)?;
        Ok(Self { path: path.to_owned(), device, what, ending, warned: Arc::default() })
    }

    /// The path of an id's file.
    pub(crate) fn path(&self, id: impl Display) -> PathBuf {
        self.path.join(format!("{id}.{}{}", device::kind(self.device), self.ending))
    }

    /// The result of `read` on the file of an id, if there is one. A file with an error is removed.
    pub(crate) fn get<T>(
        &self,
        id: impl Display,
        read: impl FnOnce(&Path) -> io::Result<Result<T, FileError>>,
    ) -> Option<T> {
        let path = self.path(&id);
        match read(&path) {
            Ok(Ok(content)) => return Some(content),
            Ok(Err(error)) => self.reject(id, &error.to_string()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => warn!(file = %path.display(), "{} cannot be read: {error}", self.what),
        }
        None
    }

    /// Writes an id's file of at most `most` bytes. An error is logged, the first one as a warning.
    /// Returns whether it succeeded.
    pub(crate) fn put(
        &self,
        id: impl Display,
        content: Result<Vec<u8>, FileError>,
        most: u64,
    ) -> bool {
        let path = self.path(&id);
        let write = |content: Vec<u8>| match content.len() {
            bytes if bytes as u64 > most => {
                Err(io::Error::other(format!("a file of `{bytes}` bytes is too large")))
            }
            _ => store_file::write(&self.path, &id.to_string(), &path, &content),
        };
        match content.map_err(io::Error::other).and_then(write) {
            Ok(()) => debug!(file = %path.display(), "wrote {}", self.what),
            Err(error) if self.warned.swap(true, Ordering::Relaxed) => {
                debug!(file = %path.display(), "{} cannot be written: {error}", self.what);
                return false;
            }
            Err(error) => {
                warn!(folder = %self.path.display(), "{} cannot be written: {error}", self.what);
                return false;
            }
        }
        true
    }

    /// Removes a file that cannot be used.
    pub(crate) fn reject(&self, id: impl Display, why: &str) {
        let path = self.path(&id);
        warn!(file = %path.display(), "removed {} that cannot be used: {why}", self.what);
        self.remove(id);
    }

    /// Removes an id's file, if there is one.
    pub(crate) fn remove(&self, id: impl Display) {
        fs::remove_file(self.path(id)).ok();
    }

    /// Removes files that dead writers left behind. Returns all whole files, of any kind of device:
    /// their times of modification, sizes and paths, the oldest first.
    pub(crate) fn whole_files<Id: FromStr>(&self) -> Vec<(SystemTime, u64, PathBuf)> {
        let mut whole = Vec::new();
        for entry in fs::read_dir(&self.path).into_iter().flatten().flatten() {
            let (name, path) = (entry.file_name(), entry.path());
            let Some((id, rest)) = name.to_str().and_then(|name| name.split_once('.')) else {
                continue;
            };
            let Ok(metadata) = entry.metadata() else { continue };
            let Ok(modified) = metadata.modified() else { continue };
            if id.parse::<Id>().is_err() || !metadata.is_file() {
                continue;
            }
            if matches!(rest.strip_suffix(self.ending), Some("cpu" | "cuda")) {
                whole.push((modified, metadata.len(), path));
            } else if rest.ends_with(PART) && modified.elapsed().is_ok_and(|age| age > ABANDONED) {
                fs::remove_file(path).ok();
            }
        }
        whole.sort();
        whole
    }

    /// Whether a warning said that files cannot be written.
    #[cfg(test)]
    pub(crate) fn has_warned(&self) -> bool {
        self.warned.load(Ordering::Relaxed)
    }
}
