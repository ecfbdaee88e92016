//! Measures the time from the coordinator's start to the first steps of a local worker.

use std::{fs, path::Path};

use anyhow::Context as _;
use serde_json::{Value, json};
use swfn_tests::timeline::{first, seconds, time};

use crate::{median, recreate, rounded, run, table};

/// Runs of the sweep. The first one fills the caches and does not count.
const RUNS: usize = 6;

/// One trial with function norm, of as few steps as are reported.
const GRID: &str = "version = 1\nname = \"start\"\n[data]\ndataset = \"synthetic\"\n[grid]\nsubset_size = 300\nseed = [0]\n\
                    architecture = \"net\"\nlambda = 0.1\n[classifier]\niterations = 100\n[vae]\niterations = 100\n";

/// The milestones, each with the log line that marks it.
const MILESTONES: [(&str, &str, Option<&str>); 4] = [
    ("the coordinator's store is there", "sweep start", None),
    ("a worker has loaded libtorch", "worker starts", None),
    ("it is connected", "connected", None),
    ("it has trained 100 steps", "reported", Some("train/loss")),
];

pub(crate) fn measure(folder: &Path) -> anyhow::Result<Value> {
    let folder = folder.join("start");
    recreate(&folder)?;
    let grid = folder.join("grid.toml");
    fs::write(&grid, GRID).with_context(|| format!("cannot write `{}`", grid.display()))?;
    let mut times = MILESTONES.map(|_| Vec::new());
    for number in 0..RUNS {
        let run = run::sweep(&grid, &folder, &format!("run-{number}"), &folder.join("cache"), 1)?;
        for ((what, message, metric), times) in
            MILESTONES.iter().zip(&mut times).filter(|_| number > 0)
        {
            let line = first(&run.log, message, *metric).and_then(time);
            times.push(seconds(
                run.start,
                line.with_context(|| format!("no log line says that {what}"))?,
            ));
        }
    }
    let rows = MILESTONES.iter().zip(&times).map(|((what, ..), times)| {
        let most = times.iter().copied().fold(0.0, f64::max);
        vec![(*what).to_owned(), format!("{:.2}", median(times)), format!("{most:.2}")]
    });
    let notes = [
        "Seconds since the coordinator was started, by the log; one local worker, a trained VAE in the cache.",
        &format!("{} starts after one that filled the caches.", RUNS - 1),
    ];
    table::print("Start", &["until"], &["median s", "longest s"], rows, &notes);
    let [coordinator, loaded, connected, trained] =
        times.each_ref().map(|times| rounded(median(times), 3));
    Ok(json!({
        "seconds_to_coordinator": coordinator,
        "seconds_to_worker": loaded,
        "seconds_to_connected": connected,
        "seconds_to_first_100_steps": trained,
        "seconds_to_first_100_steps_all": times[3].iter().map(|t| rounded(*t, 3)).collect::<Vec<_>>(),
    }))
}
