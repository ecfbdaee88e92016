//! `make chaos` runs all scenarios with the numbers of the promises. `make mutants` runs each
//! planted bug against the scenarios that must notice it.
//!
//! Scenarios are cut into parts. Each part runs in a process of its own, so that a failure ends no
//! other part. Several run at a time.

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::disallowed_methods,
    reason = "developers read it, as it comes"
)]

mod jobs;
mod tables;

use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use swfn_tests::chaos::{
    bugs,
    scenario::{self, Part, Scenario},
};

use self::jobs::{Job, SKIPPED, Surroundings, side_by_side, usual_number};

/// Seconds that no wait takes, even on crowded cores.
const LIMIT: u32 = 600;

/// The same limit for runs in which most parts are meant to fail.
const MUTANTS_LIMIT: u32 = 300;

#[derive(Debug, Parser)]
struct Arguments {
    #[command(subcommand)]
    command: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Run scenarios and print a table of them
    All(All),
    /// Run planted bugs and print a table of the scenarios that noticed them
    Mutants {
        /// Only these bugs [default: all]
        names: Vec<String>,
        /// Parts at a time [default: three for each core]
        #[arg(long)]
        jobs: Option<usize>,
    },
    /// Run one part of a scenario: so many faults, from that seed on
    Scenario { name: String, count: u32, seed: u32 },
}

#[derive(Debug, Args)]
struct All {
    /// Only scenarios whose name or promise is given here [default: all]
    names: Vec<String>,
    /// Percent of the promises' numbers
    #[arg(long, default_value_t = 100)]
    percent: u32,
    /// Run one part alone, with this seed
    #[arg(long)]
    seed: Option<u32>,
    /// Faults in that part [default: as many as parts have]
    #[arg(long, requires = "seed")]
    count: Option<u32>,
    /// Parts at a time [default: three for each core]
    #[arg(long)]
    jobs: Option<usize>,
}

fn main() -> ExitCode {
    match Arguments::parse().command {
        What::All(all) => run_all(&all),
        What::Mutants { names, jobs } => mutants(&names, jobs),
        What::Scenario { name, count, seed } => one(&name, Part { seed, count }),
    }
}

/// Runs a part in this process. A panic is its failure.
fn one(name: &str, part: Part) -> ExitCode {
    let Some(scenario) = scenario::named(name) else {
        eprintln!("error: there is no scenario `{name}`");
        return ExitCode::FAILURE;
    };
    match (scenario.run)(part) {
        Ok(tally) => println!("{tally}"),
        Err(reason) => {
            println!("{reason}");
            return ExitCode::from(SKIPPED);
        }
    }
    ExitCode::SUCCESS
}

fn run_all(all: &All) -> ExitCode {
    let wanted = |scenario: &&Scenario| {
        all.names.is_empty()
            || all.names.iter().any(|name| [scenario.name, scenario.promise].contains(&&**name))
    };
    let scenarios: Vec<_> = scenario::ALL.iter().filter(wanted).collect();
    let mut parts: Vec<_> = scenarios.iter().flat_map(|scenario| parts(scenario, all)).collect();
    // Parts of all scenarios are mixed, since some wait while others compute.
    parts.sort_by(|(one, _), (other, _)| one.total_cmp(other));
    let jobs = parts.into_iter().map(|(_, job)| job).collect();
    tables::scenarios(&scenarios, jobs, all.jobs.unwrap_or_else(usual_number), LIMIT)
}

/// Cuts a scenario into parts, each with its position among them, from 0 to 1.
fn parts(scenario: &'static Scenario, all: &All) -> Vec<(f64, Job)> {
    let job = |part| Job { scenario, part, bug: None };
    if let Some(seed) = all.seed {
        let part = Part { seed, count: all.count.unwrap_or(scenario.part) };
        return vec![(0.0, job(part))];
    }
    let many = (scenario.many * all.percent).div_ceil(100);
    let seeds = (0..many).step_by(scenario.part as usize);
    let part = |seed| Part { seed, count: scenario.part.min(many - seed) };
    seeds.map(|seed| (f64::from(seed) / f64::from(many), job(part(seed)))).collect()
}

fn mutants(names: &[String], at_a_time: Option<usize>) -> ExitCode {
    let wanted = |bug: &str| names.is_empty() || names.iter().any(|name| name == bug);
    let bugs: Vec<_> = bugs::ALL.iter().filter(|bug| wanted(bug.name)).collect();
    let job = |scenario: &'static Scenario, bug| Job { scenario, part: Part::few(scenario), bug };
    // The scenarios also run without any bug: one that always fails notices nothing.
    let needed = scenario::ALL
        .iter()
        .filter(|scenario| bugs.iter().any(|bug| bug.noticed_by == scenario.name));
    let sound = needed.map(|scenario| job(scenario, None));
    let planted = bugs.iter().map(|bug| {
        job(scenario::named(bug.noticed_by).expect("bugs name scenarios"), Some(bug.name))
    });
    tables::mutants(
        sound.chain(planted).collect(),
        at_a_time.unwrap_or_else(usual_number),
        MUTANTS_LIMIT,
    )
}
