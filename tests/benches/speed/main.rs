//! `make bench` measures the speed on this machine, compares it with PyTorch and JAX, and divides
//! it by activity. Tables go to standard output, all numbers to `target/bench/bench.json`.
//!
//! It only runs what users can run, as processes. `kernels` runs the worker's own timings, `steps`
//! its benchmark of steps and its peers' in turn, `start` and `sweep` real sweeps. Nothing here
//! uses the trainer's internals.

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::disallowed_methods,
    reason = "developers read it, as it comes"
)]

mod command;
mod kernels;
mod machine;
mod peers;
mod run;
mod start;
mod steps;
mod sweep;
mod table;

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::Context as _;
use clap::{Parser, ValueEnum};
use serde_json::{Map, Value, json};

/// Measures speed and prints tables.
#[derive(Debug, Parser)]
struct Arguments {
    /// Parts to measure [default: all]
    #[arg(value_enum)]
    parts: Vec<Part>,
    /// Rounds of measuring steps, in turn with the peers; tables show the medians
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// A Python with PyTorch and JAX
    #[arg(long, value_name = "FILE", env = "SWFN_PYTHON")]
    python: Option<PathBuf>,
    /// Set by cargo
    #[arg(long, hide = true)]
    bench: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    Kernels,
    Steps,
    Start,
    Sweep,
}

fn main() -> ExitCode {
    match measure(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn measure(arguments: &Arguments) -> anyhow::Result<()> {
    // `cargo test --benches` runs it without this option.
    if !arguments.bench {
        println!("measures only when cargo says --bench: `make bench`");
        return Ok(());
    }
    let folder = folder()?;
    let wanted = |part| arguments.parts.is_empty() || arguments.parts.contains(&part);
    let mut results = Map::new();
    let machine = machine::describe()?;
    println!("{}\n", machine.line());
    results.insert("machine".to_owned(), machine.to_json());
    if wanted(Part::Kernels) {
        results.insert("kernels".to_owned(), kernels::measure()?);
    }
    if wanted(Part::Steps) {
        results.insert(
            "steps".to_owned(),
            steps::measure(&folder, arguments.rounds, arguments.python.as_deref())?,
        );
    }
    if wanted(Part::Start) {
        results.insert("start".to_owned(), start::measure(&folder)?);
    }
    if wanted(Part::Sweep) {
        results.insert("sweep".to_owned(), sweep::measure(&folder, machine.cores)?);
    }
    let file = folder.join("bench.json");
    let content = format!("{:#}\n", Value::Object(results));
    fs::write(&file, content).with_context(|| format!("cannot write `{}`", file.display()))?;
    println!("all numbers in `{}`", file.display());
    Ok(())
}

/// Returns `target/bench`, which it makes if necessary.
fn folder() -> anyhow::Result<PathBuf> {
    let program = env::current_exe().context("this program's own path is unknown")?;
    let target =
        program.ancestors().nth(3).context("this program does not lie in target/release/deps")?;
    let folder = target.join("bench");
    fs::create_dir_all(&folder)
        .with_context(|| format!("cannot make the folder `{}`", folder.display()))?;
    Ok(folder)
}

/// Makes a new, empty folder in place of an old one.
fn recreate(folder: &Path) -> anyhow::Result<()> {
    if folder.exists() {
        fs::remove_dir_all(folder)
            .with_context(|| format!("cannot empty the folder `{}`", folder.display()))?;
    }
    fs::create_dir_all(folder)
        .with_context(|| format!("cannot make the folder `{}`", folder.display()))
}

/// Returns the middle value, or the lower one of two middle values.
fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len().saturating_sub(1) / 2).copied().unwrap_or(f64::NAN)
}

/// Rounds to so many decimals: digits below are noise and hard to read in JSON.
fn rounded(value: f64, decimals: i32) -> Value {
    let unit = 10_f64.powi(decimals);
    json!((value * unit).round() / unit)
}
