//! The file `sweep.sqlite`: its tables, its version, how it is opened.
//!
//! pandas, DuckDB and `sqlite3` open it as it is. Readers want `trial`, `result` and the view
//! `curve`. The coordinator starts again from the journal, `event`.

use std::{
    fs,
    path::{Path, PathBuf},
};

use rusqlite::{Connection, OpenFlags, config::DbConfig};
use swfn_shared::{faults, problem::Problem};

use super::{
    clean::{CleanEnd, is_clean},
    columns,
    connect::{connect_to_read, no_uri},
    error::{SCHEMA_VERSION, StoreError, other_version, unreadable},
    integrity::Sums,
    log::{self, LogDamage},
};

/// The tables of results, which version 5 brought.
const RESULTS: &str = "
CREATE TABLE success (
    trial          INTEGER NOT NULL REFERENCES trial,
    attempt        INTEGER NOT NULL,
    worker         TEXT NOT NULL,
    dataset_digest TEXT,                    -- SHA-256 of what makes the data set what it is
    PRIMARY KEY (trial, attempt)
);
CREATE TABLE outcome (                      -- the numbers of results, by name
    trial   INTEGER NOT NULL,
    attempt INTEGER NOT NULL,
    metric  TEXT NOT NULL,
    value   REAL NOT NULL,
    PRIMARY KEY (trial, attempt, metric)
) WITHOUT ROWID;
";

const SCHEMA: [&str; 3] = [
    "
CREATE TABLE trial (
    number          INTEGER PRIMARY KEY,
    id              TEXT NOT NULL UNIQUE,
    in_grid         INTEGER NOT NULL,       -- 0: of an earlier grid of this run directory
    state           TEXT NOT NULL,          -- pending, leased, succeeded, quarantined
    attempt         INTEGER NOT NULL,       -- leases so far; of a succeeded trial the one that won
    error           TEXT,                   -- of the newest failure
    cell            TEXT NOT NULL,          -- equal for trials that differ only in the seed
    spec            TEXT NOT NULL           -- everything that determines the result, as JSON; its hash is the id
);
CREATE TABLE event (
    sequence INTEGER PRIMARY KEY,
    at       REAL NOT NULL,                 -- seconds since 1970, UTC
    trial    INTEGER NOT NULL REFERENCES trial,
    attempt  INTEGER NOT NULL,
    kind     TEXT NOT NULL,                 -- leased, succeeded, failed, lost, released, retried
    worker   TEXT,
    error    TEXT,
    quarantine INTEGER NOT NULL DEFAULT 0,
    blame    TEXT,                          -- of a lost lease: alone, or with others: among, suspected
    log      TEXT                           -- what the process said last
);
",
    RESULTS,
    "
CREATE TABLE metric (number INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);
CREATE TABLE point (
    trial   INTEGER NOT NULL,
    attempt INTEGER NOT NULL,
    metric  INTEGER NOT NULL,
    step    INTEGER NOT NULL,
    value   REAL NOT NULL,
    PRIMARY KEY (trial, attempt, metric, step)
) WITHOUT ROWID;
CREATE TABLE worker (
    id       TEXT PRIMARY KEY,
    host     TEXT NOT NULL,
    device   TEXT NOT NULL,
    model    TEXT NOT NULL,
    software TEXT NOT NULL,
    libtorch TEXT NOT NULL,
    joined   REAL NOT NULL,                 -- seconds since 1970, UTC
    threads  INTEGER,                       -- that one operation may use
    cuda     TEXT,                          -- version of its runtime, empty on a CPU
    certificate TEXT                        -- SHA-256 of the certificate that it showed, if any
);
CREATE INDEX failure ON event (trial, sequence) WHERE error IS NOT NULL;
CREATE TABLE integrity (                    -- of the rows of each table that is only added to
    name   TEXT PRIMARY KEY,
    rows   INTEGER NOT NULL,
    digest INTEGER NOT NULL                 -- sum of the hashes of all rows
);
",
];

/// The views that need the columns of settings.
const VIEWS: &str = "
CREATE VIEW curve AS                        -- the points of the attempts that count
    SELECT trial.id AS trial, trial.architecture, trial.subset_size, trial.lambda, trial.seed,
           metric.name AS metric, point.step, point.value
    FROM point
    JOIN trial ON trial.number = point.trial AND trial.attempt = point.attempt
    JOIN metric ON metric.number = point.metric;
";

/// The steps from version 1 to 2, and so on. Values that an older version did not know are null.
const MIGRATIONS: [&[&str]; SCHEMA_VERSION as usize - 1] = [
    &["
ALTER TABLE result ADD COLUMN dataset_digest TEXT;
ALTER TABLE worker ADD COLUMN threads INTEGER;
ALTER TABLE worker ADD COLUMN cuda TEXT;
"],
    &["
ALTER TABLE event ADD COLUMN blame TEXT;
ALTER TABLE event ADD COLUMN log TEXT;
ALTER TABLE worker ADD COLUMN certificate TEXT;
CREATE INDEX failure ON event (trial, sequence) WHERE error IS NOT NULL;
CREATE TABLE integrity (name TEXT PRIMARY KEY, rows INTEGER NOT NULL, digest INTEGER NOT NULL);
"],
    &["
ALTER TABLE result ADD COLUMN validation_accuracy REAL;
ALTER TABLE result ADD COLUMN validated_test_accuracy REAL;
"],
    // Settings stand in `spec` alone, and the numbers of results have rows.
    &[
        "
DROP VIEW IF EXISTS curve;
ALTER TABLE trial DROP COLUMN dataset;
ALTER TABLE trial DROP COLUMN subset_size;
ALTER TABLE trial DROP COLUMN seed;
ALTER TABLE trial DROP COLUMN architecture;
ALTER TABLE trial DROP COLUMN weight_decay;
ALTER TABLE trial DROP COLUMN learning_rate;
ALTER TABLE trial DROP COLUMN penalty_samples;
ALTER TABLE trial DROP COLUMN lambda;
ALTER TABLE trial DROP COLUMN density;
",
        RESULTS,
        "
INSERT INTO success SELECT trial, attempt, worker, dataset_digest FROM result;
INSERT INTO outcome SELECT trial, attempt, 'final_test_accuracy', final_test_accuracy FROM result;
INSERT INTO outcome SELECT trial, attempt, 'best_test_accuracy', best_test_accuracy FROM result;
INSERT INTO outcome SELECT trial, attempt, 'final_test_loss', final_test_loss FROM result;
INSERT INTO outcome SELECT trial, attempt, 'vae_seconds', vae_seconds FROM result;
INSERT INTO outcome SELECT trial, attempt, 'classifier_seconds', classifier_seconds FROM result;
INSERT INTO outcome SELECT trial, attempt, 'validation_accuracy', validation_accuracy FROM result
    WHERE validation_accuracy IS NOT NULL;
INSERT INTO outcome SELECT trial, attempt, 'validated_test_accuracy', validated_test_accuracy FROM result
    WHERE validated_test_accuracy IS NOT NULL;
DROP TABLE result;
DELETE FROM integrity WHERE name = 'result';
",
    ],
];

/// From this version on the file has the sums of its rows.
const WITH_INTEGRITY: i64 = 3;

#[derive(Debug)]
pub struct Store {
    pub(super) connection: Connection,
    /// The sums of the rows on the disk; unknown to readers.
    pub(super) sums: Sums,
    /// The part of the log that could not be read, if any.
    pub damage: Option<LogDamage>,
    path: PathBuf,
    /// `None` of readers. It stands behind the connection, which is closed first.
    pub(super) end: Option<CleanEnd>,
}

impl Store {
    fn new(path: &Path, connection: Connection, damage: Option<LogDamage>) -> Self {
        Self { connection, sums: Sums::default(), damage, path: path.to_owned(), end: None }
    }

    /// Opens the file of a run directory, or makes it. The caller holds the run directory's lock.
    ///
    /// Its rows are checked unless its last writer ended in order.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let connect = || -> rusqlite::Result<Connection> {
            let connection = Connection::open_with_flags(no_uri(path), OpenFlags::default())?;
            // A file that is refused keeps its log, which may help to mend it.
            connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
            connection.pragma_update(None, "journal_mode", "WAL")?;
            // FULL: a commit is on the disk before it is acknowledged, power cuts included.
            let synchronous = if faults::bug("no-fsync") { "OFF" } else { "FULL" };
            connection.pragma_update(None, "synchronous", synchronous)?;
            Ok(connection)
        };
        // SQLite would take an empty file for a new one, and remove the log.
        let size = |path: &Path| fs::metadata(path).map_or(0, |file| file.len());
        if size(path) == 0 && size(&log::path_of(path)) > 0 {
            return Err(StoreError::damaged(path, "it is empty, and the log beside it is not"));
        }
        // SQLite forgets the damaged part of the log when it reads it.
        let damage = LogDamage::find(path);
        let clean = damage.is_none() && is_clean(path);
        let connection = connect().map_err(|error| StoreError::new(path, error))?;
        let mut store = Self::new(path, connection, damage);
        let found = store.version()?;
        let is_empty = "SELECT count(*) = 0 FROM sqlite_schema";
        match found {
            0 if store.run(|c| c.query_row(is_empty, [], |row| row.get(0)))? => {}
            SCHEMA_VERSION if clean => store.sums = store.run(|c| Sums::written(c, found))?,
            1..=SCHEMA_VERSION => store.check(found)?,
            _ => return Err(other_version(path, found).into()),
        }
        let end = CleanEnd::begin(path).map_err(|error| {
            let hint = "check that you may write in its folder";
            Problem::new(format!("cannot mark `{}` as in use: {error}", path.display()), hint)
        })?;
        store.end = Some(end);
        store.migrate(found)?;
        store.begin_log()?;
        Ok(store)
    }

    /// Begins a log for this process: frames of an earlier one would look like damage next time.
    fn begin_log(&self) -> Result<(), StoreError> {
        if let Some(damage) = &self.damage {
            damage.keep().map_err(|error| {
                self.damaged(&format!("{damage}\nnote: that copy could not be made: {error}"))
            })?;
        }
        self.run(|connection| {
            connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?;
            connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, false)?;
            Ok(())
        })
    }

    /// Opens a file to read what is committed. Each statement sees the newest commits, until
    /// [`Store::hold_still`]. A file of another version is refused: coordinators migrate it.
    pub fn open_live(path: &Path) -> Result<Self, StoreError> {
        let store = Self::reader(path)?;
        store.name_treatments()?;
        Ok(store)
    }

    fn reader(path: &Path) -> Result<Self, StoreError> {
        if !path.is_file() {
            return Err(StoreError::missing(path));
        }
        let store = Self::new(path, connect_to_read(path)?, None);
        match store.version()? {
            SCHEMA_VERSION => {}
            found => return Err(unreadable(path, found)),
        }
        store.run(|connection| columns::see_all(connection, "in_grid"))?;
        Ok(store)
    }

    /// Opens a file to read it as it is now, whoever writes to it meanwhile.
    ///
    /// Its rows are checked unless its last writer ended in order.
    pub fn open_to_read(path: &Path) -> Result<Self, StoreError> {
        if !is_clean(path) {
            return Self::open_to_check(path);
        }
        let store = Self::reader(path)?;
        store.hold_still()?;
        Ok(store)
    }

    /// Opens a file to read it, and checks that its rows are those that were written.
    pub fn open_to_check(path: &Path) -> Result<Self, StoreError> {
        let mut store = Self::reader(path)?;
        store.hold_still()?;
        store.check(SCHEMA_VERSION)?;
        Ok(store)
    }

    fn version(&self) -> Result<i64, StoreError> {
        self.run(|connection| connection.pragma_query_value(None, "user_version", |row| row.get(0)))
    }

    /// Makes the tables of a new file (version 0), or brings those of an older one up to date, in
    /// one transaction: a program that is killed in the middle leaves the file as it was.
    fn migrate(&mut self, from: i64) -> Result<(), StoreError> {
        let migrate = |connection: &mut Connection| {
            let transaction = connection.transaction()?;
            let steps = match from {
                0 => SCHEMA.to_vec(),
                _ => MIGRATIONS[from as usize - 1..].concat(),
            };
            steps.iter().try_for_each(|sql| transaction.execute_batch(sql))?;
            columns::add(&transaction)?;
            if from == SCHEMA_VERSION {
                transaction.commit()?;
                return Ok(None);
            }
            transaction.execute_batch(VIEWS)?;
            let sums = Sums::of_rows(&transaction, SCHEMA_VERSION)?;
            sums.write(&transaction)?;
            transaction.pragma_update(None, "user_version", SCHEMA_VERSION)?;
            transaction.commit()?;
            Ok(Some(sums))
        };
        let sums = migrate(&mut self.connection).map_err(|error| self.error(error))?;
        self.sums = sums.unwrap_or_else(|| std::mem::take(&mut self.sums));
        Ok(())
    }

    /// Checks that the pages make sense to SQLite, and that the rows are those that were written.
    fn check(&mut self, version: i64) -> Result<(), StoreError> {
        let verdict: String =
            self.run(|c| c.query_row("PRAGMA integrity_check(1)", [], |row| row.get(0)))?;
        if verdict != "ok" {
            return Err(self.damaged(&verdict));
        }
        if version < WITH_INTEGRITY {
            return Ok(());
        }
        self.sums = self.run(|connection| Sums::of_rows(connection, version))?;
        let problem = self.run(|connection| self.sums.problem(connection, version))?;
        problem.map_or(Ok(()), |problem| Err(self.damaged(&problem)))
    }

    pub fn damaged(&self, what: &str) -> StoreError {
        StoreError::damaged(&self.path, what)
    }

    /// Runs something on the connection and gives its error the file's name.
    pub(super) fn run<'s, T>(
        &'s self,
        work: impl FnOnce(&'s Connection) -> rusqlite::Result<T>,
    ) -> Result<T, StoreError> {
        work(&self.connection).map_err(|error| self.error(error))
    }

    /// An error with the file's name.
    pub fn error(&self, error: rusqlite::Error) -> StoreError {
        StoreError::new(&self.path, error)
    }
}
