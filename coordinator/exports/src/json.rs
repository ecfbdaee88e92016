//! Rows as JSON lines.

use std::io::Write;

use rusqlite::{Row, types::ValueRef};
use serde::ser::{SerializeMap as _, Serializer as _};
use serde_json::{Serializer, Value};

use super::tables::{Column, Kind, Rows};

/// A file of JSON lines in the making.
pub(super) struct JsonRows<'c, W: Write> {
    file: W,
    columns: &'c [Column],
}

impl<'c, W: Write> JsonRows<'c, W> {
    pub(super) fn new(file: W, columns: &'c [Column]) -> Self {
        Self { file, columns }
    }
}

impl<W: Write> Rows for JsonRows<'_, W> {
    fn row(&mut self, row: &Row<'_>) -> anyhow::Result<()> {
        let mut line = Serializer::new(&mut self.file);
        let mut object = line.serialize_map(Some(self.columns.len()))?;
        for (index, (name, kind)) in self.columns.iter().enumerate() {
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
        Ok(self.file.write_all(b"\n")?)
    }

    fn finish(mut self: Box<Self>) -> anyhow::Result<()> {
        Ok(self.file.flush()?)
    }
}
