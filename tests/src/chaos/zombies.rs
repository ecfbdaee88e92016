//! P3: a worker that was stopped past its lease cannot overwrite its successor.

use std::{thread::sleep, time::Duration};

use nix::sys::signal::Signal;
use rand::RngExt as _;

use super::{
    judge::{grid, judge, slow},
    scenario::{Part, Skipped, Tally},
};
use crate::{
    process::{Process, children, send, wait_until, within},
    proxy::{messages::MessageProxy, mischief::Mischief},
    sweep::Sweep,
};

/// Stops in one sweep.
const STOPS: u64 = 3;

/// The term of a lease, in seconds.
const TERM: u64 = 4;

/// A lease that has not ended by then never ends.
const LATE: Duration = Duration::from_secs(8 * TERM);

/// Time within which a woken worker learns that its lease is over, on a busy machine.
const HEARD: Duration = Duration::from_secs(90);

/// A lease that its holder slept through.
#[derive(Debug)]
struct SleptLease {
    trial: String,
    attempt: u32,
    /// The index of the worker, 0 or 1.
    worker: usize,
}

/// Stops workers and wakes them when their lease is over.
///
/// # Errors
/// Never.
pub fn stopped(part: Part) -> Result<Tally, Skipped> {
    let mut tally = Tally::default();
    let mut random = part.random();
    while part.left(&tally) > 0 {
        let axes = "seed = { count = 8 }\nsubset_size = 42\narchitecture = \"net\"\nlambda = 0";
        let sweep =
            slow(&grid(axes, 300, &format!("lease_seconds = {TERM}\nmax_losses = 1000")), 250);
        let mut coordinator = sweep.coordinator("coordinator", &["--listen", "127.0.0.1:0"]);
        let proxy = MessageProxy::start(&sweep.address(&coordinator), 0, Mischief::default());
        let mut workers = ["first", "second"].map(|name| sweep.worker(name, &proxy.url(), &[]));
        let mut all = Vec::new();
        while (all.len() as u64) < STOPS.min(part.left(&tally)) {
            let worker = random.random_range(0..workers.len());
            let Some(slept) = stop(&sweep, &mut coordinator, &workers[worker], worker) else {
                break;
            };
            let SleptLease { trial, attempt, .. } = &slept;
            // The worker wakes up before its successor begins, while it runs, or when it is done.
            let of_next =
                format!("FROM trial WHERE id = '{trial}' AND (attempt > {attempt} AND state");
            let awaited = match random.random_range(0..3) {
                0 => format!("SELECT count(*) FROM trial WHERE id = '{trial}'"),
                1 => format!("SELECT count(*) {of_next} IN ('leased', 'succeeded'))"),
                _ => format!("SELECT count(*) {of_next} = 'succeeded')"),
            };
            wait_until("a successor", || (sweep.query(&awaited) > Some(0)).then_some(()));
            send(children(workers[worker].id())[0], Signal::SIGCONT);
            // Before the worker is stopped again, it learns that its lease is over.
            let revoked = revocation(&slept);
            within(HEARD, "a lease was not revoked whose holder has slept past its end", || {
                (has_revocation(&workers[worker].stderr(), &revoked)
                    || coordinator.ended().is_some())
                .then_some(())
            });
            all.push(slept);
        }
        coordinator.succeed();
        let heard = workers.each_mut().map(Process::leave);
        // A worker that was cut off when the sweep ended has received no revocation.
        all.retain(|slept| {
            heard[slept.worker]
                || has_revocation(&workers[slept.worker].stderr(), &revocation(slept))
        });
        for slept in &all {
            let log = workers[slept.worker].stderr();
            let lease = revocation(slept);
            assert!(has_revocation(&log, &lease), "{slept:?} was not revoked:\n{log}");
            let after = log.lines().skip_while(|line| !is_revocation(line, &lease));
            let done =
                after.filter(|line| line.contains("trial done") && line.contains(&lease)).count();
            assert_eq!(done, 0, "a revoked trial is trained to its end: {slept:?}\n{log}");
        }
        assert!(proxy.record(|record| record.revocations) >= all.len() as u64);
        let acknowledged = proxy.record(|record| record.check(&sweep.run_dir()));
        tally.add(Tally { faults: all.len() as u64, results: judge(&sweep), acknowledged });
    }
    Ok(tally)
}

/// Returns the lease as the worker's log names it.
fn revocation(slept: &SleptLease) -> String {
    format!("lease={}/{}", &slept.trial[..8], slept.attempt)
}

fn is_revocation(line: &str, lease: &str) -> bool {
    line.contains("lease revoked") && line.split_whitespace().any(|word| word == lease)
}

fn has_revocation(log: &str, lease: &str) -> bool {
    log.lines().any(|line| is_revocation(line, lease))
}

/// Stops a worker in the middle of a trial and waits until its lease is over. Returns `None` if the
/// sweep ends first.
fn stop(
    sweep: &Sweep,
    coordinator: &mut Process,
    worker: &Process,
    index: usize,
) -> Option<SleptLease> {
    loop {
        let process =
            wait_until("a device process or the end", || match children(worker.id()).first() {
                Some(process) => Some(Some(*process)),
                None => coordinator.ended().map(|_| None),
            })?;
        let id = worker_id(worker, process)?;
        let sql = format!(
            "SELECT trial.id, trial.attempt FROM trial
             JOIN event ON event.trial = trial.number AND event.attempt = trial.attempt AND event.kind = 'leased'
             WHERE trial.state = 'leased' AND event.worker = '{id}' AND EXISTS
                 (SELECT 1 FROM point WHERE point.trial = trial.number AND point.attempt = trial.attempt)"
        );
        let lease = || {
            let database = sweep.database()?;
            database
                .query_row(&sql, [], |row| Ok((row.get::<_, String>(0)?, row.get::<_, u32>(1)?)))
                .ok()
        };
        let (trial, attempt) = wait_until("a trial under way or the end", || match lease() {
            Some(lease) => Some(Some(lease)),
            None => coordinator.ended().map(|_| None),
        })?;
        send(process, Signal::SIGSTOP);
        let ended = |kind: &str| {
            let sql = "SELECT count(*) FROM event JOIN trial ON trial.number = event.trial";
            sweep.query(&format!(
                "{sql} WHERE id = '{trial}' AND event.attempt = {attempt} AND kind = '{kind}'"
            )) > Some(0)
        };
        let broken = format!("a lease of {TERM} seconds, whose holder is stopped, does not end");
        let lost = within(LATE, &broken, || match (ended("lost"), ended("succeeded")) {
            (true, _) => Some(true),
            (_, true) => Some(false),
            _ => None,
        });
        if lost {
            return Some(SleptLease { trial, attempt, worker: index });
        }
        // The trial had just ended.
        send(process, Signal::SIGCONT);
        sleep(Duration::from_millis(20));
    }
}

/// Finds the worker id that a supervisor gave to one of its processes.
fn worker_id(worker: &Process, process: u32) -> Option<String> {
    let ending = format!("process={process}");
    let log = worker.stderr();
    let line =
        log.lines().find(|line| line.contains("worker started") && line.ends_with(&ending))?;
    line.split_whitespace().find_map(|word| word.strip_prefix("worker=")).map(str::to_owned)
}
