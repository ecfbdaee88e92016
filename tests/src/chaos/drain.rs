//! P12: SIGTERM ends coordinator and worker in order, and gives leases back.

use std::{
    thread::sleep,
    time::{Duration, Instant},
};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::{
    judge::{EIGHT, grid, judge, slow},
    scenario::{Part, Skipped, Tally},
};
use crate::{
    process::{Process, wait_until},
    proxy::mischief::up_to,
    sweep::Sweep,
};

/// The grace period is ten seconds; beyond it a busy machine may take its time.
const GRACE: Duration = Duration::from_secs(60);

fn sweep() -> Sweep {
    let more = "lease_seconds = 60\n[artifacts]\nweights = true";
    slow(&grid(EIGHT, 500, more), 200)
}

/// Coordinators and workers in turn that are asked to stop in the middle of their work.
///
/// # Errors
/// Never.
pub fn asked_to_stop(part: Part) -> Result<Tally, Skipped> {
    let mut tally = Tally::default();
    let mut random = part.random();
    while part.left(&tally) > 0 {
        let sweep = sweep();
        let mut stops = 0;
        while stops < part.left(&tally) {
            let time = up_to(&mut random, Duration::from_millis(1500));
            let stopped = if stops % 2 == 0 { coordinator(&sweep, time) } else { worker(&sweep, time) };
            if !stopped {
                break;
            }
            stops += 1;
            let held = sweep.query("SELECT count(*) FROM trial WHERE state = 'leased'");
            assert_eq!(held, Some(0), "who leaves gives back what it holds");
        }
        sweep.coordinator("last", &["--local-workers", "2"]).succeed();
        let lost: Vec<_> = sweep.journal().into_iter().filter(|line| line.kind == "lost").collect();
        assert!(lost.is_empty(), "what is given back is no loss: {lost:?}");
        tally.add(Tally { faults: stops, results: judge(&sweep), acknowledged: 0 });
    }
    Ok(tally)
}

/// Stops a coordinator with its local workers; false if the sweep was over first.
fn coordinator(sweep: &Sweep, time: Duration) -> bool {
    let mut coordinator = sweep.coordinator("coordinator", &["--local-workers", "2"]);
    sweep.address(&coordinator);
    sleep(time);
    stop(&mut coordinator);
    !coordinator.stdout().is_empty() && sweep.succeeded() < 8
}

/// Stops a worker, and once it is gone its coordinator; false if the sweep was over first.
fn worker(sweep: &Sweep, time: Duration) -> bool {
    let mut coordinator = sweep.coordinator("coordinator", &["--listen", "127.0.0.1:0"]);
    let mut worker = sweep.worker("worker", &sweep.address(&coordinator), &[]);
    // It hears signals from then on.
    wait_until("a device process", || worker.stderr().contains("worker started").then_some(()));
    sleep(time);
    stop(&mut worker);
    let over = coordinator.ended().is_some();
    stop(&mut coordinator);
    !over && sweep.succeeded() < 8
}

fn stop(process: &mut Process) {
    // It may have come to its end.
    kill(Pid::from_raw(process.id().cast_signed()), Signal::SIGTERM).ok();
    let start = Instant::now();
    process.succeed();
    assert!(start.elapsed() < GRACE, "it took {:?}", start.elapsed());
}
