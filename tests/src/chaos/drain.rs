//! P12: SIGTERM makes coordinator and worker end in order and return leases, whether one process or
//! all of them get it.

use std::{
    thread::sleep,
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use super::{
    judge::{EIGHT, grid, judge, slow},
    scenario::{Part, Skipped, Tally},
};
use crate::{
    process::{Process, send_to_all, wait_until},
    proxy::mischief::up_to,
    sweep::Sweep,
};

/// The grace period is 25 seconds. A busy machine may take longer.
const GRACE: Duration = Duration::from_secs(60);

fn sweep() -> Sweep {
    let more = "lease_seconds = 60\n[artifacts]\nweights = true";
    slow(&grid(EIGHT, 150, more), 200)
}

/// Stops coordinators and workers in turn, in the middle of their work.
///
/// # Errors
/// Never.
pub fn ask_to_stop(part: Part) -> Result<Tally, Skipped> {
    let mut tally = Tally::default();
    let mut random = part.random();
    while part.left(&tally) > 0 {
        let sweep = sweep();
        let (mut stops, mut given_back) = (0, 0);
        while stops < part.left(&tally) {
            let time = up_to(&mut random, Duration::from_millis(1500));
            let turn = tally.faults + stops;
            let signal = if turn % 4 < 2 { signal_one } else { signal_all };
            let stopped = if turn % 2 == 0 {
                coordinator(&sweep, time, signal)
            } else {
                worker(&sweep, time, signal)
            };
            if !stopped {
                break;
            }
            let before = given_back;
            given_back = released(&sweep);
            // A worker between two trials has no lease to return.
            stops += u64::from(given_back > before);
            let held = sweep.query("SELECT count(*) FROM trial WHERE state = 'leased'");
            assert_eq!(held, Some(0), "a stopping process returns its leases");
            assert_nothing_lost(&sweep);
        }
        sweep.coordinator("last", &["--local-workers", "2"]).succeed();
        assert_nothing_lost(&sweep);
        assert!(stops > 0, "no process that was stopped in a trial returned it");
        tally.add(Tally { faults: stops, results: judge(&sweep), acknowledged: 0 });
    }
    Ok(tally)
}

fn assert_nothing_lost(sweep: &Sweep) {
    let lost: Vec<_> = sweep.journal().into_iter().filter(|line| line.kind == "lost").collect();
    assert!(lost.is_empty(), "a returned lease is not lost: {lost:?}");
}

fn released(sweep: &Sweep) -> i64 {
    sweep.query("SELECT count(*) FROM event WHERE kind = 'released'").unwrap_or(0)
}

/// Waits until a trial is running. Returns false if the sweep ends first.
fn leased(sweep: &Sweep, coordinator: &mut Process) -> bool {
    wait_until("a lease or the end", || match coordinator.ended() {
        Some(_) => Some(false),
        None => (sweep.query("SELECT count(*) FROM trial WHERE state = 'leased'") > Some(0))
            .then_some(true),
    })
}

/// Stops a coordinator with its local workers. Returns false if the sweep ends first.
fn coordinator(sweep: &Sweep, time: Duration, signal: fn(u32)) -> bool {
    let mut coordinator = sweep.coordinator("coordinator", &["--local-workers", "2"]);
    if !leased(sweep, &mut coordinator) {
        return false;
    }
    sleep(time);
    stop(&mut coordinator, signal);
    !coordinator.stdout().is_empty() && sweep.succeeded() < 8
}

/// Stops a worker and then its coordinator. Returns false if the sweep ends first.
fn worker(sweep: &Sweep, time: Duration, signal: fn(u32)) -> bool {
    let mut coordinator = sweep.coordinator("coordinator", &["--listen", "127.0.0.1:0"]);
    let mut worker = sweep.worker("worker", &sweep.address(&coordinator), &[]);
    // The worker handles signals from then on.
    wait_until("a device process", || worker.stderr().contains("worker started").then_some(()));
    if !leased(sweep, &mut coordinator) {
        return false;
    }
    sleep(time);
    stop(&mut worker, signal);
    let over = coordinator.ended().is_some();
    stop(&mut coordinator, signal_one);
    !over && sweep.succeeded() < 8
}

fn signal_one(process: u32) {
    // The process may have ended.
    kill(Pid::from_raw(process.cast_signed()), Signal::SIGTERM).ok();
}

fn signal_all(process: u32) {
    send_to_all(process, Signal::SIGTERM);
}

fn stop(process: &mut Process, signal: fn(u32)) {
    signal(process.id());
    let start = Instant::now();
    process.succeed();
    assert!(start.elapsed() < GRACE, "it took {:?}", start.elapsed());
}
