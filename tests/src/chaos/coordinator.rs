//! P1: acknowledged reports survive `kill -9` of the coordinator, at each failpoint and at random
//! times.

use std::{collections::VecDeque, thread::sleep, time::Duration};

use nix::sys::signal::Signal;
use rand::RngExt as _;
use rand_chacha::ChaCha8Rng;

use super::{
    judge::{EIGHT, grid, judge, slow},
    scenario::{Part, Skipped, Tally},
};
use crate::{
    process::{Process, wait_until},
    proxy::{
        messages::MessageProxy,
        mischief::{Mischief, up_to},
        record::Record,
    },
    sweep::Sweep,
};

/// Failpoints around the coordinator's writes, commits and acknowledgements, with their least
/// number of passes in a sweep.
const POINTS: [(&str, u32); 12] = [
    ("engine/commit", 12),
    ("store/begin", 8),
    ("store/rows", 8),
    ("store/committed", 8),
    ("engine/answer", 12),
    ("engine/answered", 12),
    ("artifact/part", 3),
    ("artifact/whole", 2),
    ("artifact/synced", 2),
    ("artifact/named", 2),
    ("results/rename", 4),
    // The failpoint only delays the transaction; the kill comes from outside.
    ("store/rows held up", 4),
];

/// Kills in one sweep. There are few, because the worker waits longer each time before it comes
/// back.
const KILLS: u32 = 4;

/// A sweep whose coordinator is killed and restarted behind a recording proxy. Its worker stays.
struct KilledSweep {
    // Declared before `sweep`, so that it ends before the sweep's folder is removed.
    worker: Process,
    proxy: MessageProxy,
    starts: u32,
    /// Acknowledged reports that were looked up after a kill.
    acknowledged: u64,
    sweep: Sweep,
}

impl KilledSweep {
    fn new(seed: u32, before: u64) -> Self {
        let more = "lease_seconds = 20\nmax_losses = 1000\n[artifacts]\nweights = true";
        let sweep = slow(&grid(EIGHT, 30, more), 200);
        let proxy = MessageProxy::start(
            "http://127.0.0.1:1",
            u64::from(seed) + before,
            Mischief::default(),
        );
        let worker = sweep.worker("worker", &proxy.url(), &[]);
        Self { worker, proxy, starts: 0, acknowledged: 0, sweep }
    }

    fn start(&mut self, failpoints: &str) -> Process {
        self.starts += 1;
        let mut command = self.sweep.coordinator_command(&["--listen", "127.0.0.1:0"]);
        let mut coordinator = self
            .sweep
            .start(command.env("FAILPOINTS", failpoints), &format!("coordinator-{}", self.starts));
        if let Some(address) = self.sweep.address_or_end(&mut coordinator) {
            self.proxy.lead_to(&address);
        }
        coordinator
    }

    /// Looks up everything that was acknowledged before the kill.
    fn check(&mut self) {
        self.acknowledged = self.proxy.record(|record| record.check(&self.sweep.run_dir()));
    }

    /// Waits until more reports were acknowledged than looked up: a kill now threatens them.
    /// Returns false if the sweep ends first.
    fn wait_for_more(&self, coordinator: &mut Process) -> bool {
        wait_until("another acknowledgement or the end", || match coordinator.ended() {
            Some(_) => Some(false),
            None => (self.proxy.record(Record::acknowledged) > self.acknowledged).then_some(true),
        })
    }

    /// Runs the sweep to its end. Later acknowledgements are looked up as well, but no kill has
    /// threatened them.
    fn finish(mut self, faults: u64) -> Tally {
        self.start("").succeed();
        self.worker.leave();
        let acknowledged = self.acknowledged;
        self.check();
        Tally { faults, acknowledged, results: judge(&self.sweep) }
    }
}

/// Kills the coordinator `part.count` times at each failpoint.
///
/// # Errors
/// Never.
pub fn at_failpoints(part: Part) -> Result<Tally, Skipped> {
    let mut tally = Tally::default();
    let mut random = part.random();
    let mut due: VecDeque<_> = (0..part.count).flat_map(|_| POINTS).collect();
    let mut early = 0;
    while !due.is_empty() {
        let mut killed = KilledSweep::new(part.seed, tally.faults);
        let mut here = 0;
        while here < KILLS
            && let Some((point, passes)) = due.pop_front()
        {
            if !kill_at(&mut killed, point, passes, &mut random) {
                // The sweep ended before the failpoint was reached.
                due.push_back((point, passes));
                early += 1;
                assert!(
                    early <= 10 + 2 * POINTS.len() as u32 * part.count,
                    "the coordinator seldom comes to {due:?}"
                );
                break;
            }
            here += 1;
            killed.check();
        }
        tally.add(killed.finish(here.into()));
    }
    assert!(tally.acknowledged > 0, "nothing was acknowledged before a kill");
    Ok(tally)
}

/// Kills the coordinator at a failpoint. Returns false if the sweep ends first.
fn kill_at(killed: &mut KilledSweep, point: &str, passes: u32, random: &mut ChaCha8Rng) -> bool {
    let pass = random.random_range(0..passes);
    // Each transaction is slowed, so that an acknowledgement sent too early gets away.
    let slow = "store/begin=sleep(5)";
    match point.strip_suffix(" held up") {
        Some(point) => {
            let mut coordinator = killed.start(&format!("{point}={pass}*off->1*sleep(60000)"));
            sleep(up_to(random, Duration::from_secs(1)) + Duration::from_millis(300));
            if coordinator.ended().is_some() {
                return false;
            }
            coordinator.signal(Signal::SIGKILL);
            coordinator.wait().is_none()
        }
        None => {
            let slow = if point == "store/begin" { "" } else { slow };
            let mut coordinator = killed.start(&format!("{point}={pass}*off->return;{slow}"));
            let code = coordinator.wait();
            assert!(
                matches!(code, None | Some(0)),
                "it ended with {code:?}:\n{}",
                coordinator.stderr()
            );
            code.is_none()
        }
    }
}

/// Kills the coordinator at random times, each time after further acknowledgements.
///
/// # Errors
/// Never.
pub fn at_random(part: Part) -> Result<Tally, Skipped> {
    let mut tally = Tally::default();
    let mut random = part.random();
    while part.left(&tally) > 0 {
        let mut killed = KilledSweep::new(part.seed, tally.faults);
        let mut here = 0;
        while here < u64::from(KILLS).min(part.left(&tally)) {
            let mut coordinator = killed.start("");
            if !killed.wait_for_more(&mut coordinator) {
                break;
            }
            sleep(up_to(&mut random, Duration::from_millis(700)));
            if coordinator.ended().is_some() {
                break;
            }
            coordinator.signal(Signal::SIGKILL);
            if coordinator.wait().is_some() {
                break;
            }
            here += 1;
            killed.check();
        }
        tally.add(killed.finish(here));
    }
    Ok(tally)
}
