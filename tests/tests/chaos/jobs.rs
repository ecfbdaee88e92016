//! Parts of scenarios, each in its own process, several of them at a time.

use std::{
    collections::VecDeque,
    env, fs, io,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{Mutex, PoisonError},
    thread,
    time::{Duration, Instant},
};

use swfn_tests::{
    chaos::{
        judge::UNDISTURBED,
        scenario::{Part, Scenario, Tally},
    },
    process::LIMIT,
    programs,
};
use tempfile::TempDir;

/// Exit code of a scenario that this machine cannot run.
pub(crate) const SKIPPED: u8 = 77;

/// A part of a scenario, with or without a planted bug.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Job {
    pub(crate) scenario: &'static Scenario,
    pub(crate) part: Part,
    pub(crate) bug: Option<&'static str>,
}

impl Job {
    /// Returns the command that runs this part again.
    pub(crate) fn command(&self) -> String {
        let Self { scenario, part: Part { seed, count }, bug } = self;
        let bug = bug.map(|bug| format!("SWFN_BUG={bug} ")).unwrap_or_default();
        format!("{bug}make chaos NAMES={} SEED={seed} COUNT={count}", scenario.name)
    }
}

/// The outcome of a part.
#[derive(Debug, Clone)]
pub(crate) enum Verdict {
    Kept(Tally),
    Skipped(String),
    /// The part failed, with the message of its panic.
    Broken(String),
}

/// Surroundings that all parts share: undisturbed sweeps, and a folder for the logs of failed
/// parts.
pub(crate) struct Surroundings {
    undisturbed: TempDir,
    logs: PathBuf,
    /// The limit of each wait, in seconds.
    limit: u32,
}

impl Surroundings {
    pub(crate) fn new(limit: u32) -> io::Result<Self> {
        let logs = programs::folder().join("chaos");
        fs::create_dir_all(&logs)?;
        Ok(Self { undisturbed: TempDir::new()?, logs, limit })
    }

    pub(crate) fn logs(&self) -> &Path {
        &self.logs
    }

    fn run(&self, job: &Job) -> Verdict {
        let Job { scenario, part, bug } = job;
        let program = env::current_exe().expect("a running program has a path");
        let mut command = Command::new(program);
        let numbers = [part.count, part.seed].map(|number| number.to_string());
        command.args(["scenario", scenario.name]).args(numbers).stdin(Stdio::null());
        command.env(LIMIT, self.limit.to_string()).env("RUST_BACKTRACE", "0");
        command.env(UNDISTURBED, self.undisturbed.path());
        command.envs(bug.map(|bug| ("SWFN_BUG", bug)));
        let output = command.output().expect("a program can start itself");
        let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        match output.status.code() {
            Some(0) => {
                Verdict::Kept(text.parse().expect("a scenario that succeeds says its numbers"))
            }
            Some(code) if code == i32::from(SKIPPED) => Verdict::Skipped(text),
            _ => {
                let log = String::from_utf8_lossy(&output.stderr).into_owned();
                let name =
                    format!("{}-{}-{}.log", scenario.name, part.seed, bug.unwrap_or("sound"));
                fs::write(self.logs.join(name), &log).ok();
                Verdict::Broken(last_words(&log).to_owned())
            }
        }
    }
}

/// Returns the message of the first panic; empty if the process was killed.
fn last_words(log: &str) -> &str {
    let text = log.split_once("panicked at").and_then(|(_, text)| text.split_once('\n'));
    text.map_or("", |(_, text)| text)
}

/// Shortens a message.
pub(crate) fn short(words: &str) -> String {
    words.lines().next().unwrap_or("no word").chars().take(110).collect()
}

/// Runs all parts, so many at a time, and reports each when it is done.
pub(crate) fn side_by_side(
    jobs: Vec<Job>,
    at_a_time: usize,
    surroundings: &Surroundings,
    done: impl Fn(&Job, &Verdict, Duration) + Sync,
) -> Vec<(Job, Verdict, Duration)> {
    let (waiting, ended) = (Mutex::new(VecDeque::from(jobs)), Mutex::new(Vec::new()));
    let next = || waiting.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
    let work = || {
        while let Some(job) = next() {
            let start = Instant::now();
            let verdict = surroundings.run(&job);
            let time = start.elapsed();
            done(&job, &verdict, time);
            ended.lock().unwrap_or_else(PoisonError::into_inner).push((job, verdict, time));
        }
    };
    thread::scope(|scope| (0..at_a_time.max(1)).for_each(|_| drop(scope.spawn(work))));
    ended.into_inner().unwrap_or_else(PoisonError::into_inner)
}

/// Returns three for each core, because most parts wait most of the time.
pub(crate) fn usual_number() -> usize {
    3 * thread::available_parallelism().map_or(1, usize::from)
}
