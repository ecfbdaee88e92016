//! Scarce memory is not a trial's fault: fewer workers run instead.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use nix::sys::signal::Signal;
use swfn_tests::{
    process::{children, send, wait_until},
    sweep::{JournalLine, Sweep, grid},
};

const AXES: &str = "seed = [1]\nsubset_size = 40\narchitecture = [\"net\", \"net+dropout\"]\nweight_decay = [0, 1e-4, 5e-4]\nlambda = 0";

/// Reads the log of the local workers.
fn worker_log(sweep: &Sweep) -> String {
    fs::read_to_string(sweep.run_dir().join("logs/local-workers.log")).unwrap_or_default()
}

fn of_kind<'j>(journal: &'j [JournalLine], kind: &str) -> Vec<&'j JournalLine> {
    journal.iter().filter(|line| line.kind == kind).collect()
}

#[test]
fn two_killed_processes_reduce_the_workers() {
    let sweep = Sweep::new(AXES, 100).evaluated_every(25).slowed(500);
    let mut coordinator = sweep.coordinator("run", &["--local-workers", "3"]);
    let holders = || sweep.query("SELECT count(DISTINCT worker) FROM event WHERE kind = 'leased'");
    wait_until("three workers with trials", || (holders() == Some(3)).then_some(()));
    let supervisor =
        wait_until("the local workers", || children(coordinator.id()).first().copied());
    let devices = children(supervisor);
    assert_eq!(devices.len(), 3);
    devices[..2].iter().for_each(|device| send(*device, Signal::SIGKILL));
    coordinator.succeed();
    let log = worker_log(&sweep);
    assert_eq!(
        log.matches("leaves, since memory does not suffice for all workers").count(),
        1,
        "{log}"
    );
    assert!(
        log.contains(
            "signal 9, SIGKILL, as with another trial just before: memory is the likely reason"
        ),
        "{log}"
    );
    // The first end may have been a trial's fault; the second one is not.
    let journal = sweep.journal();
    let holders: BTreeSet<_> =
        of_kind(&journal, "lost").iter().map(|lost| holder(&journal, lost)).collect();
    assert_eq!(holders.len(), 1, "{journal:?}");
    assert!(!of_kind(&journal, "released").is_empty(), "{journal:?}");
}

/// Finds the worker whose lease ended like that.
fn holder(journal: &[JournalLine], end: &JournalLine) -> String {
    let leased = |line: &&JournalLine| {
        line.kind == "leased" && (&line.trial, line.attempt) == (&end.trial, end.attempt)
    };
    journal.iter().find(leased).and_then(|line| line.worker.clone()).expect("it was leased")
}

#[test]
fn an_aborting_trial_costs_no_worker() {
    let axes = AXES
        .replace("seed = [1]", "seed = [0, 1, 2]")
        .replace("[0, 1e-4, 5e-4]", "0")
        .replace(", \"net+dropout\"", "");
    let sweep = Sweep::with_grid(&grid(&axes, 100, "lease_seconds = 60\nmax_losses = 2"))
        .on(swfn_tests::images::few());
    let sweep = sweep.with("SWFN_POISON", "seed=1,step=50,kind=abort");
    let mut coordinator = sweep.coordinator("run", &["--local-workers", "2"]);
    assert_eq!(coordinator.wait(), Some(3), "{}", coordinator.stderr());
    let states: Vec<_> =
        sweep.csv("trials.csv").iter().map(|trial| trial["state"].clone()).collect();
    assert_eq!(states, ["succeeded", "quarantined", "succeeded"]);
    assert!(!worker_log(&sweep).contains("memory"), "{}", worker_log(&sweep));
}

/// A control group of this test, if this machine allows one.
struct Group(PathBuf);

impl Group {
    /// Makes a group with that limit, in bytes.
    fn new(limit: u64) -> Result<Self, String> {
        let groups = fs::read_to_string("/proc/self/cgroup").map_err(|error| error.to_string())?;
        let path_of = |line: &str| {
            line.splitn(3, ':').nth(2).unwrap_or("").trim_start_matches('/').to_owned()
        };
        let root = Path::new("/sys/fs/cgroup");
        let old = groups
            .lines()
            .find(|line| line.contains(":memory:"))
            .map(|line| (root.join("memory").join(path_of(line)), "memory.limit_in_bytes"));
        let new = || {
            groups
                .lines()
                .find(|line| line.starts_with("0::"))
                .map(|line| (root.join(path_of(line)), "memory.max"))
        };
        let (parent, file) = old.or_else(new).ok_or("this process is in no control group")?;
        let folder = parent.join(format!("swfn-test-{}", std::process::id()));
        fs::create_dir(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
        let group = Self(folder);
        fs::write(group.0.join(file), limit.to_string())
            .map_err(|error| format!("{file}: {error}"))?;
        Ok(group)
    }

    /// Makes that command run within the group.
    fn run(&self, command: &Command) -> Command {
        let mut within = Command::new("sh");
        within.args(["-c", "echo $$ >\"$0\" && exec \"$@\""]).arg(self.0.join("cgroup.procs"));
        within.arg(command.get_program()).args(command.get_args());
        within
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        fs::remove_dir(&self.0).ok();
    }
}

#[test]
fn a_small_control_group_blames_no_trial() {
    // The group has room for four workers, but each trial needs 400 MiB more.
    let group = match Group::new(1100 << 20) {
        Ok(group) => group,
        Err(reason) => return println!("skipped: no control group can be made here: {reason}"),
    };
    let sweep = Sweep::new(AXES, 100)
        .evaluated_every(25)
        .slowed(300)
        .with("SWFN_POISON", "seed=1,step=1,kind=swell");
    let command = sweep.coordinator_command(&["--local-workers", "4"]);
    let mut coordinator = sweep.start(&mut group.run(&command), "run");
    coordinator.succeed();
    let log = worker_log(&sweep);
    assert!(log.contains("killed for want of memory, which is limited to 1153 MB"), "{log}");
    assert!(
        (1..=3).contains(&log.matches("leaves, since memory does not suffice").count()),
        "{log}"
    );
    assert!(sweep.csv("trials.csv").iter().all(|trial| trial["state"] == "succeeded"));
}
