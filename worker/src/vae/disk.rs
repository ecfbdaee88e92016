//! Trained VAEs in a folder, for all trials, processes and later runs that see it. A file is named
//! by all that determines its VAE. So it never goes out of date, and equal names mean equal
//! content.
//!
//! A file gets its name when it is whole and on the disk. Two writers put the same bytes in the
//! same place. That also holds on a shared file system. A VAE that cannot be read or written is
//! trained again.

use std::{fs, io, path::Path, time::SystemTime};

use swfn_shared::ids::VaeId;
use tch::Device;
use tracing::debug;

use super::{file, trained::TrainedVae};
use crate::{
    store_file::{self, FileError},
    trial::folder::Folder,
};

/// Default for the size of all files in bytes: some thousand VAEs of the published size.
pub const DEFAULT_LIMIT: u64 = 2 << 30;

/// A folder of VAEs that were trained on one kind of device. It leaves other files alone. VAEs of
/// another kind of device differ in their last bits.
#[derive(Debug)]
pub struct DiskCache {
    folder: Folder,
    /// Most bytes of all files.
    limit: u64,
}

impl DiskCache {
    /// Opens a folder, which is created if it is missing, for files of `limit` bytes in all.
    ///
    /// # Errors
    /// The folder cannot be created.
    pub fn open(folder: &Path, device: Device, limit: u64) -> io::Result<Self> {
        let folder = Folder::open(folder, device, "a cached VAE", ".safetensors")?;
        let cache = Self { folder, limit };
        cache.evict();
        Ok(cache)
    }

    /// A VAE, bit for bit as it was trained, if it is in the folder. A damaged file is removed.
    /// `blank` makes a VAE of the same settings, on the device of this cache, into which the file
    /// is read. `iterations` are those of its training.
    pub fn get(
        &self,
        id: VaeId,
        iterations: u32,
        blank: impl FnOnce() -> TrainedVae,
    ) -> Option<TrainedVae> {
        self.folder.get(id, |path| {
            let (file, bytes) = store_file::open(path)?;
            let blank = blank();
            let most = file::most_bytes(&blank);
            if bytes > most {
                return Ok(Err(FileError::TooLarge { bytes, most }));
            }
            let content = store_file::read(&file, most)?;
            // The time of the last use. It cannot be set in another user's files.
            file.set_modified(SystemTime::now()).ok();
            Ok(file::decode(&content, id, self.folder.device, iterations, blank))
        })
    }

    /// Removes a VAE.
    pub fn remove(&self, id: VaeId) {
        self.folder.remove(id);
    }

    /// Keeps a VAE, and removes the least recently used ones if there are too many. Logs an error.
    pub fn put(&self, id: VaeId, vae: &TrainedVae) {
        let content = file::encode(id, self.folder.device, vae);
        if self.folder.put(id, content, self.limit.min(file::most_bytes(vae))) {
            self.evict();
        }
    }

    /// Removes files that dead writers left behind and, while there are too many bytes, the least
    /// recently used file. Others may remove the same files meanwhile.
    fn evict(&self) {
        let files = self.folder.whole_files::<VaeId>();
        let mut total: u64 = files.iter().map(|(_, bytes, _)| bytes).sum();
        for (_, bytes, path) in files {
            if total <= self.limit {
                break;
            }
            debug!(file = %path.display(), "removed a cached VAE: there are too many");
            fs::remove_file(path).ok();
            total -= bytes;
        }
    }
}

#[cfg(test)]
#[path = "disk_tests.rs"]
mod tests;
