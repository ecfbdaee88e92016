//! P5: a trial that aborts, hangs, exhausts memory, fails or diverges is quarantined with its last
//! error. The others' results do not change.

use super::{
    judge::{self, grid, judge_without},
    scenario::{Part, Skipped, Tally},
};
use crate::process::{Process, wait_until};

/// The seed of the poisoned trial.
const GUILTY: usize = 1;

/// A trial fails once or twice among others and twice alone. Two more attempts allow for faults of
/// a slow machine.
const ATTEMPTS: i64 = 6;

/// Address space of a worker's process in KiB: enough for libtorch, too little for a hoarding
/// trial.
const ADDRESSES: u32 = 8 << 20;

/// Poisons trials whose process aborts, among lanes and alone in turn.
///
/// # Errors
/// Never.
pub fn aborting(part: Part) -> Result<Tally, Skipped> {
    all("abort", "its worker process ended", part)
}

/// Poisons trials that want more memory than there is.
///
/// # Errors
/// Never.
pub fn hoarding(part: Part) -> Result<Tally, Skipped> {
    all("memory", "its worker process ended", part)
}

/// Poisons trials that stand still.
///
/// # Errors
/// Never.
pub fn hanging(part: Part) -> Result<Tally, Skipped> {
    all("hang", "stood still", part)
}

/// Poisons trials whose computation fails.
///
/// # Errors
/// Never.
pub fn failing(part: Part) -> Result<Tally, Skipped> {
    all("panic", "a poisoned trial", part)
}

fn all(kind: &str, error: &str, part: Part) -> Result<Tally, Skipped> {
    let mut tally = Tally::default();
    for number in part.seed..part.seed + part.count {
        let lanes = ["4", "1"][number as usize % 2];
        tally.add(one(kind, error, lanes, 100 * (1 + number % 3)));
    }
    Ok(tally)
}

fn one(kind: &str, error: &str, lanes: &str, step: u32) -> Tally {
    let axes = "seed = { count = 4 }\nsubset_size = 42\narchitecture = \"net\"\nlambda = 0";
    // Only hanging trials need short leases. Elsewhere a slow trial must not be taken for a hanging
    // one.
    let terms = if kind == "hang" { 8 } else { 60 };
    let more = format!(
        "lease_seconds = {terms}\nstall_seconds = {terms}\nmax_losses = 2\nmax_failures = 2"
    );
    let poison = format!("seed={GUILTY},step={step},kind={kind}");
    let sweep = judge::sweep(&grid(axes, 400, &more)).with("SWFN_POISON", &poison);
    let mut coordinator = sweep.coordinator("coordinator", &["--listen", "127.0.0.1:0"]);
    let worker = sweep.worker_command(&sweep.address(&coordinator), &["--lanes", lanes]);
    // Device processes inherit the worker's limit.
    let mut limited = std::process::Command::new("sh");
    limited.args(["-c", &format!("ulimit -v {ADDRESSES} && exec \"$@\""), "sh"]);
    limited.arg(worker.get_program()).args(worker.get_args());
    let mut worker = sweep.start(&mut limited, "worker");
    wait_until("the end of the sweep", || {
        let attempts = sweep.query("SELECT max(attempt) FROM event").unwrap_or(0);
        assert!(
            attempts <= ATTEMPTS,
            "a trial that ends its worker is tried for the {attempts}th time"
        );
        coordinator.ended()
    });
    assert_eq!(coordinator.wait(), Some(3), "{poison}, {lanes} lanes:\n{}", coordinator.stderr());
    let trials = sweep.csv("trials.csv");
    for trial in &trials {
        let guilty = trial["seed"] == GUILTY.to_string();
        let expected = if guilty { "quarantined" } else { "succeeded" };
        let (state, who) = (&trial["state"], if guilty { "the guilty" } else { "an innocent" });
        assert!(
            state == expected,
            "{who} trial is {state}: {poison}, {lanes} lanes: {trial:?}\n{}",
            worker.stderr()
        );
        assert!(!guilty || trial["error"].contains(error), "{poison}, {lanes} lanes: {trial:?}");
    }
    let guilty: Vec<_> =
        trials.iter().filter(|trial| trial["seed"] == GUILTY.to_string()).collect();
    let results = judge_without(
        &sweep,
        &guilty.iter().map(|trial| trial["trial"].as_str()).collect::<Vec<_>>(),
    );
    end(&mut worker, kind);
    Tally { faults: 1, results, acknowledged: 0 }
}

/// A hanging worker is left running until the test ends.
fn end(worker: &mut Process, kind: &str) {
    if kind != "hang" {
        worker.succeed();
    }
}

/// Runs sweeps in which half of the trials diverge, alone and among lanes.
///
/// # Errors
/// Never.
pub fn diverging(part: Part) -> Result<Tally, Skipped> {
    let mut tally = Tally::default();
    for number in part.seed..part.seed + part.count {
        for lanes in ["1", "4"] {
            let axes = format!(
                "seed = [{number}, {}]\nsubset_size = 42\narchitecture = \"net\"\nlambda = 0",
                number + 1
            );
            let of = |rates: &str| {
                grid(&format!("{axes}\nlearning_rate = {rates}"), 300, "lease_seconds = 8")
            };
            let sweep = judge::sweep(&of("[0.01, 1e30]"));
            let mut coordinator =
                sweep.coordinator("coordinator", &["--local-workers", "1", "--lanes", lanes]);
            assert_eq!(coordinator.wait(), Some(3), "{}", coordinator.stderr());
            let trials = sweep.csv("trials.csv");
            let guilty: Vec<_> =
                trials.iter().filter(|trial| trial["state"] == "quarantined").collect();
            assert_eq!(guilty.len(), 2, "{trials:?}");
            assert!(guilty.iter().all(|trial| trial["error"].contains("diverged")), "{guilty:?}");
            assert!(
                guilty.iter().all(|trial| trial["attempts"] == "1"),
                "it would diverge again: {guilty:?}"
            );
            let ids: Vec<_> = guilty.iter().map(|trial| trial["trial"].as_str()).collect();
            std::fs::write(sweep.grid(), of("0.01")).expect("the test's folder can be written");
            let results = judge_without(&sweep, &ids);
            tally.add(Tally { faults: 2, results, acknowledged: 0 });
        }
    }
    Ok(tally)
}
