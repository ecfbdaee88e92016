//! Many seeds, on all cores, each on one.

use std::{
    collections::VecDeque,
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering},
    },
    thread,
};

use super::{
    tally::{Tally, Trace},
    world::run,
};

/// A number from the environment.
pub(super) fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok().filter(|text| !text.is_empty())?;
    Some(
        text.parse()
            .unwrap_or_else(|_| panic!("{name} is `{text}`\nhint: a number of at most 64 bits")),
    )
}

/// Simulates so many seeds. Panics with the smallest that breaks a rule, its trace, and how to
/// repeat it. A single seed is traced.
pub(super) fn simulate(first: u64, count: u64) -> Tally {
    if count == 1 {
        let run = run(first, Trace::Printed);
        run.result.unwrap_or_else(|rule| panic!("seed `{first}`: {rule}"));
        return run.tally;
    }
    let next = AtomicU64::new(first);
    let end = AtomicU64::new(first.saturating_add(count));
    let total = Mutex::new(Tally::default());
    let work = || {
        let mut tally = Tally::default();
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= end.load(Ordering::Relaxed) {
                break;
            }
            let run = run(seed, Trace::Off);
            tally.add(&run.tally);
            if run.result.is_err() {
                // Seeds below it may still be under way.
                end.fetch_min(seed, Ordering::Relaxed);
                break;
            }
        }
        total.lock().expect("no thread panics").add(&tally);
    };
    let threads = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(work);
        }
    });
    let broken = end.load(Ordering::Relaxed);
    if broken < first.saturating_add(count) {
        report(broken, broken - first + 1);
    }
    total.into_inner().expect("no thread panics")
}

fn report(seed: u64, tried: u64) {
    let run = run(seed, Trace::Kept(VecDeque::new()));
    if let Trace::Kept(lines) = &run.trace {
        lines.iter().rev().for_each(|line| eprintln!("{line}"));
    }
    let rule = run.result.expect_err("a seed is one history");
    panic!(
        "seed `{seed}`, number {tried}, breaks a rule: {rule}\nhint: see what led to it with `make simulate SEED={seed}`"
    );
}
