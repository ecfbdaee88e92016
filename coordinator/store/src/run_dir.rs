//! The run directory with everything of a sweep, and the lock for its only coordinator.

use std::{
    fs::{self, File, TryLockError},
    io::{self, BufWriter, Seek as _, Write},
    os::{fd::AsRawFd as _, unix::fs::MetadataExt as _},
    path::{Path, PathBuf},
    thread::sleep,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};
use nix::{errno::Errno, sys::signal::kill, unistd::Pid};
use swfn_shared::{
    faults, files, problem,
    problem::{OrProblem as _, Problem},
};
use tracing::warn;

/// The folder of earlier grids in a run directory, numbered, whose results were set aside.
pub const GRIDS: &str = "grids";

/// The longest time between locking the directory and writing the name of the holder.
const INTRODUCTION: Duration = Duration::from_millis(200);

/// The file with journal, points and results.
const DATABASE: &str = "sweep.sqlite";

/// The folder of trials that are trained a second time, in a run directory.
pub const VERIFICATION: &str = "verification";

/// An open run directory. The lock ends with the process.
#[derive(Debug)]
pub struct RunDir {
    pub path: PathBuf,
    lock: File,
}

/// The identities of files of a run directory in use: others may remove, move or replace them.
#[derive(Debug, Clone)]
pub struct RunFiles {
    pub path: PathBuf,
    files: Vec<(PathBuf, Identity)>,
}

/// Device and inode of a file.
type Identity = (u64, u64);

impl RunFiles {
    pub fn of(path: &Path, files: &[&str]) -> io::Result<Self> {
        let files = files.iter().map(|name| path.join(name));
        let known = files.map(|file| identity(&file).map(|found| (file, found)));
        Ok(Self { path: path.to_owned(), files: known.collect::<Result<_, _>>()? })
    }

    /// A sentence about the first file that is not where it was, if any.
    pub fn lost(&self) -> Option<String> {
        let in_place = |file: &Path, known| identity(file).is_ok_and(|found| found == known);
        let (lost, _) = self.files.iter().find(|(file, known)| !in_place(file, *known))?;
        Some(match lost.display() {
            _ if !self.files.iter().any(|(file, _)| file.exists()) => {
                format!("the run directory `{}` was removed or moved", self.path.display())
            }
            shown if lost.exists() => format!("`{shown}` was replaced"),
            shown => format!("`{shown}` was removed or moved"),
        })
    }
}

fn identity(file: &Path) -> io::Result<Identity> {
    fs::metadata(file).map(|metadata| (metadata.dev(), metadata.ino()))
}

fn host() -> String {
    nix::unistd::gethostname().unwrap_or_default().to_string_lossy().into_owned()
}

/// The name of the lock's holder, which it writes just after it has got the lock. Until then the
/// file is empty, or names a former holder.
fn holder(lock: &Path) -> Option<String> {
    let end = Instant::now() + INTRODUCTION;
    loop {
        let name = fs::read_to_string(lock).ok().filter(|name| may_be_alive(name));
        if name.is_some() || Instant::now() >= end {
            return name;
        }
        sleep(INTRODUCTION / 10);
    }
}

/// Whether a named process may still run. It may if it is of another machine.
fn may_be_alive(name: &str) -> bool {
    let Some((process, host)) =
        name.strip_prefix("process ").and_then(|name| name.split_once(" on "))
    else {
        return false;
    };
    let Ok(process) = process.parse() else { return false };
    host != self::host() || process > 0 && kill(Pid::from_raw(process), None) != Err(Errno::ESRCH)
}

impl RunDir {
    /// Makes the directory if it is missing, and locks it.
    pub fn open(path: &Path) -> anyhow::Result<Self> {
        let (shown, lock_path) = (path.display(), path.join("lock"));
        fs::create_dir_all(path.join("logs")).or_problem(
            || problem!("cannot make the run directory `{shown}`"; "choose another with --run-dir"),
        )?;
        if let Some(why) = files::open_to_others(path) {
            warn!(
                "the run directory `{shown}` is not safe: {why}\n\
                 hint: chmod o-w, or choose another with --run-dir"
            );
        }
        let mut options = files::options();
        let lock = options.read(true).write(true).create(true).truncate(false).open(&lock_path);
        let mut lock = lock.with_context(|| format!("cannot open `{}`", lock_path.display()))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) if faults::bug("no-lock") => {}
            Err(TryLockError::WouldBlock) => {
                let holder = holder(&lock_path).unwrap_or_else(|| "another coordinator".to_owned());
                bail!(problem!(
                    "the run directory `{shown}` is in use by {holder}";
                    "wait for it, or choose another --run-dir"
                ));
            }
            Err(TryLockError::Error(error)) => {
                let problem = problem!(
                    "cannot lock `{}`", lock_path.display();
                    "its file system seems to have no locks: choose a --run-dir on a local disk, \
                     or have it mounted with them (NFS: lockd; Lustre: -o flock)"
                );
                return Err(problem.because(error).into());
            }
        }
        // In one write, since others read it meanwhile.
        let name = format!("process {} on {}", std::process::id(), host());
        lock.set_len(0)
            .and_then(|()| lock.rewind())
            .and_then(|()| lock.write_all(name.as_bytes()))
            .or_problem(|| Problem::unwritable(&lock_path))?;
        Ok(Self { path: path.to_owned(), lock })
    }

    /// The identities of its files now.
    pub fn place(&self) -> io::Result<RunFiles> {
        RunFiles::of(&self.path, &["lock", DATABASE])
    }

    /// Where the directory is now, if it is somewhere: Linux knows the path of the open lock.
    pub fn moved_to(&self, place: &RunFiles) -> Option<PathBuf> {
        let lock = fs::read_link(format!("/proc/self/fd/{}", self.lock.as_raw_fd())).ok()?;
        let folder = lock.parent()?;
        let found = [identity(&lock).ok()?, identity(&folder.join(DATABASE)).ok()?];
        let same = found.iter().eq(place.files.iter().map(|(_, known)| known));
        same.then(|| folder.to_owned())
    }

    pub fn database(&self) -> PathBuf {
        self.path.join(DATABASE)
    }
}

/// Replaces a file of a folder with what `content` writes. A reader sees the old one or the new
/// one, also when two processes replace it at the same time.
pub fn replace(
    folder: &Path,
    name: &str,
    content: impl FnOnce(&mut BufWriter<File>) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let path = folder.join(name);
    let temporary = folder.join(format!(".{name}.{}.tmp", std::process::id()));
    let write = || -> anyhow::Result<()> {
        let mut file = BufWriter::new(files::create(&temporary)?);
        content(&mut file)?;
        file.into_inner()?.sync_all()?;
        faults::point("results/rename");
        Ok(fs::rename(&temporary, &path)?)
    };
    let written = write();
    if written.is_err() {
        fs::remove_file(&temporary).ok();
    }
    Ok(written.or_problem(|| Problem::unwritable(&path))?)
}

/// The files that a folder has before results are written into it.
#[derive(Debug)]
pub struct ExistingFiles(Vec<(PathBuf, Identity)>);

impl ExistingFiles {
    pub fn of(folder: &Path) -> Self {
        let paths = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
        let files = paths.filter(|path| path.is_file());
        Self(files.filter_map(|path| Some((path.clone(), identity(&path).ok()?))).collect())
    }

    /// A sentence about those that have been replaced since, if any were.
    pub fn replaced(&self) -> Option<String> {
        let replaced = self.0.iter().filter_map(|(path, known)| {
            let found = identity(path).ok()?;
            (found != *known).then(|| format!("`{}`", path.display()))
        });
        let names: Vec<_> = replaced.collect();
        let verb = if names.len() == 1 { "was" } else { "were" };
        (!names.is_empty()).then(|| {
            format!("note: {} {verb} there already, and {verb} replaced", names.join(", "))
        })
    }
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

    #[test]
    fn a_removed_run_directory_is_noticed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("run");
        let run_dir = RunDir::open(&path).unwrap();
        fs::write(run_dir.database(), "old").unwrap();
        let place = run_dir.place().unwrap();
        assert_eq!(place.lost(), None);
        fs::rename(&path, dir.path().join("other")).unwrap();
        assert!(place.lost().unwrap().ends_with("/run` was removed or moved"));
        assert_eq!(
            run_dir.moved_to(&place),
            Some(dir.path().canonicalize().unwrap().join("other"))
        );
        fs::rename(dir.path().join("other"), &path).unwrap();
        assert_eq!(place.lost(), None);
        fs::write(path.join("new"), "new").unwrap();
        fs::rename(path.join("new"), run_dir.database()).unwrap();
        assert!(place.lost().unwrap().ends_with("sweep.sqlite` was replaced"));
        fs::remove_file(run_dir.database()).unwrap();
        assert!(place.lost().unwrap().ends_with("sweep.sqlite` was removed or moved"));
        assert_eq!(run_dir.moved_to(&place), None);
    }

    #[test]
    fn replaced_files_are_reported() {
        let dir = tempfile::tempdir().unwrap();
        let before = ExistingFiles::of(&dir.path().join("missing"));
        assert_eq!(before.replaced(), None);
        for name in ["mine.csv", "trials.csv"] {
            fs::write(dir.path().join(name), "mine").unwrap();
        }
        let before = ExistingFiles::of(dir.path());
        for name in ["new.csv", "trials.csv"] {
            replace(dir.path(), name, |file| Ok(file.write_all(b"new")?)).unwrap();
        }
        let replaced = dir.path().join("trials.csv").display().to_string();
        assert_eq!(
            before.replaced(),
            Some(format!("note: `{replaced}` was there already, and was replaced"))
        );
    }

    #[test]
    fn a_former_holder_is_not_named() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        let lock = File::create(&path).unwrap();
        lock.try_lock().unwrap();
        let refused = || RunDir::open(dir.path()).unwrap_err().to_string();
        // No system has so many processes.
        let dead = i32::MAX;
        for former in ["", "process 1", "process x on y", &format!("process {dead} on {}", host())]
        {
            fs::write(&path, former).unwrap();
            assert!(
                refused().contains("is in use by another coordinator\nhint: "),
                "{former}: {}",
                refused()
            );
        }
        fs::write(&path, format!("process {dead} on another-machine")).unwrap();
        assert!(
            refused().contains(&format!("is in use by process {dead} on another-machine\n")),
            "{}",
            refused()
        );
    }
}
