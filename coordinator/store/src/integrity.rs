//! Whether the rows of the file are those that were written. SQLite finds pages that make no sense; a number that became another number
//! it does not.
//!
//! Of each table that is only ever added to, the number of rows and the sum of their hashes are kept in the table `integrity`, written in
//! the transaction that adds rows. A sum does not depend on the order, so rows can be added one by one. All are summed
//! in a check, and when a file is opened whose last writer did not end in order. What is not summed follows from what is: a trial's state from the journal, its being in the grid from the grid.

use std::sync::LazyLock;

use rusqlite::{
    Connection, OptionalExtension as _, Transaction, params, params_from_iter,
    types::{Value, ValueRef},
};
use sha2::{Digest as _, Sha256};
use swfn_shared::{faults, metrics};

use super::error::SCHEMA_VERSION;

/// A table whose rows never change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Table {
    Trial,
    Event,
    Success,
    Outcome,
    Point,
    Worker,
}

const TABLES: [Table; 6] =
    [Table::Trial, Table::Event, Table::Success, Table::Outcome, Table::Point, Table::Worker];

impl Table {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Trial => "trial",
            Self::Event => "event",
            Self::Success => "success",
            Self::Outcome => "outcome",
            Self::Point => "point",
            Self::Worker => "worker",
        }
    }

    /// The name and the columns that programs of that version of the schema summed; none where they had no such table.
    fn summed_by(self, version: i64) -> Option<(&'static str, &'static [&'static str])> {
        match self {
            Self::Trial if version < 5 => Some(("trial", &TRIAL_BEFORE_5)),
            Self::Success if version < 4 => Some(("result", &RESULT_BEFORE_5[..9])),
            Self::Success if version < 5 => Some(("result", &RESULT_BEFORE_5)),
            Self::Outcome if version < 5 => None,
            _ => Some((self.name(), self.columns())),
        }
    }

    /// What is summed, in the order of the values of a row. What a version adds comes last.
    pub(super) fn columns(self) -> &'static [&'static str] {
        match self {
            Self::Trial => &["number", "id", "cell", "spec"],
            Self::Event => &[
                "sequence",
                "at",
                "trial",
                "attempt",
                "kind",
                "worker",
                "error",
                "quarantine",
                "blame",
                "log",
            ],
            Self::Success => &["trial", "attempt", "worker", "dataset_digest"],
            Self::Outcome => &["trial", "attempt", "metric", "value"],
            Self::Point => &["trial", "attempt", "metric", "step", "value"],
            Self::Worker => &[
                "id",
                "host",
                "device",
                "model",
                "software",
                "libtorch",
                "joined",
                "threads",
                "cuda",
                "certificate",
            ],
        }
    }
}

/// What was summed of trials before settings stood in `spec` alone.
const TRIAL_BEFORE_5: [&str; 13] = [
    "number",
    "id",
    "dataset",
    "subset_size",
    "seed",
    "architecture",
    "weight_decay",
    "learning_rate",
    "penalty_samples",
    "lambda",
    "density",
    "cell",
    "spec",
];

/// What was summed of results before their numbers had rows; before version 4 without the last two.
const RESULT_BEFORE_5: [&str; 11] = [
    "trial",
    "attempt",
    "worker",
    "final_test_accuracy",
    "best_test_accuracy",
    "final_test_loss",
    "vae_seconds",
    "classifier_seconds",
    "dataset_digest",
    "validation_accuracy",
    "validated_test_accuracy",
];

/// The statements that add a row unless it is there, in the order of [`TABLES`].
static INSERTS: LazyLock<[String; TABLES.len()]> = LazyLock::new(|| {
    TABLES.map(|table| {
        let columns = table.columns();
        let places: Vec<_> = (1..=columns.len()).map(|place| format!("?{place}")).collect();
        let (more_columns, more_values) = match table {
            Table::Trial => (", in_grid, state, attempt", ", 1, 'pending', 0"),
            _ => ("", ""),
        };
        format!(
            "INSERT INTO {} ({}{more_columns}) VALUES ({}{more_values}) ON CONFLICT DO NOTHING",
            table.name(),
            columns.join(", "),
            places.join(", ")
        )
    })
});

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Sum {
    rows: i64,
    digest: i64,
}

impl Sum {
    fn add(&mut self, hash: i64) {
        self.rows += 1;
        self.digest = self.digest.wrapping_add(hash);
    }
}

/// The sums of all tables.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Sums([Sum; TABLES.len()]);

impl Sums {
    /// Sums the rows that are there, in a file of that version.
    pub(super) fn of_rows(connection: &Connection, version: i64) -> rusqlite::Result<Self> {
        let mut sums = Self::default();
        for (table, sum) in TABLES.iter().zip(&mut sums.0) {
            let Some((name, columns)) = table.summed_by(version) else { continue };
            let mut query =
                connection.prepare(&format!("SELECT {} FROM {name}", columns.join(", ")))?;
            let mut rows = query.query([])?;
            while let Some(row) = rows.next()? {
                let mut hash = RowHash::default();
                for column in 0..columns.len() {
                    hash.add(row.get_ref(column)?);
                }
                sum.add(hash.finish());
            }
        }
        Ok(sums)
    }

    /// Adds a row to a table, unless it is there; whether it was added. A number that the table gives out itself, in the first column, is null.
    pub(super) fn insert(
        &mut self,
        transaction: &Transaction<'_>,
        table: Table,
        mut row: Vec<Value>,
    ) -> rusqlite::Result<bool> {
        let place = TABLES.iter().position(|of| *of == table).expect("all tables are in the list");
        let mut sql = INSERTS[place].as_str();
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
        self.0[place].add(hash.finish());
        Ok(true)
    }

    /// Writes them, as a part of the transaction that is under way.
    pub(super) fn write(&self, connection: &Connection) -> rusqlite::Result<()> {
        let mut write =
            connection.prepare_cached("INSERT OR REPLACE INTO integrity VALUES (?1, ?2, ?3)")?;
        for (table, sum) in TABLES.iter().zip(&self.0) {
            write.execute(params![table.name(), sum.rows, sum.digest])?;
        }
        Ok(())
    }

    /// The sums that the file has of itself; of a table that it does not name, none.
    pub(super) fn written(connection: &Connection) -> rusqlite::Result<Self> {
        Self::written_by(connection, SCHEMA_VERSION)
    }

    fn written_by(connection: &Connection, version: i64) -> rusqlite::Result<Self> {
        let mut sums = Self::default();
        let mut query = connection.prepare("SELECT rows, digest FROM integrity WHERE name = ?1")?;
        for (table, sum) in TABLES.iter().zip(&mut sums.0) {
            let Some((name, _)) = table.summed_by(version) else { continue };
            let row =
                query.query_row([name], |row| Ok(Sum { rows: row.get(0)?, digest: row.get(1)? }));
            *sum = row.optional()?.unwrap_or_default();
        }
        Ok(sums)
    }

    /// What is wrong with the file, if anything, when its rows come to these sums.
    pub(super) fn problem(
        &self,
        connection: &Connection,
        version: i64,
    ) -> rusqlite::Result<Option<String>> {
        let written = Self::written_by(connection, version)?;
        let differs = TABLES
            .iter()
            .zip(self.0.iter().zip(&written.0))
            .find(|(_, (rows, written))| rows != written);
        if let Some((table, _)) = differs {
            return Ok(Some(format!(
                "the rows of table `{}` are not those that were written",
                table.name()
            )));
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
        let mut bytes = [0; 8];
        bytes.copy_from_slice(&digest[..8]);
        i64::from_le_bytes(bytes)
    }
}
