//! Trained VAEs in a folder, for all trials, processes and later runs that see it: a file for each, named by what
//! determines the VAE, so that a file never goes out of date and equal names mean equal content.
//!
//! Nothing is locked. A file gets its name when it is whole and on the disk; whoever loses a race puts the same bytes in
//! its place. That holds on a shared file system, too. No error of the disk is an error of a trial: a VAE that cannot
//! be read is trained, one that cannot be written is trained again next time.

use std::{
    fs, io,
    path::{Path, PathBuf},
    time::SystemTime,
};

use swfn_shared::ids::VaeId;
use tch::Device;
use tracing::{debug, warn};

use super::{file, trained::TrainedVae};
use crate::{
    device,
    store_file::{self, ABANDONED, FileError, PART},
};

/// What the files may take together, in bytes, unless said otherwise: some thousand VAEs of the published size.
pub const DEFAULT_LIMIT: u64 = 2 << 30;

/// How the names of files end that are whole; before it stands "cpu." or "cuda.".
const WHOLE: &str = ".safetensors";

/// A folder of VAEs that were trained on one kind of device. Other files in it are left alone.
#[derive(Debug)]
pub struct DiskCache {
    folder: PathBuf,
    /// Whose VAEs are read and written. Those of another kind of device differ in their last bits.
    device: Device,
    limit: u64,
    /// Whether somebody was told that files cannot be written. A full disk would be told for each VAE.
    told: bool,
}

impl DiskCache {
    /// The cache in that folder, which is made if it is missing, for VAEs that are trained on that device, with files of
    /// `limit` bytes in all.
    ///
    /// # Errors
    /// The folder is not there and cannot be made.
    pub fn open(folder: &Path, device: Device, limit: u64) -> io::Result<Self> {
        fs::create_dir_all(folder)?;
        let cache = Self { folder: folder.to_owned(), device, limit, told: false };
        cache.tidy();
        Ok(cache)
    }

    /// That VAE, bit for bit as it was trained, if it is there. `blank` makes a VAE of the same settings, on the device of
    /// this cache, which takes up what is in the file. A file that is not what it should be is removed. `iterations`: of its training.
    pub fn get(
        &self,
        id: VaeId,
        iterations: u32,
        blank: impl FnOnce() -> TrainedVae,
    ) -> Option<TrainedVae> {
        let path = self.path(id);
        match self.read(id, iterations, &path, blank) {
            Ok(Ok(vae)) => {
                debug!(vae = %id.short(), "found on disk");
                Some(vae)
            }
            Ok(Err(error)) => {
                warn!(file = %path.display(), "a cached VAE is not used and removed: {error}");
                fs::remove_file(&path).ok();
                None
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => {
                warn!(file = %path.display(), "a cached VAE cannot be read: {error}");
                None
            }
        }
    }

    /// Removes a VAE.
    pub fn remove(&self, id: VaeId) {
        fs::remove_file(self.path(id)).ok();
    }

    /// Keeps a VAE, and removes those that were not used for the longest time if there are too many. Tells in the log
    /// if it cannot be written.
    pub fn put(&mut self, id: VaeId, vae: &TrainedVae) {
        match self.write(id, vae) {
            Ok(()) => self.tidy(),
            Err(error) if self.told => debug!(vae = %id.short(), "not kept on disk: {error}"),
            Err(error) => {
                self.told = true;
                warn!(folder = %self.folder.display(), "VAEs cannot be kept on disk: {error}");
            }
        }
    }

    fn path(&self, id: VaeId) -> PathBuf {
        self.folder.join(format!("{id}.{}{WHOLE}", device::kind(self.device)))
    }

    fn read(
        &self,
        id: VaeId,
        iterations: u32,
        path: &Path,
        blank: impl FnOnce() -> TrainedVae,
    ) -> io::Result<Result<TrainedVae, FileError>> {
        let (file, bytes) = store_file::open(path)?;
        let blank = blank();
        let most = file::most_bytes(&blank);
        if bytes > most {
            return Ok(Err(FileError::TooLarge { bytes, most }));
        }
        let content = store_file::read(&file, most)?;
        // The time of the last use. Fails for another user's files and where nothing can be written.
        file.set_modified(SystemTime::now()).ok();
        Ok(file::decode(&content, id, self.device, iterations, blank))
    }

    fn write(&self, id: VaeId, vae: &TrainedVae) -> io::Result<()> {
        let content = file::encode(id, self.device, vae).map_err(io::Error::other)?;
        let bytes = content.len() as u64;
        if bytes > self.limit.min(file::most_bytes(vae)) {
            return Err(io::Error::other(format!("a file of `{bytes}` bytes is too large")));
        }
        store_file::write(&self.folder, &id.to_string(), &self.path(id), &content)
    }

    /// Removes what dead writers left behind and, while there is too much, the file not used for the longest time.
    /// Others may do the same at the same time: that a file is gone already is fine.
    fn tidy(&self) {
        let Ok(entries) = fs::read_dir(&self.folder) else { return };
        let mut files = Vec::new();
        for entry in entries.flatten() {
            let (name, path) = (entry.file_name(), entry.path());
            let Some(what) = name.to_str().and_then(OwnFile::by_name) else { continue };
            let Ok(metadata) = entry.metadata() else { continue };
            let Ok(used) = metadata.modified() else { continue };
            match what {
                _ if !metadata.is_file() => {}
                OwnFile::Whole => files.push((used, metadata.len(), path)),
                // A time in the future is no age.
                OwnFile::Part if used.elapsed().is_ok_and(|age| age > ABANDONED) => {
                    fs::remove_file(path).ok();
                }
                OwnFile::Part => {}
            }
        }
        files.sort();
        let mut total: u64 = files.iter().map(|(_, bytes, _)| bytes).sum();
        for (_, bytes, path) in files {
            if total <= self.limit {
                break;
            }
            debug!(file = %path.display(), "removed: too many cached VAEs");
            fs::remove_file(path).ok();
            total -= bytes;
        }
    }
}

/// What this cache puts into its folder.
enum OwnFile {
    Whole,
    Part,
}

impl OwnFile {
    /// None for the name of a file that is not this cache's to remove.
    fn by_name(name: &str) -> Option<Self> {
        let (id, rest) = name.split_once('.')?;
        id.parse::<VaeId>().ok()?;
        match rest.strip_suffix(WHOLE) {
            Some("cpu" | "cuda") => Some(Self::Whole),
            _ => rest.ends_with(PART).then_some(Self::Part),
        }
    }
}

#[cfg(test)]
#[path = "disk_tests.rs"]
mod tests;
