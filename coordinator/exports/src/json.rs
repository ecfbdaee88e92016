//! Tables as JSON lines.

use std::io::Write;

use rusqlite::types::ValueRef;
use serde::ser::{SerializeMap as _, Serializer as _};
use serde_json::{Serializer, Value};
use swfn_store::Store;

use super::tables::{Kind, Table};

/// Writes each row as an object in a line of its own.
pub(super) fn write(mut file: impl Write, table: &Table, reader: &Store) -> anyhow::Result<()> {
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
