//! The tables as files, in any of the forms.

use std::path::Path;

use swfn_shared::{problem, problem::OrProblem as _};
use swfn_store::{Store, run_dir};

use super::{
    csv::CsvRows,
    json::JsonRows,
    parquet::ParquetRows,
    tables::{Rows, tables},
};

/// How tables are written.
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

/// Writes all tables, each a file of that folder; returns their names.
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
        run_dir::replace(folder, &name, |file| {
            let mut rows: Box<dyn Rows + '_> = match format {
                Format::Csv => Box::new(CsvRows::new(file, &table.columns)?),
                Format::Jsonl | Format::Tensorboard => {
                    Box::new(JsonRows::new(file, &table.columns))
                }
                Format::Parquet => Box::new(ParquetRows::new(file, table)?),
            };
            reader.each(&table.sql, [], |row| rows.row(row))?;
            rows.finish()
        })?;
        names.push(name);
    }
    Ok(names)
}
