//! Follows the journal and the points of a sweep through the database, and writes event files.
//!
//! It reads a bounded number of rows at a time, and remembers only trials that run. `.position`
//! holds its place in the journal; a trial's file holds the last step of each curve. So it resumes
//! after any kind of stop.

use std::{
    collections::BTreeMap,
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    sync::mpsc::{self, RecvTimeoutError},
    thread::{self, JoinHandle},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use anyhow::Context as _;
use swfn_shared::{problem, problem::OrProblem as _};
use swfn_store::{Store, run_dir};
use tracing::warn;

use super::{
    super::trial::{self, Trial},
    event::Event,
    file::EventFile,
    hparams::{self, Status},
};

/// Time between two reads of the database.
const PERIOD: Duration = Duration::from_secs(2);

/// Rows of the journal, and points of one curve, that are read at a time.
const PORTION: usize = 1000;

const POSITION: &str = ".position";

/// An attempt that runs, or whose end is not in its file yet.
#[derive(Debug)]
struct Attempt {
    number: i64,
    /// Seconds since 1970.
    began: f64,
    /// When it ended, in seconds since 1970; without a status if the trial will be retried.
    end: Option<(f64, Option<Status>)>,
    file: Option<(Trial, EventFile)>,
}

#[derive(Debug)]
struct Follower {
    reader: Store,
    root: PathBuf,
    metrics: Vec<(i64, String)>,
    /// The settings that the HPARAMS tab shows.
    varying: Vec<&'static str>,
    /// The last event of the journal that was read.
    position: i64,
    /// By the number of the trial.
    attempts: BTreeMap<i64, Attempt>,
}

impl Follower {
    fn new(reader: Store, root: PathBuf) -> anyhow::Result<Self> {
        fs::create_dir_all(&root).or_problem(
            || problem!("cannot make the folder `{}`", root.display(); "check permissions"),
        )?;
        let (metrics, varying) = (trial::metrics(&reader)?, Trial::varying(&reader)?);
        // An unreadable position counts as 0: everything is replayed into the same files.
        let text = fs::read_to_string(root.join(POSITION)).unwrap_or_default();
        let position = text.trim().parse().unwrap_or(0);
        let mut follower =
            Self { reader, root, metrics, varying, position: 0, attempts: BTreeMap::new() };
        while follower.position < position && follower.read_journal(position)? {
            follower.attempts.retain(|_, attempt| attempt.end.is_none());
        }
        Ok(follower)
    }

    /// Writes what is new; returns whether there may be more.
    fn advance(&mut self, now: f64) -> anyhow::Result<bool> {
        let before = self.position;
        let more = self.read_journal(i64::MAX)?;
        self.write_experiment()?;
        let numbers: Vec<_> = self.attempts.keys().copied().collect();
        for number in numbers {
            if self.write(number, now)? {
                self.attempts.remove(&number);
            }
        }
        if self.position != before {
            let text = format!("{}\n", self.position);
            run_dir::replace(&self.root, POSITION, |file| Ok(file.write_all(text.as_bytes())?))?;
        }
        Ok(more)
    }

    /// Reads a portion of the journal, at most to `through`; returns whether there may be more.
    fn read_journal(&mut self, through: i64) -> anyhow::Result<bool> {
        let sql = "SELECT sequence, trial, attempt, kind, at, quarantine FROM event
                   WHERE sequence > ?1 AND sequence <= ?2 ORDER BY sequence LIMIT ?3";
        let mut rows = 0;
        let Self { reader, position, attempts, .. } = self;
        reader.each(sql, (*position, through, PORTION as i64), |row| {
            rows += 1;
            *position = row.get(0)?;
            let (trial, number, at): (i64, i64, f64) = (row.get(1)?, row.get(2)?, row.get(4)?);
            let status = match row.get_ref(3)?.as_str()? {
                "leased" => {
                    attempts.insert(trial, Attempt { number, began: at, end: None, file: None });
                    return Ok(());
                }
                "succeeded" => Some(Status::Success),
                _ => row.get::<_, bool>(5)?.then_some(Status::Failure),
            };
            if let Some(attempt) = attempts.get_mut(&trial) {
                attempt.end = Some((at, status));
            }
            Ok(())
        })?;
        Ok(rows == PORTION)
    }

    /// Writes which settings vary, again if the grid has grown.
    fn write_experiment(&self) -> anyhow::Result<()> {
        let path = self.root.join("events.out.tfevents.0000000000.swfn");
        let Some(number) = self.attempts.keys().next() else { return Ok(()) };
        let Some(trial) = Trial::read(&self.reader, *number)? else { return Ok(()) };
        let mut bytes = Vec::new();
        Event::first(0.0).frame(&mut bytes);
        hparams::experiment(&trial, &self.varying).frame(&mut bytes);
        if fs::read(&path).is_ok_and(|there| there == bytes) {
            return Ok(());
        }
        fs::write(&path, bytes).with_context(|| format!("cannot write `{}`", path.display()))
    }

    /// Writes the new points of a trial; returns whether the attempt has ended.
    fn write(&mut self, number: i64, now: f64) -> anyhow::Result<bool> {
        let Self { reader, root, metrics, varying, attempts, .. } = self;
        let Some(attempt) = attempts.get_mut(&number) else { return Ok(true) };
        let failed = |id: &str| format!("cannot write the event file of trial `{id}`");
        let (trial, file) = match &mut attempt.file {
            Some(open) => open,
            none => {
                let Some(trial) = Trial::read(reader, number)? else { return Ok(true) };
                let file = EventFile::open(root, &trial, varying, attempt.number, attempt.began)
                    .with_context(|| failed(&trial.id))?;
                none.insert((trial, file))
            }
        };
        if file.has_ended {
            return Ok(true);
        }
        // The database has no times of points: a point came before it was read, and before the end.
        let wall_time = attempt.end.map_or(now, |(at, _)| at.min(now)).max(attempt.began);
        for (metric, tag) in metrics {
            loop {
                let last = file.steps.get(tag).copied().unwrap_or(-1);
                let points =
                    trial::points(reader, (number, attempt.number), *metric, last, PORTION)?;
                let scalar =
                    |(step, value): &(i64, f64)| Event::scalar(wall_time, tag, *step, *value);
                let events: Vec<_> = points.iter().map(scalar).collect();
                file.append(&events).with_context(|| failed(&trial.id))?;
                if points.len() < PORTION {
                    break;
                }
            }
        }
        if let Some((at, Some(status))) = attempt.end {
            file.append(&[hparams::end(status, at)]).with_context(|| failed(&trial.id))?;
        }
        Ok(attempt.end.is_some())
    }
}

fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}

/// Writes or updates the event files of all trials of a database.
pub(in super::super) fn write_once(reader: Store, root: &Path) -> anyhow::Result<()> {
    let mut follower = Follower::new(reader, root.to_owned())?;
    while follower.advance(now())? {}
    Ok(())
}

/// A thread that writes event files while a sweep runs.
#[derive(Debug)]
pub struct Exporter {
    /// Closed when the sweep is over.
    running: mpsc::Sender<()>,
    thread: JoinHandle<()>,
}

impl Exporter {
    /// Starts the thread. It logs and retries errors, which never end the sweep.
    pub fn start(database: PathBuf, root: PathBuf) -> std::io::Result<Self> {
        let (running, over) = mpsc::channel();
        let thread = thread::Builder::new()
            .name("tensorboard".to_owned())
            .spawn(move || follow(&database, &root, &over))?;
        Ok(Self { running, thread })
    }

    /// Waits until all is written.
    pub fn finish(self) {
        drop(self.running);
        self.thread.join().ok();
    }
}

fn follow(database: &Path, root: &Path, over: &mpsc::Receiver<()>) {
    let mut follower: Option<Follower> = None;
    let mut logged = String::new();
    loop {
        let last = over.recv_timeout(PERIOD) != Err(RecvTimeoutError::Timeout);
        let mut advance = || -> anyhow::Result<()> {
            let current = match &mut follower {
                Some(follower) => follower,
                none => none.insert(Follower::new(Store::open_live(database)?, root.to_owned())?),
            };
            while current.advance(now())? {}
            Ok(())
        };
        if let Err(error) = advance() {
            // The next round starts anew, from the files.
            follower = None;
            let text = format!("{error:#}");
            if text != logged {
                warn!("event files for TensorBoard are behind: {text}");
                logged = text;
            }
        }
        if last {
            return;
        }
    }
}

#[cfg(test)]
#[path = "follower_tests.rs"]
mod tests;
