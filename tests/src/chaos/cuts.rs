//! P9: a connection that is cut, stalled or half-open for less than a lease costs only time.

use std::{thread::sleep, time::Duration};

use rand::RngExt as _;

use super::{
    judge::{EIGHT, grid, judge, slow},
    scenario::{Part, Skipped, Tally},
};
use crate::{
    process::wait_until,
    proxy::{
        mischief::up_to,
        tcp::{Cut, Mode, TcpProxy},
    },
    sweep::Sweep,
};

/// Faults in one sweep.
const CUTS: u64 = 8;

/// Checks that no trial was trained twice: each has one attempt.
pub(super) fn assert_nothing_twice(sweep: &Sweep) {
    let again: Vec<_> = sweep
        .journal()
        .into_iter()
        .filter(|line| line.attempt > 1 || line.kind == "lost")
        .collect();
    assert!(again.is_empty(), "a cut shorter than the lease costs no attempt: {again:?}");
}

/// Injects closes, resets, half-open connections, delays, throttling and stalls.
///
/// # Errors
/// Never.
pub fn cut_connections(part: Part) -> Result<Tally, Skipped> {
    let mut tally = Tally::default();
    let mut random = part.random();
    while part.left(&tally) > 0 {
        let sweep = slow(&grid(EIGHT, 150, "lease_seconds = 60"), 300);
        let mut coordinator = sweep.coordinator("coordinator", &["--listen", "127.0.0.1:0"]);
        let proxy = TcpProxy::start(sweep.address(&coordinator).trim_start_matches("http://"));
        let mut worker = sweep.worker("worker", &proxy.url(), &[]);
        let mut faults = 0;
        while faults < CUTS.min(part.left(&tally)) {
            let connected = wait_until("a connection or the end", || match coordinator.ended() {
                Some(_) => Some(false),
                None => (proxy.open() > 0).then_some(true),
            });
            sleep(up_to(&mut random, Duration::from_millis(400)));
            if !connected || coordinator.ended().is_some() {
                break;
            }
            let (cuts, bytes) = (proxy.cuts(), proxy.disturbed_bytes());
            let while_in = |mode: Mode, time: u64| {
                proxy.set(mode);
                sleep(Duration::from_millis(time));
            };
            let cut = match random.random_range(0..6) {
                0 => Some(Cut::Close),
                1 => Some(Cut::Reset),
                2 => {
                    while_in(Mode::Swallow, 600);
                    Some(Cut::Reset)
                }
                3 => {
                    while_in(Mode::Hold, 1500);
                    None
                }
                4 => {
                    while_in(Mode::Delay(Duration::from_millis(50)), 800);
                    None
                }
                _ => {
                    while_in(Mode::Throttle(20_000), 800);
                    None
                }
            };
            if let Some(cut) = cut {
                proxy.cut(cut);
                wait_until("the cut", || (proxy.open() == 0 || proxy.cuts() > cuts).then_some(()));
            }
            proxy.set(Mode::Pass);
            faults += u64::from(proxy.cuts() > cuts || proxy.disturbed_bytes() > bytes);
        }
        coordinator.succeed();
        worker.leave();
        assert_nothing_twice(&sweep);
        tally.add(Tally { faults, results: judge(&sweep), acknowledged: 0 });
    }
    Ok(tally)
}
