//! Compares steps of training with PyTorch's, measured in turn, and with their arithmetic as
//! products of large matrices.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::Context as _;
use serde_json::{Value, json};
use swfn_shared::{
    grid::{DEFAULT_MAX_TRIALS, Grid},
    trial::TrialSpec,
    work::{classifier_flop, vae_flop},
};
use swfn_tests::timeline;

use crate::{command, median, pytorch::PyTorch, recreate, rounded, table};

/// Names of cases, as in the worker's benchmark of steps and bench.py.
const CASES: [&str; 7] = ["net", "net fn", "lenet", "lenet fn", "lenet+bn", "lenet+bn fn", "vae"];

const EVALUATIONS: [&str; 3] = ["net", "lenet", "lenet+bn"];

/// Floating-point operations of the product that `sgemm` measures: its multiply-adds, times two.
const SGEMM_FLOP: f64 = 2.0 * 1024.0 * 1024.0 * 1024.0;

/// Microseconds, one value for each round.
#[derive(Default)]
struct Times {
    ours: Vec<f64>,
    theirs: Vec<f64>,
}

impl Times {
    /// Returns PyTorch's time over ours in each round, whose two measurements follow directly on
    /// each other.
    fn ratios(&self) -> Vec<f64> {
        self.ours.iter().zip(&self.theirs).map(|(ours, theirs)| theirs / ours).collect()
    }
}

pub(crate) fn measure(folder: &Path, rounds: u32, python: Option<&Path>) -> anyhow::Result<Value> {
    let criterion = folder.join("criterion");
    recreate(&criterion)?;
    let program = build()?;
    let pytorch = PyTorch::find(python);
    if let Err(reason) = &pytorch {
        eprintln!("note: no comparison with PyTorch: {reason}");
    }
    let mut steps = CASES.map(|case| (case, Times::default()));
    let mut evaluations = EVALUATIONS.map(|architecture| (architecture, Vec::new()));
    let mut sgemm = Vec::new();
    for round in 1..=rounds {
        eprintln!("steps: round {round} of {rounds}");
        for (case, times) in &mut steps {
            times.ours.push(micros(&program, &criterion, "step", case)?);
            if let Ok(pytorch) = &pytorch {
                times.theirs.push(pytorch.step(case)?);
            }
        }
        for (architecture, times) in &mut evaluations {
            times.push(micros(&program, &criterion, "evaluation", architecture)?);
        }
        sgemm.push(micros(&program, &criterion, "sgemm", "1024")?);
    }
    let rate = SGEMM_FLOP / median(&sgemm) * 1e6;
    let mut rows = Vec::new();
    let mut json_steps = Vec::new();
    for (case, times) in &steps {
        let (micros, flop, ratios) = (median(&times.ours), step_flop(case)?, times.ratios());
        let share = flop / rate * 1e6 / micros;
        // Both are empty if PyTorch is missing.
        let (theirs, ratio) = (median(&times.theirs), median(&ratios));
        let least = ratios.iter().copied().fold(f64::INFINITY, f64::min);
        let most = ratios.iter().copied().fold(0.0, f64::max);
        let or_none = |text: String| if ratios.is_empty() { "–".to_owned() } else { text };
        rows.push(vec![
            (*case).to_owned(),
            format!("{micros:.0}"),
            format!("{:.0}", 1e6 / micros),
            or_none(format!("{theirs:.0}")),
            or_none(format!("{ratio:.2}")),
            or_none(format!("{least:.2}–{most:.2}")),
            format!("{:.1}", flop / 1e6),
            format!("{:.0} %", 100.0 * share),
        ]);
        json_steps.push(json!({
            "case": case,
            "microseconds": rounded(micros, 1),
            "microseconds_rounds": times.ours.iter().map(|t| rounded(*t, 1)).collect::<Vec<_>>(),
            "pytorch_microseconds": (!ratios.is_empty()).then(|| rounded(theirs, 1)),
            "times_as_fast": (!ratios.is_empty()).then(|| rounded(ratio, 3)),
            "times_as_fast_rounds": ratios.iter().map(|r| rounded(*r, 3)).collect::<Vec<_>>(),
            "mflop": rounded(flop / 1e6, 3),
            "share_of_sgemm": rounded(share, 3),
        }));
    }
    let columns = ["us", "steps/s", "PyTorch us", "times as fast", "range", "MFLOP", "of sgemm"];
    let notes = [
        format!(
            "Processor time of one thread, medians of {rounds} rounds; PyTorch ({}) and ours by turns, the ratio within each round.",
            pytorch.as_ref().map_or("none", |pytorch| &pytorch.version)
        ),
        format!(
            "Of sgemm: the time that as many operations take in torch's product of 1024 x 1024 matrices ({:.0} GFLOP/s),",
            rate / 1e9
        ),
        "over the time of the step. It may be beyond 100 %: behind max-pooling the kernels leave out gradients that are zero,"
            .to_owned(),
        "and their vectors may be wider than those of torch's product.".to_owned(),
    ];
    table::print(
        "Steps of training",
        &["step"],
        &columns,
        rows,
        &notes.each_ref().map(String::as_str),
    );
    let rows = evaluations.iter().map(|(architecture, times)| {
        vec![(*architecture).to_owned(), format!("{:.1}", median(times) / 1e3)]
    });
    table::print(
        "Evaluations of 1,000 images, processor time of one thread",
        &["architecture"],
        &["ms"],
        rows,
        &[],
    );
    let json_evaluations = evaluations.iter().map(|(architecture, times)| {
        json!({ "architecture": architecture, "images": 1000, "microseconds": rounded(median(times), 1) })
    });
    Ok(json!({
        "rounds": rounds,
        "pytorch": pytorch.as_ref().map_or_else(|why| json!({ "skipped": why }), |pytorch| json!(pytorch.version)),
        "sgemm_gflops": rounded(rate / 1e9, 1),
        "training": json_steps,
        "evaluation": json_evaluations.collect::<Vec<_>>(),
    }))
}

/// Builds the worker's benchmark of steps. It runs without cargo, which would rebuild it if a
/// source changed meanwhile.
fn build() -> anyhow::Result<PathBuf> {
    let mut cargo = command::cargo();
    cargo.args([
        "bench",
        "--quiet",
        "--locked",
        "--package",
        "swfn-worker",
        "--bench",
        "steps",
        "--no-run",
    ]);
    let messages = command::output(cargo.args(["--message-format", "json-render-diagnostics"]))?;
    let programs = timeline::lines(&messages)
        .into_iter()
        .filter(|line| line.pointer("/target/name") == Some(&json!("steps")));
    let program = programs
        .filter_map(|line| Some(PathBuf::from(line.get("executable")?.as_str()?)))
        .next_back();
    program.context("cargo has built no benchmark of steps")
}

/// Runs one benchmark and reads its median from criterion's files.
fn micros(program: &Path, criterion: &Path, group: &str, name: &str) -> anyhow::Result<f64> {
    let filter = format!("^{group}/{}$", name.replace('+', "\\+"));
    command::output(
        Command::new(program)
            .env("CRITERION_HOME", criterion)
            .args(["--bench", "--noplot", &filter]),
    )?;
    let file = criterion.join(group).join(name).join("new").join("estimates.json");
    let text =
        fs::read_to_string(&file).with_context(|| format!("cannot read `{}`", file.display()))?;
    let nanos = serde_json::from_str::<Value>(&text)
        .ok()
        .and_then(|all| all.pointer("/median/point_estimate")?.as_f64());
    Ok(nanos.with_context(|| format!("`{}` has no median", file.display()))? / 1e3)
}

/// Returns the floating-point operations of a step: the difference between two trials of different
/// length with equal evaluations.
fn step_flop(case: &str) -> anyhow::Result<f64> {
    if case == "vae" {
        return Ok(vae_flop(&trial("net", 0.1, 1)?));
    }
    let (architecture, lambda) =
        case.strip_suffix(" fn").map_or((case, 0.0), |architecture| (architecture, 0.1));
    Ok(classifier_flop(&trial(architecture, lambda, 2)?)
        - classifier_flop(&trial(architecture, lambda, 1)?))
}

/// Makes the published trial with so many iterations.
fn trial(architecture: &str, lambda: f64, iterations: u32) -> anyhow::Result<TrialSpec> {
    let vae =
        if lambda > 0.0 { format!("[vae]\niterations = {iterations}\n") } else { String::new() };
    let text = format!(
        "version = 1\nname = 'steps'\n[data]\ndataset = 'synthetic'\n[grid]\nsubset_size = 300\nseed = [0]\n\
         architecture = '{architecture}'\nlambda = {lambda}\n[classifier]\niterations = {iterations}\n{vae}"
    );
    let grid = Grid::parse("steps", &text, DEFAULT_MAX_TRIALS)?;
    grid.trials().next().context("a grid of one point has no trial")
}
