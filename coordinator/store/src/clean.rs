//! The mark of a clean end: the last writer closed the file in order, and nobody has touched it.
//!
//! The mark stands beside the database and has its inode, its size and the times of its last
//! change. A copy, a restored backup and an edited file do not fit it. Without a fitting mark, rows
//! are hashed before they are used.

use std::{
    fs::{self, File},
    io::{self, Write as _},
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    time::SystemTime,
};

use swfn_shared::files;

use super::{connect::has_log, log::with_end};

fn mark_of(database: &Path) -> PathBuf {
    with_end(database, "-clean")
}

/// The text that the mark of a database would have now.
fn text(database: &Path) -> io::Result<String> {
    let file = fs::metadata(database)?;
    let changed = [file.mtime(), file.mtime_nsec(), file.ctime(), file.ctime_nsec()];
    Ok(format!("{} {} {changed:?}\n", file.ino(), file.size()))
}

/// Whether the file is as its last writer left it in order.
pub(super) fn is_clean(database: &Path) -> bool {
    let mark = fs::read_to_string(mark_of(database));
    !has_log(database) && mark.is_ok_and(|mark| text(database).is_ok_and(|now| now == mark))
}

/// Marks the database when it is dropped, unless another file has its name by then.
#[derive(Debug)]
pub(super) struct CleanEnd {
    database: PathBuf,
    inode: u64,
    /// Whether all writes went well.
    pub(super) clean: bool,
}

impl CleanEnd {
    /// Removes the mark of the last end, before anything is written.
    pub(super) fn begin(database: &Path) -> io::Result<Self> {
        match fs::remove_file(mark_of(database)) {
            Ok(()) => sync_folder(database.parent().unwrap_or(database))?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        let inode = fs::metadata(database).map_or(0, |file| file.ino());
        Ok(Self { database: database.to_owned(), inode, clean: true })
    }

    fn mark(&self) -> io::Result<()> {
        let file = File::open(&self.database)?;
        if file.metadata()?.ino() != self.inode || has_log(&self.database) {
            return Ok(());
        }
        // The clock of files may stand still for milliseconds; this time is always another one.
        file.set_modified(SystemTime::now())?;
        file.sync_all()?;
        let mut mark = files::create(&mark_of(&self.database))?;
        mark.write_all(text(&self.database)?.as_bytes())?;
        mark.sync_all()?;
        sync_folder(self.database.parent().unwrap_or(&self.database))
    }
}

impl Drop for CleanEnd {
    fn drop(&mut self) {
        if self.clean && !std::thread::panicking() {
            // Without a mark, the next start hashes the rows: that costs time alone.
            self.mark().ok();
        }
    }
}

/// Brings the names in a folder to the disk.
pub(super) fn sync_folder(folder: &Path) -> io::Result<()> {
    // The parent of `a` is the empty path, which cannot be opened.
    let here = folder.as_os_str().is_empty();
    File::open(if here { Path::new(".") } else { folder })?.sync_all()
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use swfn_shared::ids::LeaseId;

    use super::*;
    use crate::{
        Store,
        error::SCHEMA_VERSION,
        integrity::Sums,
        samples::{batch, leased, specs},
    };

    fn written(path: &Path) -> Store {
        let mut store = Store::open(path).unwrap();
        let specs = specs(1);
        let lease = LeaseId { trial: specs[0].id(), attempt: 1 };
        store.set_trials(&specs).unwrap();
        store.write(0.0, &leased(lease)).unwrap();
        store.write(0.0, &batch(lease, 0.9)).unwrap();
        store
    }

    #[test]
    fn a_clean_end_is_marked_until_restarted() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("sweep.sqlite");
        let mut store = written(&path);
        assert!(!mark_of(&path).exists(), "not while it is open");
        assert_eq!(store.sums, Sums::of_rows(&store.connection, SCHEMA_VERSION).unwrap());
        store = {
            drop(store);
            assert!(is_clean(&path));
            Store::open_to_read(&path).unwrap();
            assert!(is_clean(&path), "a reader leaves it");
            Store::open(&path).unwrap()
        };
        assert!(!mark_of(&path).exists());
        assert_eq!(
            store.sums,
            Sums::of_rows(&store.connection, SCHEMA_VERSION).unwrap(),
            "they are not hashed"
        );
    }

    #[test]
    fn a_copied_or_edited_file_has_no_mark() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("sweep.sqlite");
        let copy = dir.path().join("copy");
        let store = written(&path);
        // As a kill leaves it: what is committed stands in the log.
        fs::create_dir(&copy).unwrap();
        let copied = || {
            let files =
                ["", "-wal", "-clean"].map(|end| dir.path().join(format!("sweep.sqlite{end}")));
            let there = files.iter().filter(|file| file.exists());
            assert!(
                Command::new("cp").arg("-a").args(there).arg(&copy).status().unwrap().success()
            );
            is_clean(&copy.join("sweep.sqlite"))
        };
        assert!(!copied());
        drop(store);
        fs::remove_file(copy.join("sweep.sqlite-wal")).unwrap();
        assert!(is_clean(&path) && !copied());
        assert!(mark_of(&copy.join("sweep.sqlite")).exists());
        let edit = |value: f64| {
            let edit =
                format!("UPDATE outcome SET value = {value} WHERE metric = 'final_test_accuracy'");
            rusqlite::Connection::open(&path).unwrap().execute_batch(&edit).unwrap();
        };
        for _ in 0..20 {
            edit(0.91);
            assert!(!is_clean(&path), "however short the time");
            edit(0.9);
            drop(Store::open(&path).unwrap());
            assert!(is_clean(&path));
        }
    }

    #[test]
    fn a_replaced_file_is_not_marked() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("sweep.sqlite");
        let store = written(&path);
        let other = dir.path().join("other.sqlite");
        drop(written(&other));
        for end in ["", "-wal", "-shm"] {
            fs::remove_file(dir.path().join(format!("sweep.sqlite{end}"))).unwrap();
        }
        fs::rename(&other, &path).unwrap();
        drop(store);
        assert!(!mark_of(&path).exists());
    }
}
