//! The kernels of the CPU, as the worker's own timings print them.

use anyhow::ensure;
use serde_json::{Value, json};

use crate::{command, table};

pub(crate) fn measure() -> anyhow::Result<Value> {
    let mut cargo = command::cargo();
    cargo.args([
        "test",
        "--release",
        "--quiet",
        "--locked",
        "--package",
        "swfn-worker",
        "--lib",
        "kernels_timings",
    ]);
    let text = command::output(cargo.args(["--", "--ignored", "--nocapture"]))?;
    // The columns are: kernel, size, vectors, microseconds, GFLOP/s or `-`.
    let rows = text.lines().map(|line| Vec::from_iter(line.split_whitespace().map(str::to_owned)));
    let rows = Vec::from_iter(rows.filter(|row| row.len() == 5 && row[3].parse::<f64>().is_ok()));
    ensure!(!rows.is_empty(), "the timings of the kernels printed no table:\n{text}");
    let json = rows.iter().map(|row| {
        let number = |text: &str| text.parse::<f64>().ok();
        json!({ "kernel": row[0], "size": row[1], "vectors": row[2], "microseconds": number(&row[3]), "gflops": number(&row[4]) })
    });
    let json = json.collect();
    let texts = ["kernel", "size", "vectors"];
    table::print(
        "Kernels, one thread",
        &texts,
        &["us", "GFLOP/s"],
        rows,
        &["Medians of 101 runs in a row."],
    );
    Ok(json)
}
