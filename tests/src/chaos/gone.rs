//! P12: a worker whose coordinator is gone for good waits as long as its options say, and no
//! longer.

use std::time::Duration;

use nix::sys::signal::Signal;

use super::{
    judge::{grid, judge, slow},
    scenario::{Part, Skipped, Tally},
};
use crate::{
    process::{Process, wait_until, within},
    proxy::{messages::MessageProxy, mischief::Mischief},
    sweep::Sweep,
};

/// Seconds that a worker waits for its coordinator.
const PATIENCE: &str = "4";

/// A worker that is still there by then never gives up. The proxy alone takes five seconds to find
/// no coordinator.
const LATE: Duration = Duration::from_secs(60);

/// Exit code of a worker that had no coordinator for too long.
const UNREACHABLE: i32 = 69;

fn sweep() -> Sweep {
    let axes = "seed = [0]\nsubset_size = 42\narchitecture = \"net\"\nlambda = 0";
    slow(&grid(axes, 300, "lease_seconds = 60\n[artifacts]\nweights = true"), 300)
}

/// Loses a worker's last acknowledgement and kills a worker's coordinator, in turn.
///
/// # Errors
/// Never.
pub fn lose_coordinators(part: Part) -> Result<Tally, Skipped> {
    let mut tally = Tally::default();
    for number in part.seed..part.seed + part.count {
        let (results, acknowledged) =
            if number % 2 == 0 { unheard(number) } else { killed(number) };
        tally.add(Tally { faults: 1, results, acknowledged });
    }
    Ok(tally)
}

/// The sweep has ended, but its worker does not learn of it.
fn unheard(seed: u32) -> (u64, u64) {
    let sweep = sweep();
    let mut coordinator = sweep.coordinator("coordinator", &["--listen", "127.0.0.1:0"]);
    let deaf = Mischief { deaf: true, ..Mischief::default() };
    let proxy = MessageProxy::start(&sweep.address(&coordinator), seed.into(), deaf);
    let mut worker = sweep.worker("worker", &proxy.url(), &["--give-up-after", PATIENCE]);
    coordinator.succeed();
    gives_up(&mut worker);
    assert!(proxy.faults().cuts > 0, "the acknowledgement of the result got lost");
    let acknowledged = proxy.record(|record| record.check(&sweep.run_dir()));
    (judge(&sweep), acknowledged)
}

/// The coordinator is killed in the middle of a trial, which its worker trains to the end in vain.
fn killed(seed: u32) -> (u64, u64) {
    let sweep = sweep();
    let mut coordinator = sweep.coordinator("coordinator", &["--listen", "127.0.0.1:0"]);
    let proxy = MessageProxy::start(&sweep.address(&coordinator), seed.into(), Mischief::default());
    let mut worker = sweep.worker("worker", &proxy.url(), &["--give-up-after", PATIENCE]);
    wait_until("a point", || (sweep.query("SELECT count(*) FROM point") > Some(0)).then_some(()));
    coordinator.signal(Signal::SIGKILL);
    coordinator.wait();
    let acknowledged = proxy.record(|record| record.check(&sweep.run_dir()));
    gives_up(&mut worker);
    sweep.coordinator("again", &["--local-workers", "1"]).succeed();
    (judge(&sweep), acknowledged)
}

fn gives_up(worker: &mut Process) {
    let broken =
        format!("a worker with --give-up-after {PATIENCE} still waits for its coordinator");
    let status = within(LATE, &broken, || worker.ended());
    let log = worker.stderr();
    assert_eq!(status.code(), Some(UNREACHABLE), "{log}");
    assert!(log.contains("giving up, with 1 trials and "), "{log}");
    assert_eq!(
        log.matches("worker started").count(),
        1,
        "another process would find nobody, either:\n{log}"
    );
}
