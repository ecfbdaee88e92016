//! Follows the journal and the points of a sweep, from the database alone, and writes them down as they come.
//!
//! It reads now and then, a bounded number of rows at a time, and remembers only trials that are under way. How far it has come in the
//! journal stands in `.position`; a trial's file says how far its curves have. So it goes on where it stopped, however it stopped.

use std::{
    collections::BTreeMap,
    fs,
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
    super::trial::Trial,
    event::Event,
    file::EventFile,
    hparams::{self, Status},
};

/// Time between two looks at the database.
const PERIOD: Duration = Duration::from_secs(2);

/// Rows of the journal, and points of one curve, that are read at a time.
const PORTION: usize = 1000;

const POSITION: &str = ".position";

/// An attempt that is under way, or whose end has not been written.
#[derive(Debug)]
struct Attempt {
    number: i64,
    /// Seconds since 1970.
    began: f64,
    end: Option<End>,
    file: Option<(Trial, EventFile)>,
}

#[derive(Debug, Clone, Copy)]
struct End {
    at: f64,
    /// None if the trial will be tried again.
    status: Option<Status>,
}

/// What follows.
#[derive(Debug)]
struct Follower {
    reader: Store,
    root: PathBuf,
    metrics: Vec<(i64, String)>,
    /// The settings that are shown.
    varying: Vec<&'static str>,
    /// Of the journal.
    position: i64,
    attempts: BTreeMap<i64, Attempt>,
}

impl Follower {
    fn new(reader: Store, root: PathBuf) -> anyhow::Result<Self> {
        fs::create_dir_all(&root).or_problem(
            || problem!("cannot make the folder `{}`", root.display(); "check permissions"),
        )?;
        let metrics = reader.all("SELECT number, name FROM metric ORDER BY number", [], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })?;
        let varying = Trial::varying(&reader)?;
        // One that makes no sense is as good as none: then all is gone through again, to the same files.
        let position =
            fs::read_to_string(root.join(POSITION)).ok().and_then(|text| text.trim().parse().ok());
        let mut follower =
            Self { reader, root, metrics, varying, position: 0, attempts: BTreeMap::new() };
        let position = position.unwrap_or(0);
        while follower.position < position && follower.journal(position)? {
            follower.attempts.retain(|_, attempt| attempt.end.is_none());
        }
        Ok(follower)
    }

    /// Takes what is new; true if there may be more.
    fn advance(&mut self, now: f64) -> anyhow::Result<bool> {
        let before = self.position;
        let more = self.journal(i64::MAX)?;
        self.say_what_there_is()?;
        let numbers: Vec<_> = self.attempts.keys().copied().collect();
        for number in numbers {
            if self.write(number, now)? {
                self.attempts.remove(&number);
            }
        }
        if self.position != before {
            let text = format!("{}\n", self.position);
            run_dir::replace(&self.root, POSITION, |file| {
                Ok(std::io::Write::write_all(file, text.as_bytes())?)
            })?;
        }
        Ok(more)
    }

    /// Reads a portion of the journal, up to that place; true if there may be more.
    fn journal(&mut self, through: i64) -> anyhow::Result<bool> {
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
                attempt.end = Some(End { at, status });
            }
            Ok(())
        })?;
        Ok(rows == PORTION)
    }

    /// Which settings vary; a grid may have grown since it was written.
    fn say_what_there_is(&self) -> anyhow::Result<()> {
        let path = self.root.join("events.out.tfevents.0000000000.swfn");
        let Some(number) = self.attempts.keys().next() else { return Ok(()) };
        let Some(trial) = Trial::read(&self.reader, *number)? else { return Ok(()) };
        let mut bytes = Vec::new();
        [Event::first(0.0), hparams::experiment(&trial, &self.varying)]
            .iter()
            .for_each(|event| event.frame(&mut bytes));
        if fs::read(&path).is_ok_and(|there| there == bytes) {
            return Ok(());
        }
        fs::write(&path, bytes).with_context(|| format!("cannot write `{}`", path.display()))
    }

    /// Writes what there is of a trial; true when nothing more will come of this attempt.
    fn write(&mut self, number: i64, now: f64) -> anyhow::Result<bool> {
        let Self { reader, root, metrics, varying, attempts, .. } = self;
        let Some(attempt) = attempts.get_mut(&number) else { return Ok(true) };
        if attempt.file.is_none() {
            let Some(trial) = Trial::read(reader, number)? else { return Ok(true) };
            let file = EventFile::open(root, &trial, varying, attempt.number, attempt.began);
            let file = file
                .with_context(|| format!("cannot write the event file of trial `{}`", trial.id))?;
            attempt.file = Some((trial, file));
        }
        let Some((trial, file)) = &mut attempt.file else { return Ok(true) };
        if file.has_ended() {
            return Ok(true);
        }
        // When the database got a point, nobody wrote down: it was before it was seen, and before the end.
        let wall_time = attempt.end.map_or(now, |end| end.at.min(now)).max(attempt.began);
        let failed = || format!("cannot write the event file of trial `{}`", trial.id);
        for (metric, tag) in metrics {
            loop {
                let sql = "SELECT step, value FROM point
                           WHERE trial = ?1 AND attempt = ?2 AND metric = ?3 AND step > ?4 ORDER BY step LIMIT ?5";
                let last = file.last_step(tag).unwrap_or(-1);
                let parameters = (number, attempt.number, *metric, last, PORTION as i64);
                let points: Vec<(i64, f64)> =
                    reader.all(sql, parameters, |row| Ok((row.get(0)?, row.get(1)?)))?;
                let scalar =
                    |(step, value): &(i64, f64)| Event::scalar(wall_time, tag, *step, *value);
                file.add(points.iter().map(scalar)).with_context(failed)?;
                if points.len() < PORTION {
                    break;
                }
            }
        }
        let Some(end) = attempt.end else { return Ok(false) };
        if let Some(status) = end.status {
            file.add(std::iter::once(hparams::end(status, end.at))).with_context(failed)?;
        }
        Ok(true)
    }
}

fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}

/// Writes the event files of all that a database has, into a folder of their own, or brings that up to date.
pub(in super::super) fn write_once(reader: Store, root: &Path) -> anyhow::Result<()> {
    let mut follower = Follower::new(reader, root.to_owned())?;
    while follower.advance(now())? {}
    Ok(())
}

/// Writes event files beside a sweep, on a thread of its own.
#[derive(Debug)]
pub struct Exporter {
    /// Closed when the sweep is over.
    running: mpsc::Sender<()>,
    thread: JoinHandle<()>,
}

impl Exporter {
    /// Starts it. Whatever goes wrong with event files is said, tried again, and never the end of a sweep.
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
    let mut told = String::new();
    loop {
        let last = over.recv_timeout(PERIOD) != Err(RecvTimeoutError::Timeout);
        let mut advance = || -> anyhow::Result<Follower> {
            let mut current = match follower.take() {
                Some(follower) => follower,
                None => Follower::new(Store::open_live(database)?, root.to_owned())?,
            };
            while current.advance(now())? {}
            Ok(current)
        };
        match advance() {
            Ok(current) => follower = Some(current),
            // After an error it begins anew, from its files.
            Err(error) => {
                let text = format!("{error:#}");
                if text != told {
                    warn!("event files for TensorBoard are behind: {text}");
                    told = text;
                }
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
