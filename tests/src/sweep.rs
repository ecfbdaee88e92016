//! A sweep in its own folder: its grid, its processes, its results.

use std::{
    collections::BTreeMap,
    ffi::OsStr,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use rusqlite::{Connection, OpenFlags};
use tempfile::TempDir;

use crate::{
    images::{self, FEW},
    process::{Process, wait_until},
    programs,
};

/// A folder with a grid file and a run directory.
#[derive(Debug)]
pub struct Sweep {
    folder: PathBuf,
    /// The folder is removed when the sweep is dropped.
    _temporary: Option<TempDir>,
    /// Environment variables of all its processes.
    environment: Vec<(String, String)>,
    /// The folder of its images; `None` for the synthetic digits.
    data: Option<PathBuf>,
}

/// Makes a grid of small trials on few images.
///
/// `axes` has the lines of `[grid]`. `iterations` is that of each classifier. `more` has further
/// lines, the first of them for `[run]`.
pub fn grid(axes: &str, iterations: u32, more: &str) -> String {
    format!(
        "version = 1\nname = \"test\"\n{FEW}[grid]\n{axes}\n\
         [classifier]\niterations = {iterations}\nevaluate_every = {iterations}\n[vae]\niterations = 60\n[run]\n{more}\n"
    )
}

/// Opens the database of a run directory for reading.
///
/// # Errors
/// If there is none yet.
pub fn database(run_dir: &Path) -> rusqlite::Result<Connection> {
    Connection::open_with_flags(run_dir.join("sweep.sqlite"), OpenFlags::SQLITE_OPEN_READ_ONLY)
}

/// One line of the journal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JournalLine {
    /// The trial's id.
    pub trial: String,
    /// The number of the attempt.
    pub attempt: u32,
    /// leased, succeeded, failed, lost or released.
    pub kind: String,
    /// The worker of a lease.
    pub worker: Option<String>,
}

impl Sweep {
    /// Makes a sweep of small trials on few images, with leases that a busy machine does not break.
    ///
    /// # Panics
    /// If the folder cannot be written.
    pub fn new(axes: &str, iterations: u32) -> Self {
        Self::with_leases(60, axes, iterations)
    }

    /// Does the same as [`Self::new`], with leases of so many seconds.
    ///
    /// # Panics
    /// If the folder cannot be written.
    pub fn with_leases(seconds: u32, axes: &str, iterations: u32) -> Self {
        Self::with_grid(&grid(axes, iterations, &format!("lease_seconds = {seconds}")))
            .on(images::few())
    }

    /// Makes a sweep on the synthetic digits. Each trial is tested on ten thousand of them.
    ///
    /// # Panics
    /// If the folder cannot be written.
    pub fn with_digits(axes: &str, iterations: u32) -> Self {
        let digits = "[data]\ndataset = \"synthetic\"\n";
        Self::with_grid(&grid(axes, iterations, "lease_seconds = 60").replace(FEW, digits))
    }

    /// Makes a sweep of any grid file.
    ///
    /// # Panics
    /// If the folder cannot be written.
    pub fn with_grid(text: &str) -> Self {
        Self::in_folder(&std::env::temp_dir(), text)
    }

    /// Makes a sweep of any grid file, in a new folder below `parent`.
    ///
    /// # Panics
    /// If the folder cannot be written.
    pub fn in_folder(parent: &Path, text: &str) -> Self {
        let folder = TempDir::new_in(parent).expect("a temporary folder can be made");
        let sweep = Self::existing(folder.path());
        fs::write(sweep.grid(), text).expect("the folder can be written");
        Self { _temporary: Some(folder), ..sweep }
    }

    /// Opens the sweep that has that folder already.
    pub fn existing(folder: &Path) -> Self {
        Self { folder: folder.to_owned(), _temporary: None, environment: Vec::new(), data: None }
    }

    /// Sets the folder of the images.
    pub fn on(self, data: &Path) -> Self {
        Self { data: Some(data.to_owned()), ..self }
    }

    /// Makes trials evaluate and report after each `iterations` iterations.
    ///
    /// # Panics
    /// If the grid has no `evaluate_every`.
    pub fn evaluated_every(self, iterations: u32) -> Self {
        let grid = fs::read_to_string(self.grid()).expect("the grid is there");
        let (before, after) =
            grid.split_once("evaluate_every = ").expect("the grid says how often");
        let after = after.trim_start_matches(|digit: char| digit.is_ascii_digit());
        fs::write(self.grid(), format!("{before}evaluate_every = {iterations}{after}"))
            .expect("the folder can be written");
        self
    }

    /// Makes trials slow without using the processor. They sleep for so many milliseconds at each
    /// report: at each evaluation and every hundred iterations.
    pub fn slowed(self, milliseconds: u32) -> Self {
        self.with("SWFN_SLOW", &milliseconds.to_string())
    }

    /// Sets an environment variable for all its processes.
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Returns its folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Makes a command for one of the programs, to be started with [`Self::start`].
    pub fn command(&self, program: &str) -> Command {
        Command::new(programs::folder().join(program))
    }

    /// Returns the path of the grid file.
    pub fn grid(&self) -> PathBuf {
        self.folder.join("grid.toml")
    }

    /// Returns the run directory.
    pub fn run_dir(&self) -> PathBuf {
        self.folder.join("run")
    }

    /// Returns the cache folder of all its processes.
    pub fn cache(&self) -> PathBuf {
        self.folder.join("cache")
    }

    /// Starts the coordinator with further arguments.
    pub fn coordinator(&self, name: &str, arguments: &[&str]) -> Process {
        self.start(&mut self.coordinator_command(arguments), name)
    }

    /// Makes a command for the coordinator, to be started with [`Self::start`]. It draws no charts
    /// unless the arguments say so.
    pub fn coordinator_command(&self, arguments: &[&str]) -> Command {
        let mut command = self.command("swfn-coordinator");
        command.arg("--grid").arg(self.grid()).arg("--run-dir").arg(self.run_dir()).args(arguments);
        if !arguments.contains(&"--report") {
            command.args(["--report", "tables"]);
        }
        command
            .args(self.data.iter().flat_map(|data| [OsStr::new("--data-dir"), data.as_os_str()]));
        command
    }

    /// Starts the coordinator with these arguments alone.
    pub fn bare_coordinator(&self, name: &str, arguments: &[&str]) -> Process {
        self.start(Command::new(programs::folder().join("swfn-coordinator")).args(arguments), name)
    }

    /// Starts a worker, with its supervisor, for that coordinator.
    pub fn worker(&self, name: &str, address: &str, arguments: &[&str]) -> Process {
        self.start(&mut self.worker_command(address, arguments), name)
    }

    /// Makes a command for such a worker, to be started with [`Self::start`].
    pub fn worker_command(&self, address: &str, arguments: &[&str]) -> Command {
        let mut command = self.command("swfn-worker");
        command.args(["--coordinator", address, "--devices", "cpu"]).args(arguments);
        command
            .args(self.data.iter().flat_map(|data| [OsStr::new("--data-dir"), data.as_os_str()]));
        command
    }

    /// Starts `swfn-worker` with a subcommand.
    pub fn program(&self, name: &str, arguments: &[&str]) -> Process {
        self.start(self.command("swfn-worker").args(arguments), name)
    }

    /// Starts `swfn-worker train` with this sweep's grid.
    pub fn train(&self, name: &str, arguments: &[&str]) -> Process {
        let mut command = self.command("swfn-worker");
        command.args(["train", "--spec"]).arg(self.grid()).args(arguments);
        command
            .args(self.data.iter().flat_map(|data| [OsStr::new("--data-dir"), data.as_os_str()]));
        self.start(&mut command, name)
    }

    /// Starts a program of this sweep. Its cache lies in this sweep's folder, so tests share
    /// nothing and leave the user's own cache alone.
    pub fn start(&self, command: &mut Command, name: &str) -> Process {
        command.env_remove("RUST_LOG").env("SWFN_CACHE", self.cache());
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        Process::start(command, &self.folder, name)
    }

    /// Whether a coordinator is at work: it has logged the address for workers.
    pub fn is_at_work(coordinator: &Process) -> bool {
        logged_address(coordinator).is_some()
    }

    /// Waits for the address for workers in the coordinator's log.
    pub fn address(&self, coordinator: &Process) -> String {
        wait_until("the coordinator's address", || logged_address(coordinator))
    }

    /// Does the same as [`Self::address`], but returns `None` if the coordinator ends first.
    pub fn address_or_end(&self, coordinator: &mut Process) -> Option<String> {
        wait_until("the coordinator's address or end", || match logged_address(coordinator) {
            Some(address) => Some(Some(address)),
            None => coordinator.ended().map(|_| None),
        })
    }

    /// Waits for the dashboard's host and port in the coordinator's log.
    pub fn dashboard(&self, coordinator: &Process) -> String {
        logged_after(coordinator, "dashboard: http://")
    }

    /// Waits for the health service's host and port in the coordinator's log.
    pub fn health(&self, coordinator: &Process) -> String {
        logged_after(coordinator, "health: ")
    }

    /// Opens its database, while the sweep runs or after it.
    pub fn database(&self) -> Option<Connection> {
        database(&self.run_dir()).ok()
    }

    /// Reads a number from the database, while the sweep runs or after it.
    pub fn query(&self, sql: &str) -> Option<i64> {
        self.database()?.query_row(sql, [], |row| row.get(0)).ok()
    }

    /// Counts the trials with a result.
    pub fn succeeded(&self) -> i64 {
        self.query("SELECT count(*) FROM trial WHERE state = 'succeeded'").unwrap_or(0)
    }

    /// Reads the journal, in order.
    ///
    /// # Panics
    /// If there is none.
    pub fn journal(&self) -> Vec<JournalLine> {
        let database = self.database().expect("the run directory has a database");
        let sql = "SELECT trial.id, event.attempt, kind, worker FROM event JOIN trial ON trial.number = event.trial ORDER BY sequence";
        let mut query = database.prepare(sql).expect("the journal can be read");
        let lines = query.query_map([], |row| {
            Ok(JournalLine {
                trial: row.get(0)?,
                attempt: row.get(1)?,
                kind: row.get(2)?,
                worker: row.get(3)?,
            })
        });
        lines.and_then(Iterator::collect).expect("the journal can be read")
    }

    /// Reads a CSV file of the run directory, each row as a map by column.
    ///
    /// # Panics
    /// If the file is missing or is not CSV.
    pub fn csv(&self, name: &str) -> Vec<BTreeMap<String, String>> {
        let path = self.run_dir().join(name);
        let mut reader = csv::Reader::from_path(&path)
            .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        reader
            .deserialize()
            .collect::<Result<_, _>>()
            .unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    }

    /// Reads the outcomes of all trials and all their curves. They must not depend on workers,
    /// times and attempts, nor on other trials, so the columns that do are removed.
    pub fn results(&self) -> Vec<String> {
        let mut lines = Vec::new();
        for file in ["trials.csv", "curves.csv"] {
            for mut row in self.csv(file) {
                for changing in [
                    "vae_seconds",
                    "classifier_seconds",
                    "attempts",
                    "worker",
                    "software",
                    "error",
                    "variant",
                ] {
                    row.remove(changing);
                }
                lines.push(format!("{file} {row:?}"));
            }
        }
        lines
    }
}

/// Replaces the host of an address by loopback. The logged name need not be known on this machine.
///
/// # Panics
/// If the address has no port.
pub fn from_here(address: &str) -> String {
    assert!(!address.starts_with("0.0.0.0"), "nobody can go to `{address}`");
    let (_, port) = address.rsplit_once(':').expect("an address has a port");
    format!("127.0.0.1:{port}")
}

fn logged_after(coordinator: &Process, words: &str) -> String {
    wait_until(words, || {
        let log = coordinator.stderr();
        let (_, address) = log.split_once(words)?;
        // The line may be incomplete yet.
        address.split_once([';', ' ', '"', '\n']).map(|(address, _)| address.trim().to_owned())
    })
}

fn logged_address(coordinator: &Process) -> Option<String> {
    let log = coordinator.stderr();
    let start = log.find("--coordinator http")? + "--coordinator ".len();
    let end = log[start..].find(['`', ' ', '"', '\n'])?;
    Some(log[start..start + end].to_owned())
}
