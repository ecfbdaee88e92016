//! Tables as Apache Parquet, written in groups of rows, so that the group bounds the memory.

use std::{io::Write, mem, sync::Arc};

use parquet::{
    basic::{Compression, LogicalType, Repetition, Type as Physical},
    data_type::{BoolType, ByteArray, ByteArrayType, DoubleType, Int64Type},
    errors::ParquetError,
    file::{
        properties::WriterProperties,
        writer::{SerializedColumnWriter, SerializedFileWriter},
    },
    schema::types::Type,
};
use rusqlite::{Row, types::ValueRef};
use swfn_store::Store;

use super::tables::{Column, Kind, Table};

/// A group ends with the first row beyond either.
const GROUP_ROWS: usize = 1 << 18;
const GROUP_BYTES: usize = 16 << 20;

/// Writes all rows, compressed with Snappy.
pub(super) fn write(file: impl Write + Send, table: &Table, reader: &Store) -> anyhow::Result<()> {
    let fields = table.columns.iter().map(field).collect::<Result<_, _>>()?;
    let schema = Type::group_type_builder(table.name).with_fields(fields).build()?;
    let properties = WriterProperties::builder()
        .set_compression(Compression::SNAPPY)
        .set_created_by(format!("swfn {}", env!("CARGO_PKG_VERSION")))
        .build();
    let mut file = SerializedFileWriter::new(file, Arc::new(schema), Arc::new(properties))?;
    let mut group = Group::new(table);
    reader.each(&table.sql(), [], |row| {
        group.push(row)?;
        if group.rows >= GROUP_ROWS || group.bytes >= GROUP_BYTES {
            mem::replace(&mut group, Group::new(table)).write(&mut file)?;
        }
        Ok(())
    })?;
    if group.rows > 0 {
        group.write(&mut file)?;
    }
    file.close()?;
    Ok(())
}

fn field((name, kind, _): &Column) -> Result<Arc<Type>, ParquetError> {
    let (physical, logical) = match kind {
        // JSON as text, too: few readers know its logical type.
        Kind::Text | Kind::Json => (Physical::BYTE_ARRAY, Some(LogicalType::String)),
        Kind::Whole => (Physical::INT64, None),
        Kind::Real => (Physical::DOUBLE, None),
        Kind::Truth => (Physical::BOOLEAN, None),
    };
    let builder =
        Type::primitive_type_builder(name, physical).with_repetition(Repetition::OPTIONAL);
    builder.with_logical_type(logical).build().map(Arc::new)
}

/// Rows that are not written yet, column by column.
struct Group {
    columns: Vec<Cells>,
    rows: usize,
    bytes: usize,
}

impl Group {
    fn new(table: &Table) -> Self {
        let columns = table.columns.iter().map(|(_, kind, _)| Cells::new(*kind)).collect();
        Self { columns, rows: 0, bytes: 0 }
    }

    fn push(&mut self, row: &Row<'_>) -> rusqlite::Result<()> {
        for (index, cells) in self.columns.iter_mut().enumerate() {
            self.bytes += cells.push(row.get_ref(index)?);
        }
        self.rows += 1;
        Ok(())
    }

    fn write<W: Write + Send>(self, file: &mut SerializedFileWriter<W>) -> anyhow::Result<()> {
        let mut group = file.next_row_group()?;
        for cells in self.columns {
            if let Some(column) = group.next_column()? {
                cells.write(column)?;
            }
        }
        group.close()?;
        Ok(())
    }
}

/// The cells of one column of a group.
struct Cells {
    /// 1 where there is a value, 0 for null: Parquet's definition levels.
    levels: Vec<i16>,
    values: Values,
}

enum Values {
    Text(Vec<ByteArray>),
    Whole(Vec<i64>),
    Real(Vec<f64>),
    Truth(Vec<bool>),
}

impl Cells {
    fn new(kind: Kind) -> Self {
        let values = match kind {
            Kind::Text | Kind::Json => Values::Text(Vec::new()),
            Kind::Whole => Values::Whole(Vec::new()),
            Kind::Real => Values::Real(Vec::new()),
            Kind::Truth => Values::Truth(Vec::new()),
        };
        Self { levels: Vec::new(), values }
    }

    /// Appends a value and returns roughly its bytes. A value of another type counts as null;
    /// SQLite would allow one, but our tables have none.
    fn push(&mut self, value: ValueRef<'_>) -> usize {
        let mut bytes = size_of::<i16>() + size_of::<f64>();
        let mut level = 1;
        match (&mut self.values, value) {
            (Values::Text(values), ValueRef::Text(text)) => {
                bytes += text.len() + size_of::<ByteArray>();
                values.push(text.to_vec().into());
            }
            (Values::Whole(values), ValueRef::Integer(number)) => values.push(number),
            (Values::Real(values), ValueRef::Real(number)) => values.push(number),
            (Values::Truth(values), ValueRef::Integer(number)) => values.push(number != 0),
            _ => level = 0,
        }
        self.levels.push(level);
        bytes
    }

    fn write(self, mut column: SerializedColumnWriter<'_>) -> anyhow::Result<()> {
        let levels = Some(self.levels.as_slice());
        match self.values {
            Values::Text(text) => {
                column.typed::<ByteArrayType>().write_batch(&text, levels, None)?
            }
            Values::Whole(whole) => {
                column.typed::<Int64Type>().write_batch(&whole, levels, None)?
            }
            Values::Real(real) => column.typed::<DoubleType>().write_batch(&real, levels, None)?,
            Values::Truth(truth) => column.typed::<BoolType>().write_batch(&truth, levels, None)?,
        };
        Ok(column.close()?)
    }
}
