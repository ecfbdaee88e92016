//! Rows as comma-separated values.

use std::io::Write;

use rusqlite::{Row, types::ValueRef};
use swfn_shared::quote::cell;

use super::tables::{Column, Kind, Rows};

/// A CSV file in the making.
pub(super) struct CsvRows<'c, W: Write> {
    csv: csv::Writer<W>,
    columns: &'c [Column],
}

impl<'c, W: Write> CsvRows<'c, W> {
    pub(super) fn new(file: W, columns: &'c [Column]) -> anyhow::Result<Self> {
        let mut csv = csv::Writer::from_writer(file);
        csv.write_record(columns.iter().map(|(name, _)| name))?;
        Ok(Self { csv, columns })
    }
}

impl<W: Write> Rows for CsvRows<'_, W> {
    fn row(&mut self, row: &Row<'_>) -> anyhow::Result<()> {
        for (index, (_, kind)) in self.columns.iter().enumerate() {
            match row.get_ref(index)? {
                ValueRef::Null => self.csv.write_field("")?,
                ValueRef::Integer(number) if *kind == Kind::Truth => {
                    self.csv.write_field(if number == 0 { "false" } else { "true" })?;
                }
                ValueRef::Integer(number) => self.csv.write_field(number.to_string())?,
                ValueRef::Real(number) => self.csv.write_field(number.to_string())?,
                ValueRef::Text(bytes) | ValueRef::Blob(bytes) => match std::str::from_utf8(bytes) {
                    Ok(text) => self.csv.write_field(cell(text).as_bytes())?,
                    Err(_) => self.csv.write_field(bytes)?,
                },
            }
        }
        Ok(self.csv.write_record(None::<&[u8]>)?)
    }

    fn finish(mut self: Box<Self>) -> anyhow::Result<()> {
        Ok(self.csv.flush()?)
    }
}
