//! The tables as files, in each of the formats.

use std::path::Path;

use swfn_shared::{problem, problem::OrProblem as _};
use swfn_store::{Store, run_dir};

use super::{csv, json, parquet, tables::tables};

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
pub(super) enum Format {
    /// Comma-separated values with a header; null is empty
    Csv,
    /// One JSON object a line
    Jsonl,
    /// Apache Parquet, compressed with Snappy
    Parquet,
    /// Event files for TensorBoard, a folder a trial
    Tensorboard,
}

/// Writes each table into a file of the folder; returns the names. TensorBoard has no tables.
pub(super) fn write(reader: &Store, format: Format, folder: &Path) -> anyhow::Result<Vec<String>> {
    std::fs::create_dir_all(folder).or_problem(
        || problem!("cannot make the folder `{}`", folder.display(); "choose another with --out"),
    )?;
    let mut names = Vec::new();
    for table in &tables() {
        let name = match format {
            Format::Csv => format!("{}.csv", table.name),
            Format::Jsonl => format!("{}.jsonl", table.name),
            Format::Parquet => format!("{}.parquet", table.name),
            Format::Tensorboard => continue,
        };
        run_dir::replace(folder, &name, |file| match format {
            Format::Csv => csv::write(file, table, reader),
            Format::Parquet => parquet::write(file, table, reader),
            Format::Jsonl | Format::Tensorboard => json::write(file, table, reader),
        })?;
        names.push(name);
    }
    Ok(names)
}
