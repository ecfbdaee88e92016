//! The file as others read it, while the coordinator writes or long after.
//!
//! A reader never holds up the writer. Each statement sees the newest commits, until it holds
//! still.

use std::path::Path;

use rusqlite::{Connection, Params, Row, functions::FunctionFlags, types::ValueRef};
use swfn_shared::{ids::TrialId, treatment::Names, trial::TrialSpec};

use super::{
    columns,
    connect::connect_unnoticed,
    error::{SCHEMA_VERSION, StoreError, unreadable},
    schema::Store,
};

/// Checks that this program can read the file, without a trace beside it.
pub fn ensure_readable(path: &Path) -> Result<(), StoreError> {
    if !path.is_file() {
        return Err(StoreError::missing(path));
    }
    let version = |connection: Connection| {
        connection.pragma_query_value(None, "user_version", |row| row.get(0))
    };
    match connect_unnoticed(path).and_then(version).map_err(|error| StoreError::new(path, error))? {
        SCHEMA_VERSION => Ok(()),
        found => Err(unreadable(path, found)),
    }
}

/// The trials of a file that count as those of the grid, instead of those that were run last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Chosen {
    /// All that the file has.
    All,
    /// Those of an earlier grid.
    Only(Vec<TrialId>),
}

/// The trial of a column `spec`.
pub fn spec_of(column: ValueRef<'_>) -> rusqlite::Result<TrialSpec> {
    TrialSpec::parse(column.as_str()?)
        .map_err(|error| rusqlite::Error::UserFunctionError(error.into()))
}

/// Readers only: none of this changes the file.
impl Store {
    /// Gives queries `network(spec)` and `regulariser(spec)`, the names that reports have.
    pub(super) fn name_treatments(&self) -> Result<(), StoreError> {
        // One trial of each cell.
        let sql = "SELECT spec FROM trial WHERE in_grid GROUP BY cell";
        let specs = self.all(sql, [], |row| spec_of(row.get_ref(0)?))?;
        let names = Names::among(specs.iter().map(TrialSpec::regulariser));
        let flags = FunctionFlags::SQLITE_UTF8 | FunctionFlags::SQLITE_DETERMINISTIC;
        self.run(|connection| {
            connection.create_scalar_function("network", 1, flags, |call| {
                Ok(spec_of(call.get_raw(0))?.network().to_string())
            })?;
            connection.create_scalar_function("regulariser", 1, flags, move |call| {
                Ok(names.regulariser(spec_of(call.get_raw(0))?.regulariser()))
            })
        })
    }

    /// From here on, those trials are the grid's.
    pub fn choose(&self, trials: &Chosen) -> Result<(), StoreError> {
        self.run(|connection| {
            // Statements that were prepared before would go on reading the table.
            connection.flush_prepared_statement_cache();
            let in_grid = match trials {
                Chosen::All => "1",
                Chosen::Only(trials) => {
                    let table = "CREATE TEMP TABLE chosen (id TEXT PRIMARY KEY) WITHOUT ROWID";
                    connection.execute_batch(table)?;
                    let insert = "INSERT OR IGNORE INTO temp.chosen VALUES (?1)";
                    let mut insert = connection.prepare(insert)?;
                    for trial in trials {
                        insert.execute([trial.to_string()])?;
                    }
                    "id IN (SELECT id FROM temp.chosen)"
                }
            };
            columns::see_all(connection, in_grid)
        })?;
        // Names that tell these trials apart.
        self.name_treatments()
    }

    /// From here on, everything is read as of one moment, until this reader is dropped.
    pub fn hold_still(&self) -> Result<(), StoreError> {
        self.run(|connection| connection.execute_batch("BEGIN; SELECT 1 FROM metric LIMIT 1;"))
    }

    /// Writes all of the database, as of one moment, into a new file, even if its own is removed.
    pub fn copy_to(&self, target: &Path) -> Result<(), StoreError> {
        let name = target.as_os_str().as_encoded_bytes();
        self.run(|connection| connection.execute("VACUUM INTO CAST(?1 AS TEXT)", [name]))?;
        Ok(())
    }

    /// Hands the rows of a query to `each`, one by one.
    pub fn each(
        &self,
        sql: &str,
        parameters: impl Params,
        mut each: impl FnMut(&Row<'_>) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let mut query = self.run(|connection| connection.prepare_cached(sql))?;
        let mut rows = query.query(parameters).map_err(|error| self.error(error))?;
        while let Some(row) = rows.next().map_err(|error| self.error(error))? {
            each(row)?;
        }
        Ok(())
    }

    /// The rows of a query, which are few.
    pub fn all<T>(
        &self,
        sql: &str,
        parameters: impl Params,
        row: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Vec<T>, StoreError> {
        self.run(|connection| all(connection, sql, parameters, row))
    }
}

pub(super) fn all<T>(
    connection: &Connection,
    sql: &str,
    parameters: impl Params,
    row: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
) -> rusqlite::Result<Vec<T>> {
    connection.prepare_cached(sql)?.query_map(parameters, row)?.collect()
}
