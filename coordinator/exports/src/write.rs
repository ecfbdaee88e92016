//! The tables as files, in each of the formats.

use std::{io::Write, path::Path};

use rusqlite::types::ValueRef;
use serde::ser::{SerializeMap as _, Serializer as _};
use serde_json::{Serializer, Value};
use swfn_shared::{problem, problem::OrProblem as _, quote::cell};
use swfn_store::{Store, run_dir};

use super::{
    parquet,
    tables::{Kind, Table, tables},
};

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
            Format::Csv => csv(file, table, reader),
            Format::Parquet => parquet::write(file, table, reader),
            Format::Jsonl | Format::Tensorboard => json(file, table, reader),
        })?;
        names.push(name);
    }
    Ok(names)
}

/// Writes a header and all rows. Null is an empty field.
fn csv(file: impl Write, table: &Table, reader: &Store) -> anyhow::Result<()> {
    let mut csv = csv::Writer::from_writer(file);
    csv.write_record(table.columns.iter().map(|(name, ..)| name))?;
    reader.each(&table.sql(), [], |row| {
        for (index, (_, kind, _)) in table.columns.iter().enumerate() {
            match row.get_ref(index)? {
                ValueRef::Null => csv.write_field("")?,
                ValueRef::Integer(number) if *kind == Kind::Truth => {
                    csv.write_field((number != 0).to_string())?;
                }
                ValueRef::Integer(number) => csv.write_field(number.to_string())?,
                ValueRef::Real(number) => csv.write_field(number.to_string())?,
                ValueRef::Text(bytes) | ValueRef::Blob(bytes) => match std::str::from_utf8(bytes) {
                    Ok(text) => csv.write_field(cell(text).as_bytes())?,
                    Err(_) => csv.write_field(bytes)?,
                },
            }
        }
        Ok(csv.write_record(None::<&[u8]>)?)
    })?;
    Ok(csv.flush()?)
}

/// Writes each row as an object in a line of its own.
fn json(mut file: impl Write, table: &Table, reader: &Store) -> anyhow::Result<()> {
    reader.each(&table.sql(), [], |row| {
        let mut line = Serializer::new(&mut file);
        let mut object = line.serialize_map(Some(table.columns.len()))?;
        for (index, (name, kind, _)) in table.columns.iter().enumerate() {
            let value = match row.get_ref(index)? {
                ValueRef::Null => Value::Null,
                ValueRef::Integer(number) if *kind == Kind::Truth => (number != 0).into(),
                ValueRef::Integer(number) => number.into(),
                ValueRef::Real(number) => number.into(),
                ValueRef::Text(bytes) | ValueRef::Blob(bytes) if *kind == Kind::Json => {
                    serde_json::from_slice(bytes)?
                }
                ValueRef::Text(bytes) | ValueRef::Blob(bytes) => {
                    String::from_utf8_lossy(bytes).into()
                }
            };
            object.serialize_entry(name, &value)?;
        }
        object.end()?;
        Ok(file.write_all(b"\n")?)
    })?;
    Ok(file.flush()?)
}
