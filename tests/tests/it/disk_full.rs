//! Full disks, at each place where the programs write. Nothing may be acknowledged that is not on
//! the disk, and work resumes when there is space again.

use std::{thread::sleep, time::Duration};

use nix::sys::signal::Signal;
use swfn_tests::{
    chaos::judge::judge, disk::SmallDisk, page::ask, ports, probe::serves, process::wait_until,
    sweep::Sweep,
};

const AXES: &str = "seed = { count = 4 }\nsubset_size = 40\narchitecture = \"net\"\nlambda = 0";
const ITERATIONS: u32 = 120;
const WAITS: &str = "nothing is lost: waiting until it can be written";

/// Leases are shorter than the disk is full, and trials last longer.
fn sweep() -> Sweep {
    Sweep::with_leases(10, AXES, ITERATIONS).evaluated_every(30).slowed(300)
}

#[test]
fn a_full_disk_pauses_the_sweep_without_loss() {
    let sweep = sweep();
    let Some(disk) = SmallDisk::mount(&sweep.run_dir(), 2 << 20) else { return };
    let doors = ["--listen", "127.0.0.1:0", "--http", "127.0.0.1:0", "--health", "127.0.0.1:0"];
    let mut coordinator = sweep.coordinator("coordinator", &doors);
    let (address, page) = (sweep.address(&coordinator), sweep.dashboard(&coordinator));
    let health = sweep.health(&coordinator);
    let mut worker = sweep.worker("worker", &address, &[]);
    wait_until("points", || (sweep.query("SELECT count(*) FROM point") > Some(0)).then_some(()));
    let status = |path| ask(&page, path, &[]).status;
    assert_eq!((status("/healthz"), status("/readyz")), (200, 200));
    let filling = disk.fill();
    wait_until("the disk to be noticed", || coordinator.stderr().contains(WAITS).then_some(()));
    assert!(coordinator.stderr().contains("sweep.sqlite`: "), "{}", coordinator.stderr());
    // The coordinator is alive and its pages work, but nothing moves.
    assert_eq!((status("/healthz"), status("/readyz"), status("/api/v1/trials")), (200, 503, 200));
    wait_until("unreadiness", || (serves(&health, "ready") == Ok(false)).then_some(()));
    assert_eq!(serves(&health, ""), Ok(true));
    let points = sweep.query("SELECT count(*) FROM point");
    // The pause is longer than a lease. The coordinator must not take the worker for dead while it
    // cannot write itself.
    sleep(Duration::from_secs(12));
    assert_eq!(sweep.query("SELECT count(*) FROM point"), points, "nothing more can be written");
    drop(filling);
    coordinator.succeed();
    worker.succeed();
    assert!(
        coordinator.stderr().contains("the disk takes writes again"),
        "{}",
        coordinator.stderr()
    );
    assert!(sweep.journal().iter().all(|line| line.kind != "lost"), "{:?}", sweep.journal());
    judge(&sweep);
}

#[test]
fn a_coordinator_with_a_full_disk_can_restart() {
    let sweep = sweep();
    let Some(disk) = SmallDisk::mount(&sweep.run_dir(), 2 << 20) else { return };
    let door = ports::address();
    let mut coordinator = sweep.coordinator("coordinator", &["--listen", &door]);
    let mut worker = sweep.worker("worker", &sweep.address(&coordinator), &[]);
    wait_until("points", || (sweep.query("SELECT count(*) FROM point") > Some(0)).then_some(()));
    let filling = disk.fill();
    wait_until("the disk to be noticed", || coordinator.stderr().contains(WAITS).then_some(()));
    coordinator.signal(Signal::SIGTERM);
    assert_eq!(coordinator.wait(), Some(1), "{}", coordinator.stderr());
    assert!(
        coordinator.stderr().contains("hint: make room on its disk"),
        "{}",
        coordinator.stderr()
    );
    // Before there is space, the coordinator does not start. It may also use the space of its
    // predecessor's log and pause there.
    let mut early = sweep.coordinator("early", &["--listen", &door]);
    let waits = wait_until("the disk to be noticed", || match early.ended() {
        Some(_) => Some(false),
        None => early.stderr().contains(WAITS).then_some(true),
    });
    if waits {
        early.signal(Signal::SIGTERM);
    }
    assert_eq!(early.wait(), Some(1), "{}", early.stderr());
    drop(filling);
    let mut again = sweep.coordinator("again", &["--listen", &door]);
    again.succeed();
    worker.succeed();
    judge(&sweep);
}

#[test]
fn files_of_trials_wait_for_space_too() {
    let sweep = sweep();
    let grid = std::fs::read_to_string(sweep.grid()).unwrap() + "[artifacts]\nweights = true\n";
    std::fs::write(sweep.grid(), grid).unwrap();
    // The disk has room for the database, but not for the weights of all trials.
    let Some(disk) = SmallDisk::mount(&sweep.run_dir().join("artifacts"), 64 << 10) else { return };
    let mut coordinator = sweep.coordinator("coordinator", &["--local-workers", "1"]);
    wait_until("the disk to be noticed", || coordinator.stderr().contains(WAITS).then_some(()));
    assert!(coordinator.stderr().contains("weights.safetensors`: "), "{}", coordinator.stderr());
    assert!(sweep.succeeded() < 4, "no trial has succeeded whose files are missing");
    disk.grow(64 << 20);
    coordinator.succeed();
    let weights = walk(&sweep.run_dir().join("artifacts"));
    assert_eq!(weights.len(), 4, "{weights:?}");
    assert!(weights.iter().all(|size| *size == weights[0] && *size > 0), "{weights:?}");
    judge(&sweep);
}

fn walk(folder: &std::path::Path) -> Vec<u64> {
    let files = |folder: &std::path::Path| {
        std::fs::read_dir(folder).expect("a folder that is there").flatten().collect::<Vec<_>>()
    };
    let all = files(folder)
        .into_iter()
        .filter(|entry| entry.path().is_dir())
        .flat_map(|entry| files(&entry.path()));
    all.map(|entry| entry.metadata().expect("a file that is there").len()).collect()
}

#[test]
fn result_files_without_space_are_written_later() {
    let sweep = sweep();
    let Some(disk) = SmallDisk::mount(&sweep.run_dir(), 2 << 20) else { return };
    let mut coordinator =
        sweep.coordinator("coordinator", &["--local-workers", "1", "--exit-when-done", "false"]);
    wait_until("all results", || (sweep.succeeded() == 4).then_some(()));
    let filling = disk.fill();
    coordinator.signal(Signal::SIGTERM);
    assert_eq!(coordinator.wait(), Some(1), "{}", coordinator.stderr());
    assert!(coordinator.stderr().contains("error: cannot write `"), "{}", coordinator.stderr());
    drop(filling);
    sweep.coordinator("again", &[]).succeed();
    judge(&sweep);
}

#[test]
fn a_worker_trains_without_room_for_its_cache() {
    let sweep = Sweep::new(&AXES.replace("lambda = 0", "lambda = 0.1"), ITERATIONS);
    let Some(disk) = SmallDisk::mount(&sweep.cache(), 1 << 20) else { return };
    let _filling = disk.fill();
    let mut coordinator = sweep.coordinator("coordinator", &["--listen", "127.0.0.1:0"]);
    let address = sweep.address(&coordinator);
    let mut worker = sweep.worker("worker", &address, &["--checkpoint-seconds", "0"]);
    coordinator.succeed();
    worker.succeed();
    let log = worker.stderr();
    assert!(log.contains("No space left on device"), "the log names the loss: {log}");
    judge(&sweep);
}
