//! Whether the rows of the file are those that were written.
//!
//! SQLite finds pages that make no sense, but not a number that became another number. So the
//! table `integrity` has the number of rows and the sum of their hashes, for each table that only
//! grows. The transaction that adds rows updates it; a sum does not depend on the rows' order.
//!
//! All rows are hashed in a check, and when a file is opened whose last writer did not end in
//! order. Other columns follow from hashed ones: a trial's state from the journal, and `in_grid`
//! from the grid.

use std::sync::LazyLock;

use rusqlite::{
    Connection, OptionalExtension as _, Transaction, params, params_from_iter,
    types::{Value, ValueRef},
};
use sha2::{Digest as _, Sha256};
use swfn_shared::{faults, metrics};

/// A table whose rows never change: its position in [`TABLES`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Table {
    Trial,
    Event,
    Success,
    Outcome,
    Point,
    Worker,
}

/// Names of tables, and the columns that are summed, in the order of the values of a row.
const TABLES: [(&str, &str); 6] = [
    ("trial", "number, id, cell, spec"),
    ("event", "sequence, at, trial, attempt, kind, worker, error, quarantine, blame, log"),
    ("success", "trial, attempt, worker, dataset_digest"),
    ("outcome", "trial, attempt, metric, value"),
    ("point", "trial, attempt, metric, step, value"),
    ("worker", "id, host, device, model, software, libtorch, joined, threads, cuda, certificate"),
];

/// The columns that were summed before settings stood in `spec` alone.
const TRIAL_4: &str = "number, id, dataset, subset_size, seed, architecture, weight_decay, \
    learning_rate, penalty_samples, lambda, density, cell, spec";

/// The columns that were summed before the numbers of results had rows.
const RESULT_3: &str = "trial, attempt, worker, final_test_accuracy, best_test_accuracy, \
    final_test_loss, vae_seconds, classifier_seconds, dataset_digest";
const RESULT_4: &str = "trial, attempt, worker, final_test_accuracy, best_test_accuracy, \
    final_test_loss, vae_seconds, classifier_seconds, dataset_digest, validation_accuracy, \
    validated_test_accuracy";

/// The tables that programs of that version summed; `None` where they had no such table.
fn tables_of(version: i64) -> [Option<(&'static str, &'static str)>; TABLES.len()] {
    let mut tables = TABLES.map(Some);
    if version < 5 {
        tables[Table::Trial as usize] = Some(("trial", TRIAL_4));
        let columns = if version < 4 { RESULT_3 } else { RESULT_4 };
        tables[Table::Success as usize] = Some(("result", columns));
        tables[Table::Outcome as usize] = None;
    }
    tables
}

/// The statements that add a row unless it is there, in the order of [`TABLES`].
static INSERTS: LazyLock<[String; TABLES.len()]> = LazyLock::new(|| {
    TABLES.map(|(name, columns)| {
        let values: Vec<_> =
            (1..=columns.split(", ").count()).map(|number| format!("?{number}")).collect();
        let (more_columns, more_values) = match name {
            "trial" => (", in_grid, state, attempt", ", 1, 'pending', 0"),
            _ => ("", ""),
        };
        let values = values.join(", ");
        format!(
            "INSERT INTO {name} ({columns}{more_columns}) VALUES ({values}{more_values}) \
             ON CONFLICT DO NOTHING"
        )
    })
});

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Sum {
    rows: i64,
    digest: i64,
}

impl Sum {
    fn add(&mut self, row: RowHash) {
        self.rows += 1;
        self.digest = self.digest.wrapping_add(row.finish());
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Sums([Sum; TABLES.len()]);

impl Sums {
    /// Sums the rows of a file of that version.
    pub(super) fn of_rows(connection: &Connection, version: i64) -> rusqlite::Result<Self> {
        let mut sums = Self::default();
        for (table, sum) in tables_of(version).iter().zip(&mut sums.0) {
            let Some((name, columns)) = table else { continue };
            let mut query = connection.prepare(&format!("SELECT {columns} FROM {name}"))?;
            let columns = query.column_count();
            let mut rows = query.query([])?;
            while let Some(row) = rows.next()? {
                let mut hash = RowHash::default();
                for column in 0..columns {
                    hash.add(row.get_ref(column)?);
                }
                sum.add(hash);
            }
        }
        Ok(sums)
    }

    /// Adds a row to a table, unless it is there; returns whether it was added. A first column
    /// that is null is the row's number, which SQLite gives out.
    pub(super) fn insert(
        &mut self,
        transaction: &Transaction<'_>,
        table: Table,
        mut row: Vec<Value>,
    ) -> rusqlite::Result<bool> {
        let mut sql = INSERTS[table as usize].as_str();
        if faults::bug("repeated-rows-are-errors") {
            sql = sql.trim_end_matches(" ON CONFLICT DO NOTHING");
        }
        let added = transaction.prepare_cached(sql)?.execute(params_from_iter(&row))?;
        if added == 0 {
            return Ok(false);
        }
        if row.first() == Some(&Value::Null) {
            row[0] = transaction.last_insert_rowid().into();
        }
        let mut hash = RowHash::default();
        row.iter().for_each(|value| hash.add(value.into()));
        self.0[table as usize].add(hash);
        Ok(true)
    }

    /// Writes the sums, as a part of the transaction that is under way.
    pub(super) fn write(&self, connection: &Connection) -> rusqlite::Result<()> {
        let mut write =
            connection.prepare_cached("INSERT OR REPLACE INTO integrity VALUES (?1, ?2, ?3)")?;
        for ((name, _), sum) in TABLES.iter().zip(&self.0) {
            write.execute(params![name, sum.rows, sum.digest])?;
        }
        Ok(())
    }

    /// The sums that a file of that version has of itself; zero for tables that it does not name.
    pub(super) fn written(connection: &Connection, version: i64) -> rusqlite::Result<Self> {
        let mut sums = Self::default();
        let mut query = connection.prepare("SELECT rows, digest FROM integrity WHERE name = ?1")?;
        for (table, sum) in tables_of(version).iter().zip(&mut sums.0) {
            let Some((name, _)) = table else { continue };
            let row =
                query.query_row([name], |row| Ok(Sum { rows: row.get(0)?, digest: row.get(1)? }));
            *sum = row.optional()?.unwrap_or_default();
        }
        Ok(sums)
    }

    /// The problem of a file whose rows have these sums, if any.
    pub(super) fn problem(
        &self,
        connection: &Connection,
        version: i64,
    ) -> rusqlite::Result<Option<String>> {
        let written = Self::written(connection, version)?;
        if let Some(table) = (0..TABLES.len()).find(|table| self.0[*table] != written.0[*table]) {
            let name = TABLES[table].0;
            return Ok(Some(format!("the rows of table `{name}` are not those that were written")));
        }
        let mut query = connection.prepare("SELECT number, name FROM metric")?;
        let mut rows = query.query([])?;
        while let Some(row) = rows.next()? {
            let (number, name): (i64, String) = (row.get(0)?, row.get(1)?);
            if metrics::ALL.iter().position(|known| *known == name) != usize::try_from(number).ok()
            {
                return Ok(Some(format!("metric {number} is called `{}`", name.escape_debug())));
            }
        }
        Ok(None)
    }
}

/// The hash of a row: 64 bits of the SHA-256 of its values, each with its type and length.
#[derive(Default)]
struct RowHash(Sha256);

impl RowHash {
    fn add(&mut self, value: ValueRef<'_>) {
        let mut part = |kind: u8, bytes: &[u8]| {
            self.0.update([kind]);
            self.0.update((bytes.len() as u64).to_le_bytes());
            self.0.update(bytes);
        };
        match value {
            ValueRef::Null => part(0, &[]),
            ValueRef::Integer(number) => part(1, &number.to_le_bytes()),
            ValueRef::Real(number) => part(2, &number.to_bits().to_le_bytes()),
            ValueRef::Text(text) => part(3, text),
            ValueRef::Blob(bytes) => part(4, bytes),
        }
    }

    fn finish(self) -> i64 {
        let digest = self.0.finalize();
        i64::from_le_bytes(*digest.first_chunk().expect("SHA-256 has 32 bytes"))
    }
}
