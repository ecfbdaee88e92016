//! All scenarios with the numbers of the promises: `make chaos`; each planted bug against those that must notice it: `make mutants`.
//!
//! Each scenario runs in a process of its own, started from here, so that one that fails does not end the others.

use std::{
    env, fs,
    process::{Command, ExitCode, Stdio},
    time::{Duration, Instant},
};

use clap::{Parser, Subcommand};
use comfy_table::{Table, presets};
use swfn_tests::chaos::{
    bugs,
    scenario::{self, Scenario},
};

/// Exit code of a scenario that this machine cannot do.
const SKIPPED: u8 = 77;

#[derive(Debug, Parser)]
struct Arguments {
    #[command(subcommand)]
    command: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Scenarios, and a table of them
    All {
        /// Only those whose name or promise is named here [default: all]
        names: Vec<String>,
        /// Percent of the promises' numbers
        #[arg(long, default_value_t = 100)]
        percent: u32,
    },
    /// Planted bugs, and a table of who noticed them
    Mutants {
        /// Only these [default: all]
        names: Vec<String>,
    },
    /// One scenario with so many faults
    Scenario { name: String, count: u32 },
}

fn main() -> ExitCode {
    match Arguments::parse().command {
        What::All { names, percent } => all(&names, percent),
        What::Mutants { names } => mutants(&names),
        What::Scenario { name, count } => one(&name, count),
    }
}

/// Runs here. A panic is its failure.
fn one(name: &str, count: u32) -> ExitCode {
    let Some(scenario) = scenario::named(name) else {
        eprintln!("error: there is no scenario `{name}`");
        return ExitCode::FAILURE;
    };
    match (scenario.run)(count) {
        Ok(tally) => println!("{} {} {}", tally.faults, tally.results, tally.acknowledged),
        Err(reason) => {
            println!("{reason}");
            return ExitCode::from(SKIPPED);
        }
    }
    ExitCode::SUCCESS
}

/// How a scenario went.
enum Verdict {
    /// Faults, results, acknowledged reports.
    Kept(Vec<String>),
    Skipped(String),
    Broken(String),
}

/// Runs in a process of its own.
fn apart(scenario: &Scenario, count: u32, bug: Option<&str>, limit: &str) -> (Verdict, Duration) {
    let start = Instant::now();
    let program = env::current_exe().expect("a running program has a path");
    let mut command = Command::new(program);
    command.args(["scenario", scenario.name, &count.to_string()]).stdin(Stdio::null());
    command.env("SWFN_TEST_LIMIT", limit).env("RUST_BACKTRACE", "0").env_remove("SWFN_BUG");
    command.envs(bug.map(|bug| ("SWFN_BUG", bug)));
    let output = command.output().expect("a program can start itself");
    let said = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    let verdict = match output.status.code() {
        Some(0) => Verdict::Kept(said.split(' ').map(str::to_owned).collect()),
        Some(code) if code == i32::from(SKIPPED) => Verdict::Skipped(said),
        _ => {
            let log = String::from_utf8_lossy(&output.stderr).into_owned();
            let kept = env::temp_dir().join(format!("swfn-chaos-{}.log", bug.unwrap_or(scenario.name)));
            fs::write(kept, &log).ok();
            Verdict::Broken(last_words(&log))
        }
    };
    (verdict, start.elapsed())
}

/// What a panic said, in short.
fn last_words(log: &str) -> String {
    let said = log.lines().skip_while(|line| !line.contains("panicked at")).nth(1).unwrap_or("no word");
    said.chars().take(100).collect()
}

fn table(header: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::ASCII_MARKDOWN).set_header(header);
    table
}

fn all(names: &[String], percent: u32) -> ExitCode {
    let mut table =
        table(&["promise", "scenario", "faults", "results equal", "acknowledged and kept", "verdict", "time"]);
    let mut broken = 0;
    for scenario in scenario::ALL {
        if !names.is_empty() && !names.iter().any(|name| [scenario.name, scenario.promise].contains(&&**name)) {
            continue;
        }
        let count = (scenario.many * percent).div_ceil(100);
        let (verdict, time) = apart(scenario, count, None, "180");
        let (numbers, verdict) = match verdict {
            Verdict::Kept(numbers) => (numbers, "kept".to_owned()),
            Verdict::Skipped(reason) => (vec![String::new(); 3], format!("skipped: {reason}")),
            Verdict::Broken(words) => {
                broken += 1;
                (vec![String::new(); 3], format!("BROKEN: {words}"))
            }
        };
        eprintln!("{} {}: {verdict} ({time:.0?})", scenario.promise, scenario.name);
        let row =
            [&[scenario.promise.to_owned(), scenario.name.to_owned()], &*numbers, &[verdict, format!("{time:.0?}")]];
        table.add_row(row.concat());
    }
    println!("{table}");
    if broken == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn mutants(names: &[String]) -> ExitCode {
    let mut table = table(&["bug", "scenario", "verdict", "time"]);
    let mut survivors = 0;
    let wanted = |bug: &str| names.is_empty() || names.iter().any(|name| name == bug);
    let bugs: Vec<_> = bugs::ALL.iter().filter(|(bug, _)| wanted(bug)).collect();
    // First without any: who always fails notices nothing.
    let needed = scenario::ALL.iter().filter(|s| bugs.iter().any(|(_, by)| by.contains(&s.name)));
    let sound = needed.map(|scenario| (scenario, None));
    let planted = bugs.iter().flat_map(|(bug, by)| by.iter().map(|name| (name, *bug)));
    let planted = planted.map(|(name, bug)| (scenario::named(name).expect("bugs name scenarios"), Some(bug)));
    for (scenario, bug) in sound.chain(planted) {
        let (verdict, time) = apart(scenario, scenario.few, bug, "60");
        let (good, verdict) = match (verdict, bug) {
            (Verdict::Skipped(reason), _) => (true, format!("skipped: {reason}")),
            (Verdict::Kept(_), None) => (true, "passes".to_owned()),
            (Verdict::Broken(words), None) => (false, format!("FAILS WITHOUT A BUG: {words}")),
            (Verdict::Kept(_), Some(_)) => (false, "SURVIVES".to_owned()),
            (Verdict::Broken(words), Some(_)) => (true, format!("caught: {words}")),
        };
        survivors += u32::from(!good);
        let bug = bug.unwrap_or("-");
        eprintln!("{bug}, {}: {verdict} ({time:.0?})", scenario.name);
        table.add_row([bug, scenario.name, &verdict, &format!("{time:.0?}")]);
    }
    println!("{table}");
    if survivors == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
