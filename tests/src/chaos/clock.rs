//! P10: the wall clock may jump; leases go by the monotonic one.

use std::{fs, path::Path, thread::sleep, time::Duration};

use super::{
    cuts::assert_nothing_twice,
    judge::{EIGHT, grid, judge, slow},
    scenario::{Part, Skipped, Tally},
};
use crate::process::wait_until;

/// Where Debian and others keep the library.
const LIBRARIES: [&str; 4] = [
    "/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1",
    "/usr/lib/aarch64-linux-gnu/faketime/libfaketime.so.1",
    "/usr/lib64/faketime/libfaketime.so.1",
    "/usr/lib/faketime/libfaketime.so.1",
];

/// Jumps of the coordinator's wall clock, three days ahead and three days back in turn.
///
/// # Errors
/// There is no libfaketime here.
pub fn jumps(part: Part) -> Result<Tally, Skipped> {
    let library = LIBRARIES.iter().find(|path| Path::new(path).exists()).ok_or("there is no libfaketime here")?;
    let mut tally = Tally::default();
    while part.left(&tally) > 0 {
        let sweep = slow(&grid(EIGHT, 500, "lease_seconds = 60"), 200);
        let clock = sweep.folder().join("clock");
        // In place as a whole: a reader must not find it empty.
        let set = |offset: &str| {
            let new = clock.with_extension("new");
            fs::write(&new, offset).and_then(|()| fs::rename(&new, &clock)).expect("the test's folder can be written");
        };
        set("+0");
        let mut command = sweep.coordinator_command(&["--listen", "127.0.0.1:0"]);
        command.env("LD_PRELOAD", library).env("FAKETIME_TIMESTAMP_FILE", &clock);
        command.env("FAKETIME_DONT_FAKE_MONOTONIC", "1").env("FAKETIME_NO_CACHE", "1");
        let mut coordinator = sweep.start(&mut command, "coordinator");
        let mut worker = sweep.worker("worker", &sweep.address(&coordinator), &[]);
        wait_until("points", || (sweep.query("SELECT count(*) FROM point") > Some(0)).then_some(()));
        let mut jumps = 0;
        while jumps < 4.min(part.left(&tally)) && coordinator.ended().is_none() {
            set(["+3d", "-3d"][jumps as usize % 2]);
            jumps += 1;
            sleep(Duration::from_millis(600));
        }
        coordinator.succeed();
        worker.succeed();
        let days = sweep
            .query("SELECT CAST((max(at) - min(at)) / 86400 AS INTEGER) FROM event")
            .expect("the journal has times");
        assert!(days >= 2, "the clock jumped by {days} days only");
        assert_nothing_twice(&sweep);
        tally.add(Tally { faults: jumps, results: judge(&sweep), acknowledged: 0 });
    }
    Ok(tally)
}
