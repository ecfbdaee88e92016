//! P1 without the page cache: acknowledged reports are on the disk. The run directory lies on a
//! file system in a file. A copy of that file, taken when the coordinator is killed, has the state
//! after a power cut: unsynced data is missing.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    thread::sleep,
    time::Duration,
};

use nix::sys::signal::Signal;
use tempfile::TempDir;

use super::{
    judge::{EIGHT, grid, judge},
    scenario::{Part, Skipped, Tally},
};
use crate::{
    images,
    process::wait_until,
    proxy::{
        messages::MessageProxy,
        mischief::{Mischief, up_to},
    },
    sweep::Sweep,
};

/// A file system in a file. Dropping it unmounts it.
struct Disk {
    folder: TempDir,
}

fn run(program: &str, arguments: &[&str]) -> Result<(), String> {
    let output = Command::new(program)
        .args(arguments)
        .output()
        .map_err(|error| format!("`{program}`: {error}"))?;
    let printed = || {
        format!(
            "`{program} {}`: {}",
            arguments.join(" "),
            String::from_utf8_lossy(&output.stderr).trim()
        )
    };
    output.status.success().then_some(()).ok_or_else(printed)
}

impl Disk {
    /// Makes a new file system, or one with the content of `image`.
    fn new(image: Option<&Path>) -> Result<Self, String> {
        let disk = Self { folder: TempDir::new().expect("a temporary folder can be made") };
        fs::create_dir(disk.root()).expect("a temporary folder can be written");
        let file = disk.image().display().to_string();
        match image {
            Some(image) => drop(fs::copy(image, disk.image()).expect("an image can be copied")),
            None => {
                fs::File::create(disk.image())
                    .and_then(|file| file.set_len(96 << 20))
                    .expect("there is room");
                run("mkfs.ext4", &["-q", "-F", &file])?;
            }
        }
        // The kernel writes nothing on its own within the time of a test.
        run("mount", &["-o", "loop,commit=300", &file, &disk.root().display().to_string()])?;
        Ok(disk)
    }

    fn image(&self) -> PathBuf {
        self.folder.path().join("image")
    }

    fn root(&self) -> PathBuf {
        self.folder.path().join("root")
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        run("umount", &["-l", &self.root().display().to_string()]).ok();
    }
}

/// Cuts the power at random times. After each cut the sweep resumes from the state of the disk.
///
/// # Errors
/// If file systems in files cannot be mounted here.
pub fn cuts(part: Part) -> Result<Tally, Skipped> {
    let mut tally = Tally::default();
    let mut random = part.random();
    for number in 0..part.count {
        let disk = Disk::new(None)?;
        let text =
            grid(EIGHT, 100, "lease_seconds = 8\nmax_losses = 1000\n[artifacts]\nweights = true");
        let sweep = Sweep::in_folder(&disk.root(), &text).on(images::few()).slowed(200);
        // The grid belongs to the user and existed before, so it is synced.
        run("sync", &["-f", &disk.root().display().to_string()])?;
        let mut coordinator = sweep.coordinator("coordinator", &["--listen", "127.0.0.1:0"]);
        let proxy = MessageProxy::start(
            &sweep.address(&coordinator),
            (part.seed + number).into(),
            Mischief::default(),
        );
        let worker = sweep.worker(
            "worker",
            &proxy.url(),
            &["--cache-dir", &disk.folder.path().display().to_string()],
        );
        wait_until("a result or the end", || {
            (sweep.succeeded() > 0 || coordinator.ended().is_some()).then_some(())
        });
        sleep(up_to(&mut random, Duration::from_millis(1000)));
        coordinator.signal(Signal::SIGKILL);
        coordinator.wait();
        // Nothing may write to the disk between these two. The worker keeps its files elsewhere.
        let after = Disk::new(Some(&disk.image()))?;
        drop(worker);
        let place = after.root().join(sweep.folder().file_name().expect("it has a name"));
        let acknowledged = proxy.record(|record| record.check(&place.join("run")));
        assert!(acknowledged > 0, "nothing was acknowledged before the cut");
        let resumed = Sweep::existing(&place).on(images::few());
        resumed.coordinator("resumed", &["--local-workers", "2"]).succeed();
        tally.add(Tally { faults: 1, results: judge(&resumed), acknowledged });
    }
    Ok(tally)
}
