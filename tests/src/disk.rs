//! A disk that can be full: a small tmpfs.

use std::{
    fs::{self, File},
    io::Write as _,
    path::{Path, PathBuf},
};

use nix::mount::{MntFlags, MsFlags, mount, umount2};

/// A mounted tmpfs. Dropping it unmounts it.
#[derive(Debug)]
pub struct SmallDisk {
    folder: PathBuf,
}

impl SmallDisk {
    /// Makes the folder and mounts a tmpfs on it. Returns `None`, with a message, if this user may
    /// not mount.
    ///
    /// # Panics
    /// If the folder cannot be made.
    pub fn mount(folder: &Path, bytes: usize) -> Option<Self> {
        fs::create_dir_all(folder).expect("a folder can be made");
        let size = format!("size={bytes}");
        match mount(Some("tmpfs"), folder, Some("tmpfs"), MsFlags::empty(), Some(size.as_str())) {
            Ok(()) => Some(Self { folder: folder.to_owned() }),
            Err(error) => {
                eprintln!("skipped: no small disk can be mounted here ({error})");
                None
            }
        }
    }

    /// Makes the disk larger.
    ///
    /// # Panics
    /// If that fails.
    pub fn grow(&self, bytes: usize) {
        let size = format!("size={bytes}");
        let folder = self.folder.as_path();
        mount(Some("tmpfs"), folder, Some("tmpfs"), MsFlags::MS_REMOUNT, Some(size.as_str()))
            .expect("what was mounted can grow");
    }

    /// Fills the disk. Dropping the result frees the space again.
    ///
    /// # Panics
    /// If the disk does not become full.
    pub fn fill(&self) -> FillingFile {
        let path = self.folder.join("filling");
        let mut file = File::create(&path).expect("a file can be made");
        let block = [0; 4096];
        while file.write_all(&block).is_ok() {}
        while file.write_all(&block[..1]).is_ok() {}
        FillingFile(path)
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        umount2(&self.folder, MntFlags::MNT_DETACH).ok();
    }
}

/// The file that fills a disk.
#[derive(Debug)]
pub struct FillingFile(PathBuf);

impl Drop for FillingFile {
    fn drop(&mut self) {
        fs::remove_file(&self.0).ok();
    }
}
