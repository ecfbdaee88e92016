//! The run directory: everything that a sweep leaves behind, and the lock that keeps it to one coordinator.

use std::{
    fs::{self, File, TryLockError},
    io::{BufWriter, Read as _, Seek as _, Write},
    path::{Path, PathBuf},
};

use anyhow::{Context as _, bail};
use swfn_shared::faults;

/// An open run directory. The lock goes with the process, however it ends.
#[derive(Debug)]
pub(crate) struct RunDir {
    path: PathBuf,
    _lock: File,
}

impl RunDir {
    /// Makes the directory if it is missing, and locks it.
    pub(crate) fn open(path: &Path) -> anyhow::Result<Self> {
        let shown = path.display();
        fs::create_dir_all(path.join("logs"))
            .with_context(|| format!("cannot make the run directory `{shown}`\nhint: choose another with --run-dir"))?;
        let lock_path = path.join("lock");
        let mut lock = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&lock_path)
            .with_context(|| format!("cannot open `{}`", lock_path.display()))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) if faults::bug("no-lock") => {}
            Err(TryLockError::WouldBlock) => {
                let mut holder = String::new();
                lock.read_to_string(&mut holder).ok();
                let holder = if holder.is_empty() { "another coordinator".to_owned() } else { holder };
                bail!(
                    "the run directory `{shown}` is in use by {holder}\nhint: wait for it, or choose another --run-dir"
                );
            }
            Err(TryLockError::Error(error)) => {
                return Err(error).with_context(|| format!("cannot lock `{}`", lock_path.display()));
            }
        }
        lock.set_len(0)?;
        lock.rewind()?;
        let host = nix::unistd::gethostname().unwrap_or_default();
        write!(lock, "process {} on {}", std::process::id(), host.to_string_lossy())?;
        Ok(Self { path: path.to_owned(), _lock: lock })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn database(&self) -> PathBuf {
        self.path.join("sweep.sqlite")
    }

    pub(crate) fn logs(&self) -> PathBuf {
        self.path.join("logs")
    }

    pub(crate) fn artifacts(&self) -> PathBuf {
        self.path.join("artifacts")
    }

    pub(crate) fn tensorboard(&self) -> PathBuf {
        self.path.join("tensorboard")
    }

    /// Replaces a file as a whole, with what `content` writes: a reader sees the old one or the new one.
    pub(crate) fn write(
        &self,
        name: &str,
        content: impl FnOnce(&mut BufWriter<File>) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        replace(&self.path, name, content)
    }
}

/// Replaces a file of a folder as a whole, with what `content` writes: a reader sees the old one or the new one. Who does the same at the same time is
/// not in the way.
pub(crate) fn replace(
    folder: &Path,
    name: &str,
    content: impl FnOnce(&mut BufWriter<File>) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let path = folder.join(name);
    let temporary = folder.join(format!(".{name}.{}.tmp", std::process::id()));
    let write = || -> anyhow::Result<()> {
        let mut file = BufWriter::new(File::create(&temporary)?);
        content(&mut file)?;
        file.into_inner()?.sync_all()?;
        faults::point("results/rename");
        Ok(fs::rename(&temporary, &path)?)
    };
    let written = write();
    if written.is_err() {
        fs::remove_file(&temporary).ok();
    }
    written.with_context(|| format!("cannot write `{}`\nhint: check disk space and permissions", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_holder_learns_who_the_first_is() {
        let dir = tempfile::tempdir().unwrap();
        let first = RunDir::open(dir.path()).unwrap();
        let error = RunDir::open(dir.path()).unwrap_err().to_string();
        assert!(error.contains(&format!("in use by process {}", std::process::id())), "{error}");
        drop(first);
        RunDir::open(dir.path()).unwrap();
    }
}
