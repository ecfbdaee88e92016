//! P10: the wall clock may jump, because leases use the monotonic clock.

use std::{fs, path::Path, thread::sleep, time::Duration};

use super::{
    cuts::assert_nothing_twice,
    judge::{EIGHT, grid, judge, slow},
    scenario::{Part, Skipped, Tally},
};
use crate::process::wait_until;

/// Paths of the library on Debian and other systems.
const LIBRARIES: [&str; 4] = [
    "/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1",
    "/usr/lib/aarch64-linux-gnu/faketime/libfaketime.so.1",
    "/usr/lib64/faketime/libfaketime.so.1",
    "/usr/lib/faketime/libfaketime.so.1",
];

/// Moves the coordinator's wall clock three days ahead and three days back, in turn.
///
/// # Errors
/// If libfaketime is missing.
pub fn jumps(part: Part) -> Result<Tally, Skipped> {
    let library = LIBRARIES
        .iter()
        .find(|path| Path::new(path).exists())
        .ok_or("there is no libfaketime here")?;
    let mut tally = Tally::default();
    while part.left(&tally) > 0 {
        let sweep = slow(&grid(EIGHT, 150, "lease_seconds = 60"), 200);
        let clock = sweep.folder().join("clock");
        // The file is replaced as a whole, so that no reader finds it empty.
        let set = |offset: &str| {
            let new = clock.with_extension("new");
            fs::write(&new, offset)
                .and_then(|()| fs::rename(&new, &clock))
                .expect("the test's folder can be written");
        };
        set("+0");
        let mut command = sweep.coordinator_command(&["--listen", "127.0.0.1:0"]);
        command.env("LD_PRELOAD", library).env("FAKETIME_TIMESTAMP_FILE", &clock);
        command.env("FAKETIME_DONT_FAKE_MONOTONIC", "1").env("FAKETIME_NO_CACHE", "1");
        let mut coordinator = sweep.start(&mut command, "coordinator");
        let mut worker = sweep.worker("worker", &sweep.address(&coordinator), &[]);
        wait_until("points", || {
            (sweep.query("SELECT count(*) FROM point") > Some(0)).then_some(())
        });
        let mut jumps = 0;
        while jumps < 4.min(part.left(&tally)) {
            let (offset, ahead) = [("+3d", 1), ("-3d", -1)][jumps as usize % 2];
            set(offset);
            // Days by which the newest event is ahead of this process's clock.
            let days = "SELECT CAST(round((at - unixepoch('now')) / 86400.0) AS INTEGER) FROM event
                        ORDER BY sequence DESC LIMIT 1";
            let jumped =
                wait_until("an event after the jump or the end", || match coordinator.ended() {
                    Some(_) => Some(false),
                    None => (sweep.query(days) == Some(3 * ahead)).then_some(true),
                });
            if !jumped {
                break;
            }
            jumps += 1;
            sleep(Duration::from_millis(600));
        }
        assert!(jumps > 0, "the clock did not jump");
        coordinator.succeed();
        worker.succeed();
        assert_nothing_twice(&sweep);
        tally.add(Tally { faults: jumps, results: judge(&sweep), acknowledged: 0 });
    }
    Ok(tally)
}
