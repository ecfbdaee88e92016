//! P11: a run directory has one coordinator at a time.

use nix::sys::signal::Signal;

use super::{
    judge::{self, grid},
    scenario::{Part, Skipped, Tally},
};
use crate::{
    process::{Process, wait_until},
    sweep::Sweep,
};

/// Coordinators that start at the same time.
const RIVALS: usize = 3;

/// Lets coordinators race for the lock, and ends each race with a `kill -9` of the winner.
///
/// # Errors
/// Never.
pub fn races(part: Part) -> Result<Tally, Skipped> {
    let axes = "seed = [0]\nsubset_size = 42\narchitecture = \"net\"\nlambda = 0";
    let new = || judge::sweep(&grid(axes, 100, ""));
    // This run directory has a database, so a coordinator that gets past the lock starts to work.
    let used = new();
    let first = used.coordinator("first", &["--listen", "127.0.0.1:0"]);
    used.address(&first);
    drop(first);
    for race in 0..part.count {
        let new = (race % 4 == 3).then(new);
        let sweep = new.as_ref().unwrap_or(&used);
        let start = |number| {
            sweep.coordinator(&format!("rival-{race}-{number}"), &["--listen", "127.0.0.1:0"])
        };
        let mut rivals: Vec<_> = (0..RIVALS).map(start).collect();
        let losers = |rivals: &mut [Process]| rivals.iter_mut().filter_map(Process::ended).count();
        wait_until("all rivals but one to give up", || {
            let at_work = rivals.iter().filter(|rival| Sweep::is_at_work(rival)).count();
            assert!(at_work <= 1, "{at_work} coordinators are at work in one run directory");
            (losers(&mut rivals) == RIVALS - 1).then_some(())
        });
        let winner =
            rivals.iter_mut().position(|rival| rival.ended().is_none()).expect("one rival is left");
        let mut winner = rivals.swap_remove(winner);
        // The winner is still alive and at work.
        sweep.address(&winner);
        rivals.push(start(RIVALS));
        let holder = format!("is in use by process {} on ", winner.id());
        for rival in &mut rivals {
            assert_eq!(rival.wait(), Some(1));
            let output = rival.stderr();
            // On a busy machine the winner may not have logged its address yet.
            let right =
                output.contains(&holder) || output.contains("is in use by another coordinator\n");
            assert!(
                right,
                "a late coordinator does not name {} as the holder: {output}",
                winner.id()
            );
        }
        let late = rivals.pop().expect("one came late").stderr();
        assert!(late.contains(&holder), "{} holds it: {late}", winner.id());
        winner.signal(Signal::SIGKILL);
        winner.wait();
    }
    Ok(Tally { faults: part.count.into(), results: 0, acknowledged: 0 })
}
