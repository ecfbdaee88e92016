//! Measures a whole sweep: trials per hour, time by activity, memory.

use std::path::Path;

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};
use swfn_tests::timeline::{Shares, seconds, shares, trials};

use crate::{command, recreate, rounded, run, table};

/// The most workers. The grid has a few dozen trials, and more workers would mostly wait for the
/// last ones.
const MOST_WORKERS: usize = 8;

const MIB: f64 = 1024.0 * 1024.0;

pub(crate) fn measure(folder: &Path, cores: usize) -> anyhow::Result<Value> {
    let folder = folder.join("sweep");
    recreate(&folder)?;
    let grid = command::repository().join("coordinator/grids/bench.toml");
    let workers = cores.min(MOST_WORKERS);
    eprintln!("sweep: `{}` with {workers} workers", grid.display());
    let run = run::sweep(&grid, &folder, "run", &folder.join("cache"), workers)?;
    let times = trials(&run.log, &run.results).context("the workers' log lacks a trial")?;
    let count = times.len();
    ensure!(count > 0, "the sweep had no trials");
    let wall = seconds(run.start, run.end);
    let per_hour = count as f64 * 3600.0 / wall;
    let spent = shares(run.start, run.end, &times);
    let Shares { start, vae, training, evaluation, between, end } = spent;
    let all = start + vae + training + evaluation + between + end;
    let parts = [
        ("start", start),
        ("training of VAEs", vae),
        ("training of classifiers", training),
        ("evaluation", evaluation),
        ("between trials", between),
        ("after the last trial", end),
    ];
    let rows = parts.iter().map(|(what, seconds)| {
        vec![(*what).to_owned(), format!("{seconds:.1}"), format!("{:.1} %", 100.0 * seconds / all)]
    });
    let memory = format!(
        "Peak memory: {:.0} MiB a worker, {:.0} MiB the coordinator (VmHWM; libtorch's pages, which processes share, included).",
        run.worker_memory as f64 / MIB,
        run.coordinator_memory as f64 / MIB
    );
    let notes = [
        "By the workers' log: the seconds of each trial; an evaluation is from the last report of a training loss to that of",
        "the test results; what a worker waits for itself and others is the rest.",
        &memory,
    ];
    let title = format!(
        "Sweep: {count} trials, {workers} workers, {wall:.0} s, {per_hour:.0} trials per hour"
    );
    table::print(&title, &["worker time"], &["s", "share"], rows, &notes);
    let share = |seconds: f64| rounded(seconds / all, 4);
    Ok(json!({
        "trials": count,
        "workers": workers,
        "seconds": rounded(wall, 2),
        "trials_per_hour": rounded(per_hour, 1),
        "shares": {
            "start": share(start),
            "vae": share(vae),
            "training": share(training),
            "evaluation": share(evaluation),
            "between_trials": share(between),
            "after_the_last_trial": share(end),
        },
        "peak_memory_mib": {
            "worker": rounded(run.worker_memory as f64 / MIB, 1),
            "coordinator": rounded(run.coordinator_memory as f64 / MIB, 1),
        },
    }))
}
