//! The file `sweep.sqlite`: its tables, its version, how it is opened.
//!
//! pandas, DuckDB and `sqlite3` open it as it is. `trial`, `result` and the view `curve` are what a reader wants; `event` is the journal
//! from which the coordinator starts again.

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
    error::{SCHEMA_VERSION, StoreError, of_another_version, unreadable},
    integrity::Sums,
    log::{self, LogDamage},
};

const SCHEMA: &str = "
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
";

/// What is made behind the columns of settings.
const VIEWS: &str = "
CREATE VIEW curve AS                        -- the points of the attempts that count
    SELECT trial.id AS trial, trial.architecture, trial.subset_size, trial.lambda, trial.seed,
           metric.name AS metric, point.step, point.value
    FROM point
    JOIN trial ON trial.number = point.trial AND trial.attempt = point.attempt
    JOIN metric ON metric.number = point.metric;
";

/// What makes a file of version 1 one of version 2, and so on. What an older version did not know is null.
const MIGRATIONS: [&str; SCHEMA_VERSION as usize - 1] = [
    "
ALTER TABLE result ADD COLUMN dataset_digest TEXT;
ALTER TABLE worker ADD COLUMN threads INTEGER;
ALTER TABLE worker ADD COLUMN cuda TEXT;
",
    "
ALTER TABLE event ADD COLUMN blame TEXT;
ALTER TABLE event ADD COLUMN log TEXT;
ALTER TABLE worker ADD COLUMN certificate TEXT;
CREATE INDEX failure ON event (trial, sequence) WHERE error IS NOT NULL;
CREATE TABLE integrity (name TEXT PRIMARY KEY, rows INTEGER NOT NULL, digest INTEGER NOT NULL);
",
    "
ALTER TABLE result ADD COLUMN validation_accuracy REAL;
ALTER TABLE result ADD COLUMN validated_test_accuracy REAL;
",
    // Settings stand in `spec` alone, and the numbers of results have rows.
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
CREATE TABLE success (
    trial          INTEGER NOT NULL REFERENCES trial,
    attempt        INTEGER NOT NULL,
    worker         TEXT NOT NULL,
    dataset_digest TEXT,
    PRIMARY KEY (trial, attempt)
);
CREATE TABLE outcome (
    trial   INTEGER NOT NULL,
    attempt INTEGER NOT NULL,
    metric  TEXT NOT NULL,
    value   REAL NOT NULL,
    PRIMARY KEY (trial, attempt, metric)
) WITHOUT ROWID;
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
];

/// From this version on the file says what its rows come to.
const WITH_INTEGRITY: i64 = 3;

/// The open file.
#[derive(Debug)]
pub struct Store {
    pub(super) connection: Connection,
    /// What the rows that are on the disk come to.
    pub(super) sums: Sums,
    damage: Option<LogDamage>,
    path: PathBuf,
    /// Of a file that is open to write. It stands behind the connection, which is closed first.
    pub(super) end: Option<CleanEnd>,
}

impl Store {
    /// Opens the file of a run directory, or makes it. The caller holds the run directory's lock.
    ///
    /// Its rows are checked unless its last writer ended in order; [`Store::open_to_check`] checks them in any case.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let connect = || -> rusqlite::Result<Connection> {
            let connection = Connection::open_with_flags(no_uri(path), OpenFlags::default())?;
            // A file that is refused stays as it is: whoever mends it may need its log.
            connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
            connection.pragma_update(None, "journal_mode", "WAL")?;
            // FULL: a commit is on the disk before it is acknowledged, power cuts included.
            let synchronous = if faults::bug("no-fsync") { "OFF" } else { "FULL" };
            connection.pragma_update(None, "synchronous", synchronous)?;
            Ok(connection)
        };
        // SQLite would take it for a new file, and remove the log.
        let size = |path: &Path| fs::metadata(path).map_or(0, |file| file.len());
        if size(path) == 0 && size(&log::of(path)) > 0 {
            return Err(StoreError::damaged(path, "it is empty, and the log beside it is not"));
        }
        // Before SQLite reads it: afterwards it is as if there had been no more.
        let damage = LogDamage::find(path);
        let clean = damage.is_none() && is_clean(path);
        let connection = connect().map_err(|error| StoreError::new(path, error))?;
        let mut store =
            Self { connection, sums: Sums::default(), damage, path: path.to_owned(), end: None };
        let found = store.version()?;
        match found {
            0 if store.is_empty()? => {}
            SCHEMA_VERSION if clean => store.sums = store.run(Sums::written)?,
            1..=SCHEMA_VERSION => {
                store.check_pages()?;
                if found >= WITH_INTEGRITY {
                    store.check_rows(found)?;
                }
            }
            _ => return Err(of_another_version(path, found).into()),
        }
        let unmarked = |error| {
            let hint = "see whether you may write in its folder";
            Problem::new(format!("cannot mark `{}` as in use: {error}", path.display()), hint)
        };
        store.end = Some(CleanEnd::begin(path).map_err(unmarked)?);
        match found {
            0 => store.create()?,
            _ => store.migrate(found)?,
        }
        store.begin_log()?;
        Ok(store)
    }

    /// What of the log could not be read, if anything.
    pub fn log_damage(&self) -> Option<&LogDamage> {
        self.damage.as_ref()
    }

    /// A log of its own for this process: frames that an earlier one left behind the last commit would be taken for damage the next time.
    fn begin_log(&self) -> Result<(), StoreError> {
        if let Some(damage) = &self.damage {
            let kept = damage.keep();
            kept.map_err(|error| {
                self.damaged(&format!("{damage}\nnote: that copy could not be made: {error}"))
            })?;
        }
        self.run(|connection| {
            connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?;
            connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, false)?;
            Ok(())
        })
    }

    /// Opens a file only to read it, as it is now, whoever writes to it meanwhile.
    ///
    /// Its rows are checked unless its last writer ended in order.
    pub fn open_to_read(path: &Path) -> Result<Self, StoreError> {
        Self::read(path, !is_clean(path))
    }

    /// Opens a file only to read it, and checks that its rows are those that were written.
    pub fn open_to_check(path: &Path) -> Result<Self, StoreError> {
        Self::read(path, true)
    }

    fn read(path: &Path, check: bool) -> Result<Self, StoreError> {
        if !path.is_file() {
            return Err(StoreError::missing(path));
        }
        let connection = connect_to_read(path)?;
        connection.execute_batch("BEGIN").map_err(|error| StoreError::new(path, error))?;
        let mut store = Self {
            connection,
            sums: Sums::default(),
            path: path.to_owned(),
            damage: None,
            end: None,
        };
        match store.version()? {
            SCHEMA_VERSION if check => {
                store.check_pages()?;
                store.check_rows(SCHEMA_VERSION)?;
            }
            SCHEMA_VERSION => {}
            found => return Err(unreadable(path, found)),
        }
        store.run(|connection| columns::see_all(connection, "in_grid"))?;
        Ok(store)
    }

    fn version(&self) -> Result<i64, StoreError> {
        self.run(|connection| connection.pragma_query_value(None, "user_version", |row| row.get(0)))
    }

    fn is_empty(&self) -> Result<bool, StoreError> {
        let tables: i64 =
            self.run(|c| c.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0)))?;
        Ok(tables == 0)
    }

    fn create(&self) -> Result<(), StoreError> {
        self.run(|connection| {
            connection.execute_batch(&format!(
                "BEGIN; {SCHEMA} PRAGMA user_version = {SCHEMA_VERSION};"
            ))?;
            columns::add(connection)?;
            connection.execute_batch(VIEWS)?;
            self.sums.write(connection)?;
            connection.execute_batch("COMMIT;")
        })
    }

    /// In one transaction: a program that is killed in the middle leaves the file as it was.
    fn migrate(&mut self, from: i64) -> Result<(), StoreError> {
        if from == SCHEMA_VERSION {
            return self.run(|connection| {
                let transaction = connection.unchecked_transaction()?;
                columns::add(&transaction)?;
                transaction.commit()
            });
        }
        let migrate = |connection: &mut Connection| {
            let transaction = connection.transaction()?;
            for sql in MIGRATIONS.iter().skip(from as usize - 1) {
                transaction.execute_batch(sql)?;
            }
            columns::add(&transaction)?;
            transaction.execute_batch(VIEWS)?;
            let sums = Sums::of_rows(&transaction, SCHEMA_VERSION)?;
            sums.write(&transaction)?;
            transaction.pragma_update(None, "user_version", SCHEMA_VERSION)?;
            transaction.commit()?;
            Ok(sums)
        };
        self.sums =
            migrate(&mut self.connection).map_err(|error| StoreError::new(&self.path, error))?;
        Ok(())
    }

    /// Whether the file holds together as SQLite sees it.
    fn check_pages(&self) -> Result<(), StoreError> {
        let verdict: String =
            self.run(|c| c.query_row("PRAGMA integrity_check(1)", [], |row| row.get(0)))?;
        if verdict == "ok" { Ok(()) } else { Err(self.damaged(&verdict)) }
    }

    /// Whether it holds what was written.
    fn check_rows(&mut self, version: i64) -> Result<(), StoreError> {
        let sums = self.run(|connection| Sums::of_rows(connection, version))?;
        match self.run(|connection| sums.problem(connection, version))? {
            None => self.sums = sums,
            Some(problem) => return Err(self.damaged(&problem)),
        }
        Ok(())
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

    pub(super) fn error(&self, error: rusqlite::Error) -> StoreError {
        StoreError::new(&self.path, error)
    }
}
