//! Tables as comma-separated values.

use std::io::Write;

use rusqlite::types::ValueRef;
use swfn_shared::quote::cell;
use swfn_store::Store;

use super::tables::{Kind, Table};

/// Writes a header and all rows. Null is an empty field.
pub(super) fn write(file: impl Write, table: &Table, reader: &Store) -> anyhow::Result<()> {
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
