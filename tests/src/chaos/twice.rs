//! P12: a second request to stop ends a process at once. It waits neither for stuck workers nor for
//! a hanging trainer.

use std::{thread::sleep, time::Duration};

use nix::sys::signal::Signal;

use super::{
    judge::{self, grid},
    scenario::{Part, Skipped, Tally},
};
use crate::{
    process::{Process, children, send, wait_until, within},
    sweep::Sweep,
};

/// A process that still waits takes longer: a supervisor waits for 20 seconds, a device process for
/// its trainer without limit.
const AT_ONCE: Duration = Duration::from_secs(15);

/// Asks coordinators, supervisors and device processes in turn to stop, twice.
///
/// # Errors
/// Never.
pub fn ask_twice(part: Part) -> Result<Tally, Skipped> {
    for number in part.seed..part.seed + part.count {
        match number % 3 {
            0 => coordinator(),
            1 => supervisor(),
            _ => device(),
        }
    }
    Ok(Tally { faults: part.count.into(), ..Tally::default() })
}

/// Makes a sweep of one trial, which hangs at its first report.
fn hanging() -> Sweep {
    let axes = "seed = [0]\nsubset_size = 42\narchitecture = \"net\"\nlambda = 0";
    let sweep = judge::sweep(&grid(axes, 300, "lease_seconds = 600\nstall_seconds = 600"));
    sweep.with("SWFN_POISON", "seed=0,step=100,kind=hang")
}

/// The local worker is stopped by SIGSTOP, so the coordinator's first request waits for its leases.
fn coordinator() {
    let sweep = hanging();
    let mut coordinator = sweep.coordinator("coordinator", &["--local-workers", "1"]);
    let device = wait_until("a device process", || {
        let supervisor = *children(coordinator.id()).first()?;
        (sweep.query("SELECT count(*) FROM worker") > Some(0)).then_some(())?;
        children(supervisor).first().copied()
    });
    send(device, Signal::SIGSTOP);
    let signals = std::cell::Cell::new(0);
    let code = wait_until("the end", || {
        if let Some(status) = coordinator.ended() {
            return Some(status.code());
        }
        coordinator.signal(Signal::SIGTERM);
        signals.set(signals.get() + 1);
        sleep(Duration::from_millis(300));
        None
    });
    assert!(signals.get() >= 2, "one signal alone leaves time for leases");
    assert_eq!(code, Some(130), "after {} signals:\n{}", signals.get(), coordinator.stderr());
}

/// Starts a supervisor with a device process whose trainer hangs.
fn hung_worker(sweep: &Sweep, coordinator: &Process) -> (Process, u32) {
    let worker = sweep.worker("worker", &sweep.address(coordinator), &[]);
    wait_until("a report", || {
        (sweep.query("SELECT count(*) FROM point WHERE step >= 100") > Some(0)).then_some(())
    });
    let device = *children(worker.id()).first().expect("who reports is there");
    (worker, device)
}

/// Waits until the device process has heard the first request and waits for its trainer.
fn wait_until_it_waits(worker: &mut Process) {
    wait_until("the first request", || {
        worker.stderr().contains("asked to stop: giving leases back").then_some(())
    });
    assert!(worker.ended().is_none(), "a first request waits for the trainer");
}

/// Sends Ctrl-C twice to the supervisor alone.
fn supervisor() {
    let sweep = hanging();
    let coordinator = sweep.coordinator("coordinator", &["--listen", "127.0.0.1:0"]);
    let (mut worker, _) = hung_worker(&sweep, &coordinator);
    worker.signal(Signal::SIGINT);
    wait_until_it_waits(&mut worker);
    worker.signal(Signal::SIGINT);
    let status = within(AT_ONCE, "a supervisor that was asked twice waits for its process", || {
        worker.ended()
    });
    assert_eq!(status.code(), Some(130), "{}", worker.stderr());
}

/// Stops the device process twice. Its supervisor must start no other one.
fn device() {
    let sweep = hanging();
    let coordinator = sweep.coordinator("coordinator", &["--listen", "127.0.0.1:0"]);
    let (mut worker, device) = hung_worker(&sweep, &coordinator);
    send(device, Signal::SIGINT);
    wait_until_it_waits(&mut worker);
    send(device, Signal::SIGINT);
    let status =
        within(AT_ONCE, "a device process that was asked twice waits for its trainer", || {
            worker.ended()
        });
    let log = worker.stderr();
    assert_eq!(status.code(), Some(130), "{log}");
    assert!(log.contains("asked to stop twice"), "{log}");
    assert_eq!(log.matches("worker started").count(), 1, "a new process took its place:\n{log}");
}
