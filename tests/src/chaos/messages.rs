//! P2: repeated, replayed and late messages change nothing. Reports that are lost with their stream
//! come again.

use std::time::Duration;

use super::{
    judge::{self, EIGHT, grid, judge, slow},
    scenario::{Part, Skipped, Tally},
};
use crate::{
    process::wait_until,
    proxy::{
        messages::MessageProxy,
        mischief::{Faults, Mischief},
        record::Record,
    },
    sweep::Sweep,
};

/// Eight trials. Half of them have weights that arrive in many parts.
const OF_MANY_PARTS: &str = "seed = { count = 2 }\nsubset_size = 42\narchitecture = [\"net\", \"lenet\"]\nlambda = [0, 0.1]\npenalty_samples = 4";

/// Runs a sweep of two workers whose messages all pass a proxy.
fn through(axes: &str, seed: u64, mischief: Mischief) -> (Sweep, Faults, Tally) {
    let more = "lease_seconds = 20\nstall_seconds = 60\n[artifacts]\nweights = true";
    let sweep = slow(&grid(axes, 60, more), 100);
    let mut coordinator = sweep.coordinator("coordinator", &["--listen", "127.0.0.1:0"]);
    let proxy = MessageProxy::start(&sweep.address(&coordinator), seed, mischief);
    let mut workers = ["first", "second"].map(|name| sweep.worker(name, &proxy.url(), &[]));
    // A report that never comes again would block the sweep for ever.
    wait_until("the end of the sweep", || {
        proxy.record(Record::assert_nothing_forgotten);
        coordinator.ended()
    });
    coordinator.succeed();
    workers.iter_mut().for_each(|worker| _ = worker.leave());
    let acknowledged = proxy.record(|record| record.check(&sweep.run_dir()));
    let tally = Tally { faults: 0, results: judge(&sweep), acknowledged };
    (sweep, proxy.faults(), tally)
}

/// Repeats messages, the newest or an earlier one, in both directions.
///
/// # Errors
/// Never.
pub fn repeated(part: Part) -> Result<Tally, Skipped> {
    let mut tally = Tally::default();
    while part.left(&tally) > 0 {
        let mischief =
            Mischief { repeats: 10, delay: Duration::from_millis(10), ..Mischief::default() };
        let (sweep, faults, more) =
            through(OF_MANY_PARTS, u64::from(part.seed) + tally.faults, mischief);
        assert!(faults.duplicates > 0 && faults.replays > 0 && faults.delays > 0, "{faults:?}");
        let unfinished = judge::unfinished(&sweep.run_dir());
        assert!(
            unfinished.is_empty(),
            "beginnings that come again leave nothing behind: {unfinished:?}"
        );
        tally.add(Tally { faults: faults.repeated(), ..more });
    }
    Ok(tally)
}

/// Loses reports together with their stream.
///
/// # Errors
/// Never.
pub fn lost(part: Part) -> Result<Tally, Skipped> {
    let mut tally = Tally::default();
    while part.left(&tally) > 0 {
        let mischief = Mischief { lose: Some((6, 2)), ..Mischief::default() };
        let (sweep, faults, more) = through(EIGHT, u64::from(part.seed) + tally.faults, mischief);
        assert!(faults.lost > 0 && faults.cuts > 0, "{faults:?}");
        let again: Vec<_> = sweep
            .journal()
            .into_iter()
            .filter(|line| line.attempt > 1 || line.kind == "lost")
            .collect();
        assert!(again.is_empty(), "nothing is done twice: {again:?}");
        tally.add(Tally { faults: faults.lost, ..more });
    }
    Ok(tally)
}
