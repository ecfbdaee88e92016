//! P4: a killed worker loses at most one checkpoint interval, and the trial ends with the same
//! weights.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    fs,
    thread::sleep,
    time::Duration,
};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::{
    judge::{EIGHT, grid, judge, slow},
    scenario::{Part, Skipped, Tally},
};
use crate::{
    process::{Process, children, wait_until},
    proxy::mischief::up_to,
    sweep::Sweep,
};

/// Failpoints where a worker writes checkpoints, sends reports and receives acknowledgements.
const POINTS: [&str; 10] = [
    "file/write",
    "file/written",
    "file/synced",
    "file/named",
    "session/report",
    "session/report-sent",
    "session/result",
    "session/result-sent",
    "session/acknowledged",
    "session/settled",
];

/// Iterations between two reports. The workers of these tests save at each report.
const INTERVAL: i64 = 100;

fn sweep(pause: u32) -> Sweep {
    let more =
        "lease_seconds = 20\nmax_losses = 1000\n[artifacts]\nweights = true\nconfusion = true";
    slow(&grid(EIGHT, 150, more), pause)
}

const SAVING: [&str; 2] = ["--checkpoint-seconds", "0"];

/// Kills device processes at random times.
///
/// # Errors
/// Never.
pub fn at_random(part: Part) -> Result<Tally, Skipped> {
    let mut tally = Tally::default();
    let mut random = part.random();
    while part.left(&tally) > 0 {
        let sweep = sweep(200);
        let mut coordinator = sweep.coordinator("coordinator", &["--listen", "127.0.0.1:0"]);
        let mut worker = sweep.worker("worker", &sweep.address(&coordinator), &SAVING);
        let mut kills = 0;
        while kills < part.left(&tally) {
            // A process that ends before its welcome has failed at its start, which is another
            // fault. With its welcome, the leases of its predecessor are lost.
            let at_work = wait_until("a lease of another process or the end", || match coordinator
                .ended()
            {
                Some(_) => Some(false),
                None => (sweep.query("SELECT count(*) FROM worker") > Some(kills as i64)
                    && sweep.query("SELECT count(*) FROM trial WHERE state = 'leased'") > Some(0))
                .then_some(true),
            });
            sleep(up_to(&mut random, Duration::from_millis(1200)));
            let Some(victim) = children(worker.id()).first().copied().filter(|_| at_work) else {
                break;
            };
            // The process may have just ended.
            let killed = kill(Pid::from_raw(victim.cast_signed()), Signal::SIGKILL).is_ok();
            kills += u64::from(killed);
        }
        let judged = finish(&sweep, coordinator, &mut worker, kills);
        // Between two trials a killed process has no lease to lose, and otherwise it may have
        // several.
        let losers = count_losers(&sweep);
        assert!(losers > 0 && losers <= kills, "{losers} processes lost attempts by {kills} kills");
        tally.add(Tally { faults: losers, ..judged });
    }
    Ok(tally)
}

/// Counts the processes that have lost attempts.
fn count_losers(sweep: &Sweep) -> u64 {
    let journal = sweep.journal();
    let holders: HashMap<_, _> = journal
        .iter()
        .filter_map(|line| Some(((&line.trial, line.attempt), line.worker.as_ref()?)))
        .collect();
    let lost = journal.iter().filter(|line| line.kind == "lost");
    lost.filter_map(|line| holders.get(&(&line.trial, line.attempt))).collect::<HashSet<_>>().len()
        as u64
}

/// Kills device processes `part.count` times at each failpoint.
///
/// # Errors
/// Never.
pub fn at_failpoints(part: Part) -> Result<Tally, Skipped> {
    let mut tally = Tally::default();
    let mut tokens: Vec<String> = Vec::new();
    for point in POINTS {
        tokens
            .extend((0..part.count).map(|number| format!("{}.{number}", point.replace('/', "."))));
    }
    let failpoints: Vec<_> = POINTS.iter().map(|point| format!("{point}=20%return")).collect();
    let mut sweeps = 0;
    while !tokens.is_empty() {
        sweeps += 1;
        assert!(sweeps <= 10 + 3 * part.count, "workers seldom come to {tokens:?}");
        let sweep = sweep(0);
        let folder = sweep.folder().join("tokens");
        fs::create_dir(&folder).expect("the test's folder can be written");
        for token in tokens.iter().take(12) {
            fs::write(folder.join(token), "").expect("the test's folder can be written");
        }
        let coordinator = sweep.coordinator("coordinator", &["--listen", "127.0.0.1:0"]);
        let mut command = sweep.worker_command(&sweep.address(&coordinator), &SAVING);
        command.env("FAILPOINTS", failpoints.join(";")).env("SWFN_FAULT_TOKENS", &folder);
        let mut worker = sweep.start(&mut command, "worker");
        let before = tokens.len();
        let judged = finish(&sweep, coordinator, &mut worker, 0);
        let mut position = 0;
        tokens.retain(|token| {
            position += 1;
            position > 12 || folder.join(token).exists()
        });
        let turn = tokens.len().min(6);
        tokens.rotate_left(turn);
        tally.add(Tally { faults: (before - tokens.len()) as u64, ..judged });
    }
    Ok(tally)
}

fn finish(sweep: &Sweep, mut coordinator: Process, worker: &mut Process, kills: u64) -> Tally {
    coordinator.succeed();
    // A worker that is killed as its last act finds no coordinator when it comes back.
    worker.signal(Signal::SIGTERM);
    worker.wait();
    let log = worker.stderr();
    assert!(
        !log.contains("removed a checkpoint that cannot be used"),
        "a kill leaves no damaged checkpoint:\n{log}"
    );
    resumed_in_time(sweep, &log);
    Tally { faults: kills, results: judge(sweep), acknowledged: 0 }
}

/// Checks that each attempt after a lost one resumed at most an interval before the last reported
/// point. Only trials without a VAE are checked: only their points have the steps of checkpoints.
fn resumed_in_time(sweep: &Sweep, log: &str) {
    let mut resumed = BTreeMap::new();
    for line in log.lines().filter(|line| line.contains("resumed from a checkpoint")) {
        let word = |prefix: &str| {
            line.split(|c: char| c.is_whitespace() || c == '{')
                .find_map(|word| word.strip_prefix(prefix))
        };
        if let (Some(lease), Some(step)) =
            (word("lease="), word("step=").and_then(|step| step.parse::<i64>().ok()))
        {
            resumed.insert(lease.to_owned(), step);
        }
    }
    let database = sweep.database().expect("the run directory has a database");
    let sql = "SELECT trial.id, point.attempt, max(step) FROM point JOIN trial ON trial.number = point.trial
               JOIN event ON event.trial = point.trial AND event.attempt = point.attempt AND event.kind = 'lost'
               WHERE trial.lambda = 0 GROUP BY 1, 2";
    let mut query = database.prepare(sql).expect("the points can be read");
    let rows = query
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
        .expect("the points can be read");
    for row in rows {
        let (trial, attempt, reached): (String, u32, i64) = row.expect("a point can be read");
        let next = format!("{}/{}", &trial[..8], attempt + 1);
        let begun = "SELECT count(*) FROM point JOIN trial ON trial.number = point.trial";
        let begun = sweep
            .query(&format!("{begun} WHERE id = '{trial}' AND point.attempt = {}", attempt + 1));
        let from = match resumed.get(&next) {
            Some(from) => *from,
            // This attempt was killed before its first point; the next attempt is checked instead.
            None if begun == Some(0) => continue,
            None => 0,
        };
        assert!(
            from + INTERVAL >= reached,
            "{next} goes on from {from}, but {reached} was reported:\n{log}"
        );
    }
}
