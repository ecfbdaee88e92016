//! Prints the outcomes as tables on standard output, and each part on standard error when it is
//! done.

use std::{
    process::ExitCode,
    time::{Duration, Instant},
};

use comfy_table::{Table, presets};
use swfn_tests::chaos::{
    bugs,
    scenario::{Part, Scenario, Tally},
};

use super::{
    Job, Surroundings,
    jobs::{Verdict, short},
    side_by_side,
};

fn table(header: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::ASCII_MARKDOWN).set_header(header);
    table
}

/// Runs jobs and reports each.
fn run(
    jobs: Vec<Job>,
    at_a_time: usize,
    limit: u32,
) -> (Vec<(Job, Verdict, Duration)>, Surroundings) {
    let surroundings = Surroundings::new(limit).expect("folders can be made");
    let count = jobs.len();
    let (start, ended) = (Instant::now(), std::sync::atomic::AtomicUsize::new(0));
    let tell = |job: &Job, verdict: &Verdict, time: Duration| {
        let done = ended.fetch_add(1, std::sync::atomic::Ordering::Relaxed) + 1;
        let Part { seed, count: faults } = job.part;
        let output = match (verdict, job.bug) {
            (Verdict::Kept(tally), _) => format!("kept ({} faults)", tally.faults),
            (Verdict::Skipped(reason), _) => format!("skipped: {reason}"),
            (Verdict::Broken(words), None) => {
                format!("BROKEN: {}\nagain: {}", short(words), job.command())
            }
            (Verdict::Broken(words), Some(_)) => format!("broken: {}", short(words)),
        };
        let bug = job.bug.map(|bug| format!(" with {bug}")).unwrap_or_default();
        let name = job.scenario.name;
        eprintln!(
            "{done}/{count} after {:.0?}: {name} {faults} from {seed}{bug}, {time:.0?}: {output}",
            start.elapsed()
        );
    };
    let ended = side_by_side(jobs, at_a_time, &surroundings, tell);
    println!("{count} parts, {at_a_time} at a time, in {:.0?}", start.elapsed());
    (ended, surroundings)
}

/// Prints a row for each scenario, with the sum of its parts.
pub(crate) fn scenarios(
    scenarios: &[&'static Scenario],
    jobs: Vec<Job>,
    at_a_time: usize,
    limit: u32,
) -> ExitCode {
    let (ended, surroundings) = run(jobs, at_a_time, limit);
    let header = [
        "promise",
        "scenario",
        "parts",
        "faults",
        "results equal",
        "acknowledged and kept",
        "verdict",
        "time of all parts",
    ];
    let mut table = table(&header);
    let mut broken = Vec::new();
    for scenario in scenarios {
        let (mut sum, mut spent, mut parts, mut verdict) =
            (Tally::default(), Duration::ZERO, 0, "kept".to_owned());
        for (job, outcome, time) in
            ended.iter().filter(|(job, _, _)| job.scenario.name == scenario.name)
        {
            parts += 1;
            spent += *time;
            match outcome {
                Verdict::Kept(tally) => sum.add(*tally),
                Verdict::Skipped(reason) => verdict = format!("skipped: {reason}"),
                Verdict::Broken(words) => {
                    verdict = "BROKEN".to_owned();
                    broken.push(format!("{}\nagain: {}", short(words), job.command()));
                }
            }
        }
        let Tally { faults, results, acknowledged } = sum;
        let numbers = [parts, faults, results, acknowledged].map(|number: u64| number.to_string());
        let names = [scenario.promise, scenario.name].map(str::to_owned);
        table.add_row([&names[..], &numbers, &[verdict, format!("{spent:.0?}")]].concat());
    }
    println!("{table}");
    broken.iter().for_each(|broken| println!("BROKEN: {broken}"));
    if broken.is_empty() {
        return ExitCode::SUCCESS;
    }
    println!("logs: {}", surroundings.logs().display());
    ExitCode::FAILURE
}

/// Prints a row for each bug and each scenario that must notice it.
pub(crate) fn mutants(jobs: Vec<Job>, at_a_time: usize, limit: u32) -> ExitCode {
    let (mut ended, _) = run(jobs, at_a_time, limit);
    ended.sort_by_key(|(job, _, _)| (job.bug, job.scenario.name));
    let mut table = table(&["bug", "scenario", "verdict", "time"]);
    let mut survivors = 0;
    for (job, verdict, time) in ended {
        let (good, verdict) = match (verdict, job.bug) {
            (Verdict::Skipped(reason), _) => (true, format!("skipped: {reason}")),
            (Verdict::Kept(_), None) => (true, "passes".to_owned()),
            (Verdict::Broken(words), None) => {
                (false, format!("FAILS WITHOUT A BUG: {}", short(&words)))
            }
            (Verdict::Kept(_), Some(_)) => (false, "SURVIVES".to_owned()),
            (Verdict::Broken(words), Some(name)) => {
                let messages = bugs::named(name).expect("jobs have known bugs").messages;
                match messages.iter().find(|form| words.contains(**form)) {
                    Some(form) => (true, format!("caught: {form}")),
                    // The scenario failed for another reason, or without naming the bug.
                    None => (false, format!("NOT NAMED: {}", short(&words))),
                }
            }
        };
        survivors += u32::from(!good);
        table.add_row([
            job.bug.unwrap_or("-"),
            job.scenario.name,
            &verdict,
            &format!("{time:.0?}"),
        ]);
    }
    println!("{table}");
    if survivors == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
