//! Compares steps of training with those of PyTorch and JAX, measured in turn, and with their
//! arithmetic as products of large matrices.

use std::{
    collections::BTreeMap,
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

use crate::{
    command, median,
    peers::{PEERS, Peer},
    recreate, rounded, table,
};

/// Names of cases, as in the worker's benchmark of steps and bench.py.
const CASES: [&str; 10] = [
    "net",
    "net fn",
    "net fn 100",
    "lenet",
    "lenet fn",
    "lenet fn 100",
    "lenet+bn",
    "lenet+bn fn",
    "lenet+bn fn 100",
    "vae",
];

const EVALUATIONS: [&str; 3] = ["net", "lenet", "lenet+bn"];

/// Floating-point operations of the product that `sgemm` measures: its multiply-adds, times two.
const SGEMM_FLOP: f64 = 2.0 * 1024.0 * 1024.0 * 1024.0;

/// Microseconds of one case, one value for each round.
struct Times {
    case: &'static str,
    ours: Vec<f64>,
    /// For each peer that was there.
    peers: Vec<(&'static Peer, Vec<f64>)>,
}

impl Times {
    /// A peer's time over ours in each round, whose measurements follow on each other.
    fn ratios(&self, theirs: &[f64]) -> Vec<f64> {
        self.ours.iter().zip(theirs).map(|(ours, theirs)| theirs / ours).collect()
    }

    /// The fastest peer.
    fn best(&self) -> Option<(&'static Peer, &Vec<f64>)> {
        let fastest =
            self.peers.iter().min_by(|one, other| median(&one.1).total_cmp(&median(&other.1)));
        fastest.map(|(peer, times)| (*peer, times))
    }
}

pub(crate) fn measure(folder: &Path, rounds: u32, python: Option<&Path>) -> anyhow::Result<Value> {
    let criterion = folder.join("criterion");
    recreate(&criterion)?;
    let program = build()?;
    // A library takes seconds to start, so each is asked once.
    let mut libraries = BTreeMap::new();
    let mut peers = Vec::new();
    for peer in &PEERS {
        match libraries.entry(peer.module).or_insert_with(|| peer.version(python)) {
            Ok(_) => peers.push(peer),
            Err(reason) => eprintln!("note: no comparison with {}: {reason}", peer.name),
        }
    }
    let versions: Vec<String> = libraries.into_values().filter_map(Result::ok).collect();
    let mut steps = Vec::new();
    for case in CASES {
        eprintln!("step: {case}");
        steps.push(case_times(&program, &criterion, rounds, case, &peers, python)?);
    }
    let mut evaluations = EVALUATIONS.map(|architecture| (architecture, Vec::new()));
    let mut sgemm = Vec::new();
    for _ in 0..rounds {
        for (architecture, times) in &mut evaluations {
            times.push(micros(&program, &criterion, "evaluation", architecture)?);
        }
        sgemm.push(micros(&program, &criterion, "sgemm", "1024")?);
    }
    let rate = SGEMM_FLOP / median(&sgemm) * 1e6;
    let mut rows = Vec::new();
    let mut peer_rows = Vec::new();
    let mut json_steps = Vec::new();
    for times in &steps {
        let case = times.case;
        let (micros, flop) = (median(&times.ours), step_flop(case)?);
        let share = flop / rate * 1e6 / micros;
        let best = times.best().map(|(peer, theirs)| (peer.name, times.ratios(theirs)));
        let best_texts = best.as_ref().map_or(["–"; 3].map(str::to_owned), |(name, ratios)| {
            let least = ratios.iter().copied().fold(f64::INFINITY, f64::min);
            let most = ratios.iter().copied().fold(0.0, f64::max);
            [(*name).to_owned(), format!("{:.2}", median(ratios)), format!("{least:.2}–{most:.2}")]
        });
        let mut row = vec![case.to_owned(), format!("{micros:.0}"), format!("{:.0}", 1e6 / micros)];
        row.extend(best_texts);
        row.extend([format!("{:.1}", flop / 1e6), format!("{:.0} %", 100.0 * share)]);
        rows.push(row);
        let theirs = times.peers.iter().map(|(_, theirs)| format!("{:.0}", median(theirs)));
        peer_rows.push(std::iter::once(case.to_owned()).chain(theirs).collect::<Vec<_>>());
        let json_peers = times.peers.iter().map(|(peer, theirs)| {
            json!({
                "peer": peer.name,
                "microseconds": rounded(median(theirs), 1),
                "times_as_fast": rounded(median(&times.ratios(theirs)), 3),
                "times_as_fast_rounds":
                    times.ratios(theirs).iter().map(|r| rounded(*r, 3)).collect::<Vec<_>>(),
            })
        });
        json_steps.push(json!({
            "case": case,
            "microseconds": rounded(micros, 1),
            "microseconds_rounds": times.ours.iter().map(|t| rounded(*t, 1)).collect::<Vec<_>>(),
            "best_peer": best.map(|(name, _)| name),
            "peers": json_peers.collect::<Vec<_>>(),
            "mflop": rounded(flop / 1e6, 3),
            "share_of_sgemm": rounded(share, 3),
        }));
    }
    let columns = ["us", "steps/s", "best peer", "times as fast", "range", "MFLOP", "of sgemm"];
    let notes = [
        format!(
            "Processor time of one thread for a step of one trial, medians of {rounds} rounds; peers ({}) and ours by turns, the ratio within each round.",
            if versions.is_empty() { "none".to_owned() } else { versions.join(", ") }
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
    if !peers.is_empty() {
        let names: Vec<&str> = peers.iter().map(|peer| peer.name).collect();
        table::print(
            "Peers, microseconds for a step of one trial",
            &["step"],
            &names,
            peer_rows,
            &[],
        );
    }
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
        "peers": versions,
        "sgemm_gflops": rounded(rate / 1e9, 1),
        "training": json_steps,
        "evaluation": json_evaluations.collect::<Vec<_>>(),
    }))
}

/// Measures one case: in each round ours, then each peer, all compiled and warm before.
fn case_times(
    program: &Path,
    criterion: &Path,
    rounds: u32,
    case: &'static str,
    peers: &[&'static Peer],
    python: Option<&Path>,
) -> anyhow::Result<Times> {
    let mut running = Vec::new();
    for peer in peers {
        let python = python.context("peers need a Python")?;
        running.push(peer.start(python, case).with_context(|| format!("{}: {case}", peer.name))?);
    }
    let peers = peers.iter().map(|peer| (*peer, Vec::new())).collect();
    let mut times = Times { case, ours: Vec::new(), peers };
    for _ in 0..rounds {
        times.ours.push(micros(program, criterion, "step", case)?);
        for (turns, (_, theirs)) in running.iter_mut().zip(&mut times.peers) {
            theirs.push(turns.measure()?);
        }
    }
    Ok(times)
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
        return Ok(vae_flop(&trial("net", 20, 1)?));
    }
    let (architecture, samples) = match case.split(' ').collect::<Vec<_>>()[..] {
        [architecture, "fn", samples] => (architecture, samples.parse()?),
        [architecture, "fn"] => (architecture, 20),
        _ => (case, 0),
    };
    Ok(classifier_flop(&trial(architecture, samples, 2)?)
        - classifier_flop(&trial(architecture, samples, 1)?))
}

/// Makes the published trial with so many iterations, and so many samples for the function norm.
fn trial(architecture: &str, samples: u32, iterations: u32) -> anyhow::Result<TrialSpec> {
    let (lambda, axis, vae) = match samples {
        0 => (0.0, String::new(), String::new()),
        _ => (
            0.1,
            format!("penalty_samples = {samples}\n"),
            format!("[vae]\niterations = {iterations}\n"),
        ),
    };
    let text = format!(
        "version = 1\nname = 'steps'\n[data]\ndataset = 'synthetic'\n[grid]\nsubset_size = 300\nseed = [0]\n\
         architecture = '{architecture}'\nlambda = {lambda}\n{axis}[classifier]\niterations = {iterations}\n{vae}"
    );
    let grid = Grid::parse("steps", &text, DEFAULT_MAX_TRIALS)?;
    grid.trials().next().context("a grid of one point has no trial")
}
