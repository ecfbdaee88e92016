//! The stay of workers: until their machine is taken away, as long as there is work, or as long as
//! the coordinator stays.

use std::{
    fs,
    time::{Duration, UNIX_EPOCH},
};

use nix::sys::signal::Signal;
use swfn_tests::{ports, process::wait_until, sweep::Sweep};

#[test]
fn a_worker_without_time_returns_its_trials() {
    let axes = "seed = [0]\nsubset_size = 40\narchitecture = \"net\"\nlambda = 0.1";
    let sweep = Sweep::new(axes, 30_000).evaluated_every(30).slowed(200);
    let mut coordinator = sweep.coordinator("coordinator", &["--listen", "127.0.0.1:0"]);
    let address = sweep.address(&coordinator);
    // The last 20 seconds are reserved for the end. Even a busy machine has begun a trial before.
    let end = (UNIX_EPOCH.elapsed().unwrap() + Duration::from_secs(32)).as_secs().to_string();
    let mut first =
        sweep.worker("first", &address, &["--end-at", &end, "--checkpoint-seconds", "3600"]);
    assert_eq!(first.wait(), Some(75), "{}", first.stderr());
    let log = first.stderr();
    assert!(log.contains("time is up: giving leases back"), "{log}");
    let kinds = || sweep.journal().into_iter().map(|line| line.kind).collect::<Vec<_>>();
    assert_eq!(kinds(), ["leased", "released"]);
    assert_eq!(fs::read_dir(sweep.cache().join("checkpoints")).expect("a folder").count(), 1);
    // The worker begins no trial for which there is no time.
    let mut late = sweep.worker("late", &address, &["--end-at", &end]);
    assert_eq!(late.wait(), Some(75), "{}", late.stderr());
    assert_eq!(kinds(), ["leased", "released"]);
    let second = sweep.worker("second", &address, &[]);
    wait_until("the checkpoint", || {
        second.stderr().contains("resumed from a checkpoint step=").then_some(())
    });
    coordinator.signal(Signal::SIGTERM);
    coordinator.succeed();
}

#[test]
fn an_idle_worker_leaves_only_when_asked() {
    let sweep = Sweep::new(
        "seed = { count = 3 }\nsubset_size = 40\narchitecture = \"net\"\nlambda = 0",
        40,
    );
    let door = ports::address();
    let mut coordinator =
        sweep.coordinator("coordinator", &["--listen", &door, "--exit-when-done=false"]);
    let address = sweep.address(&coordinator);
    let mut waiting = sweep.worker("waiting", &address, &[]);
    sweep.worker("leaving", &address, &["--exit-when-idle", "1"]).succeed();
    assert_eq!(sweep.succeeded(), 3);
    assert!(coordinator.ended().is_none() && waiting.ended().is_none(), "{}", waiting.stderr());
    let connected = || waiting.stderr().matches("connected sweep=").count();
    wait_until("the connection of the one that waits", || (connected() == 1).then_some(()));
    coordinator.signal(Signal::SIGTERM);
    coordinator.succeed();
    // The sweep grows, and the worker is still there.
    let more = fs::read_to_string(sweep.grid()).unwrap().replace("count = 3", "count = 4");
    fs::write(sweep.grid(), more).unwrap();
    let mut again = sweep.coordinator("again", &["--listen", &door]);
    again.succeed();
    waiting.succeed();
    assert_eq!(sweep.succeeded(), 4);
}
