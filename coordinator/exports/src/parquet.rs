//! Rows as Apache Parquet: columns of a group of rows at a time, so that memory is bounded by the group.

use std::{io::Write, mem, sync::Arc};

use parquet::{
    basic::{Compression, LogicalType, Repetition, Type as Physical},
    data_type::{BoolType, ByteArray, ByteArrayType, DoubleType, Int64Type},
    file::{
        properties::WriterProperties,
        writer::{SerializedColumnWriter, SerializedFileWriter},
    },
    schema::types::Type,
};
use rusqlite::{Row, types::ValueRef};

use super::tables::{Column, Kind, Rows, Table};

/// A group ends with the first row beyond either.
const GROUP_ROWS: usize = 1 << 18;
const GROUP_BYTES: usize = 16 << 20;

/// A Parquet file in the making.
pub(super) struct ParquetRows<W: Write + Send> {
    file: SerializedFileWriter<W>,
    columns: Vec<Cells>,
    rows: usize,
    bytes: usize,
}

/// The cells of one column of a group: which of them are there (1) or null (0), and what those are.
struct Cells {
    there: Vec<i16>,
    values: Values,
}

enum Values {
    Text(Vec<ByteArray>),
    Whole(Vec<i64>),
    Real(Vec<f64>),
    Truth(Vec<bool>),
}

impl<W: Write + Send> ParquetRows<W> {
    pub(super) fn new(file: W, table: &Table) -> anyhow::Result<Self> {
        let fields = table.columns.iter().map(field).collect::<Result<_, _>>()?;
        let schema = Type::group_type_builder(table.name).with_fields(fields).build()?;
        let properties = WriterProperties::builder()
            .set_compression(Compression::SNAPPY)
            .set_created_by(format!("swfn {}", env!("CARGO_PKG_VERSION")))
            .build();
        let file = SerializedFileWriter::new(file, Arc::new(schema), Arc::new(properties))?;
        let columns = table.columns.iter().map(|(_, kind)| Cells::of(*kind)).collect();
        Ok(Self { file, columns, rows: 0, bytes: 0 })
    }

    fn write_group(&mut self) -> anyhow::Result<()> {
        let mut group = self.file.next_row_group()?;
        for cells in &mut self.columns {
            if let Some(column) = group.next_column()? {
                cells.write(column)?;
            }
        }
        group.close()?;
        (self.rows, self.bytes) = (0, 0);
        Ok(())
    }
}

fn field((name, kind): &Column) -> Result<Arc<Type>, parquet::errors::ParquetError> {
    let (physical, logical) = match kind {
        Kind::Text => (Physical::BYTE_ARRAY, Some(LogicalType::String)),
        // As text: few readers know the logical type.
        Kind::Json => (Physical::BYTE_ARRAY, Some(LogicalType::String)),
        Kind::Whole => (Physical::INT64, None),
        Kind::Real => (Physical::DOUBLE, None),
        Kind::Truth => (Physical::BOOLEAN, None),
    };
    let builder =
        Type::primitive_type_builder(name, physical).with_repetition(Repetition::OPTIONAL);
    builder.with_logical_type(logical).build().map(Arc::new)
}

impl<W: Write + Send> Rows for ParquetRows<W> {
    fn row(&mut self, row: &Row<'_>) -> anyhow::Result<()> {
        for (index, cells) in self.columns.iter_mut().enumerate() {
            self.bytes += cells.push(row.get_ref(index)?);
        }
        self.rows += 1;
        if self.rows >= GROUP_ROWS || self.bytes >= GROUP_BYTES {
            self.write_group()?;
        }
        Ok(())
    }

    fn finish(mut self: Box<Self>) -> anyhow::Result<()> {
        if self.rows > 0 {
            self.write_group()?;
        }
        self.file.close()?;
        Ok(())
    }
}

impl Cells {
    fn of(kind: Kind) -> Self {
        let values = match kind {
            Kind::Text | Kind::Json => Values::Text(Vec::new()),
            Kind::Whole => Values::Whole(Vec::new()),
            Kind::Real => Values::Real(Vec::new()),
            Kind::Truth => Values::Truth(Vec::new()),
        };
        Self { there: Vec::new(), values }
    }

    /// Returns about how many bytes it takes. What is of another type than its column counts as null: SQLite's types are those of
    /// values, and our tables have no such.
    fn push(&mut self, value: ValueRef<'_>) -> usize {
        let mut bytes = mem::size_of::<i16>() + mem::size_of::<f64>();
        let there = match (&mut self.values, value) {
            (Values::Text(values), ValueRef::Text(text)) => {
                bytes += text.len() + mem::size_of::<ByteArray>();
                values.push(text.to_vec().into());
                true
            }
            (Values::Whole(values), ValueRef::Integer(number)) => {
                values.push(number);
                true
            }
            (Values::Real(values), ValueRef::Real(number)) => {
                values.push(number);
                true
            }
            (Values::Truth(values), ValueRef::Integer(number)) => {
                values.push(number != 0);
                true
            }
            _ => false,
        };
        self.there.push(i16::from(there));
        bytes
    }

    fn write(&mut self, mut column: SerializedColumnWriter<'_>) -> anyhow::Result<()> {
        let there = mem::take(&mut self.there);
        let there = Some(there.as_slice());
        match &mut self.values {
            Values::Text(values) => {
                column.typed::<ByteArrayType>().write_batch(&mem::take(values), there, None)?
            }
            Values::Whole(values) => {
                column.typed::<Int64Type>().write_batch(&mem::take(values), there, None)?
            }
            Values::Real(values) => {
                column.typed::<DoubleType>().write_batch(&mem::take(values), there, None)?
            }
            Values::Truth(values) => {
                column.typed::<BoolType>().write_batch(&mem::take(values), there, None)?
            }
        };
        Ok(column.close()?)
    }
}
