//! A sweep in a folder of its own: its grid, its processes, its results.

use std::{collections::BTreeMap, fs, path::PathBuf, process::Command};

use rusqlite::{Connection, OpenFlags};
use tempfile::TempDir;

use crate::{
    process::{Process, wait_until},
    programs,
};

/// A folder with a grid file and a run directory.
#[derive(Debug)]
pub struct Sweep {
    folder: TempDir,
}

/// One line of the journal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JournalLine {
    /// The trial's id.
    pub trial: String,
    /// The attempt.
    pub attempt: u32,
    /// leased, succeeded, failed, lost or released.
    pub kind: String,
    /// The worker, of a lease.
    pub worker: Option<String>,
}

impl Sweep {
    /// A grid on the synthetic digits. `axes`: the lines of `[grid]`; `iterations`: of each classifier.
    ///
    /// # Panics
    /// If the folder cannot be written.
    pub fn new(axes: &str, iterations: u32) -> Self {
        let grid = format!(
            "version = 1\nname = \"test\"\n[data]\ndataset = \"synthetic\"\n[grid]\n{axes}\n\
             [classifier]\niterations = {iterations}\nevaluate_every = {iterations}\n[vae]\niterations = 60\n\
             [run]\nlease_seconds = 4\n"
        );
        Self::of_grid(&grid)
    }

    /// Any grid file.
    ///
    /// # Panics
    /// If the folder cannot be written.
    pub fn of_grid(text: &str) -> Self {
        let sweep = Self { folder: TempDir::new().expect("a temporary folder can be made") };
        fs::write(sweep.grid(), text).expect("the folder can be written");
        sweep
    }

    /// The grid file.
    pub fn grid(&self) -> PathBuf {
        self.folder.path().join("grid.toml")
    }

    /// The run directory.
    pub fn run_dir(&self) -> PathBuf {
        self.folder.path().join("run")
    }

    /// The cache folder of all its processes.
    pub fn cache(&self) -> PathBuf {
        self.folder.path().join("cache")
    }

    /// Starts the coordinator with more arguments.
    pub fn coordinator(&self, name: &str, arguments: &[&str]) -> Process {
        let mut command = Command::new(programs::folder().join("swfn-coordinator"));
        command.arg("--grid").arg(self.grid()).arg("--run-dir").arg(self.run_dir()).args(arguments);
        self.start(&mut command, name)
    }

    /// Starts a worker, with its supervisor, for that coordinator.
    pub fn worker(&self, name: &str, address: &str, arguments: &[&str]) -> Process {
        let mut command = Command::new(programs::folder().join("swfn-worker"));
        command.args(["--coordinator", address, "--devices", "cpu"]).args(arguments);
        self.start(&mut command, name)
    }

    /// Starts `swfn-worker` with a subcommand.
    pub fn program(&self, name: &str, arguments: &[&str]) -> Process {
        self.start(Command::new(programs::folder().join("swfn-worker")).args(arguments), name)
    }

    /// What programs keep for later runs lies in this sweep's folder: no test sees what another has trained, and none touches the
    /// user's own cache.
    fn start(&self, command: &mut Command, name: &str) -> Process {
        command.env_remove("RUST_LOG").env("SWFN_CACHE", self.cache());
        Process::start(command, self.folder.path(), name)
    }

    /// The address that a coordinator tells its workers.
    pub fn address(&self, coordinator: &Process) -> String {
        wait_until("the coordinator's address", || {
            let log = coordinator.stderr();
            let start = log.find("--coordinator http")? + "--coordinator ".len();
            log[start..].split('`').next().map(str::to_owned)
        })
    }

    fn database(&self) -> Option<Connection> {
        Connection::open_with_flags(self.run_dir().join("sweep.sqlite"), OpenFlags::SQLITE_OPEN_READ_ONLY).ok()
    }

    /// A number from the database, while the sweep runs or after it.
    pub fn query(&self, sql: &str) -> Option<i64> {
        self.database()?.query_row(sql, [], |row| row.get(0)).ok()
    }

    /// Trials with a result.
    pub fn succeeded(&self) -> i64 {
        self.query("SELECT count(*) FROM trial WHERE state = 'succeeded'").unwrap_or(0)
    }

    /// The journal, in order.
    ///
    /// # Panics
    /// If there is none.
    pub fn journal(&self) -> Vec<JournalLine> {
        let database = self.database().expect("the run directory has a database");
        let sql = "SELECT trial.id, event.attempt, kind, worker FROM event JOIN trial ON trial.number = event.trial ORDER BY sequence";
        let mut query = database.prepare(sql).expect("the journal can be read");
        let lines = query.query_map([], |row| {
            Ok(JournalLine { trial: row.get(0)?, attempt: row.get(1)?, kind: row.get(2)?, worker: row.get(3)? })
        });
        lines.and_then(Iterator::collect).expect("the journal can be read")
    }

    /// A column-by-column reading of a CSV file of the run directory.
    ///
    /// # Panics
    /// If the file is not there or is no CSV.
    pub fn csv(&self, name: &str) -> Vec<BTreeMap<String, String>> {
        let path = self.run_dir().join(name);
        let mut reader = csv::Reader::from_path(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        reader.deserialize().collect::<Result<_, _>>().unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    }

    /// What must not depend on who trained a trial, when, and how often it was tried: the outcomes of all trials and all their curves.
    pub fn results(&self) -> Vec<String> {
        let mut lines = Vec::new();
        for file in ["trials.csv", "curves.csv"] {
            for mut row in self.csv(file) {
                for changing in ["vae_seconds", "classifier_seconds", "attempts", "worker", "error"] {
                    row.remove(changing);
                }
                lines.push(format!("{file} {row:?}"));
            }
        }
        lines
    }
}
