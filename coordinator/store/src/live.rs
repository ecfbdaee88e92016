//! What people look up while the sweep runs: pages of trials, one trial, its curves, the workers. Everything is bounded.

use rusqlite::{Connection, OptionalExtension as _, Row, ToSql, named_params, params};
use swfn_shared::{
    ids::{CellId, TrialId, WorkerId},
    metrics::{self, Outcome},
    snapshot::Running,
    state::TrialState,
    text,
    trial::TrialSpec,
};

use super::{
    read::{TrialRow, outcome, parse},
    read_only::spec_of,
};

/// Bytes of an error in a list; one trial's page has all of it.
const SHORT_TEXT: usize = 300;

/// Events of a trial that its page has: the newest.
const EVENTS: u32 = 20;

/// A part of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Page {
    pub limit: u32,
    pub offset: u32,
}

/// Which trials, and in which order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Choice {
    pub state: Option<TrialState>,
    /// As the file has it: its integers are signed.
    pub seed: Option<i64>,
    /// The cells whose trials are wanted, with their places in [`Order::Cell`]; those of all cells if there is no list.
    pub cells: Option<Vec<(CellId, usize)>>,
    pub order: Order,
    pub descending: bool,
}

/// What trials are ordered by. Those that are equal in it keep the order of the file.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Order {
    /// That of the file.
    #[default]
    File,
    /// Running ones, then those that are done, have failed and wait.
    State,
    /// The places of [`Choice::cells`].
    Cell,
    Seed,
    Accuracy,
    Seconds,
    Attempts,
    Worker,
}

impl Order {
    fn column(self) -> &'static str {
        match self {
            Self::State => {
                "CASE state WHEN 'leased' THEN 0 WHEN 'succeeded' THEN 1 WHEN 'quarantined' THEN 2 ELSE 3 END"
            }
            Self::File => "trial.number",
            Self::Cell => "chosen.place",
            Self::Seed => "seed",
            Self::Accuracy => "final_test_accuracy",
            Self::Seconds => "vae_seconds + classifier_seconds",
            Self::Attempts => "trial.attempt",
            Self::Worker => "result.worker",
        }
    }
}

/// A trial in a list.
#[derive(Debug)]
pub struct TrialLine {
    pub id: TrialId,
    pub cell: CellId,
    pub state: TrialState,
    pub attempts: u32,
    pub spec: TrialSpec,
    pub outcome: Option<Outcome>,
    /// Who trained it, if it succeeded.
    pub worker: Option<String>,
    /// Of the newest failure, of a trial that has not succeeded.
    pub error: Option<String>,
}

/// Everything about one trial.
#[derive(Debug)]
pub struct TrialPage {
    pub line: TrialLine,
    /// What the process said last that ended with the newest failure.
    pub log: Option<String>,
    /// Newest first.
    pub events: Vec<EventLine>,
}

/// A line of the journal.
#[derive(Debug)]
pub struct EventLine {
    /// Seconds since 1970, UTC.
    pub at: f64,
    pub attempt: u32,
    pub kind: String,
    pub worker: Option<String>,
    pub error: Option<String>,
}

/// A worker that has ever joined.
#[derive(Debug)]
pub struct WorkerLine {
    pub id: WorkerId,
    pub host: String,
    pub device: String,
    pub model: String,
    pub threads: Option<u32>,
    pub software: String,
    /// Seconds since 1970, UTC.
    pub joined: f64,
    pub succeeded: i64,
    /// That it spent on those.
    pub seconds: f64,
}

/// The columns that `line` reads.
const LINE: &str = "trial.id, state, trial.attempt, spec,
    CASE state WHEN 'succeeded' THEN NULL ELSE trial.error END, result.worker, final_test_accuracy, best_test_accuracy,
    final_test_loss, vae_seconds, classifier_seconds, validation_accuracy, validated_test_accuracy, trial.cell
    FROM trial LEFT JOIN result
      ON result.trial = trial.number AND result.attempt = trial.attempt AND trial.state = 'succeeded'";

fn line(row: &Row<'_>) -> rusqlite::Result<TrialLine> {
    let worker: Option<String> = row.get("worker")?;
    Ok(TrialLine {
        id: parse(row, "id")?,
        cell: parse(row, "cell")?,
        state: parse(row, "state")?,
        attempts: row.get("attempt")?,
        spec: spec_of(row.get_ref("spec")?)?,
        error: row.get(4)?,
        outcome: worker.as_ref().map(|_| outcome(row)).transpose()?,
        worker,
    })
}

fn short(text: String) -> String {
    let beginning = text::beginning(&text, SHORT_TEXT);
    if beginning.len() < text.len() { format!("{beginning}…") } else { text }
}

/// A page of the trials of the grid that are chosen, and how many are.
pub fn trials(
    connection: &Connection,
    choice: &Choice,
    page: Page,
) -> rusqlite::Result<(i64, Vec<TrialLine>)> {
    const PASSES: &str =
        "in_grid AND (:state IS NULL OR state = :state) AND (:seed IS NULL OR seed = :seed)
                          AND (:cells IS NULL OR chosen.place IS NOT NULL)";
    const CHOSEN: &str =
        "WITH chosen AS MATERIALIZED (SELECT key AS cell, value AS place FROM json_each(:cells))";
    const JOINED: &str = "LEFT JOIN chosen ON chosen.cell = trial.cell";
    let cells = choice.cells.as_ref().map(|cells| {
        let places =
            cells.iter().map(|(cell, place)| (cell.to_string(), serde_json::Value::from(*place)));
        serde_json::Value::Object(places.collect()).to_string()
    });
    let state = choice.state.map(TrialState::name);
    let which: [(&str, &dyn ToSql); 3] =
        [(":state", &state), (":seed", &choice.seed), (":cells", &cells)];
    let mut count = connection
        .prepare_cached(&format!("{CHOSEN} SELECT count(*) FROM trial {JOINED} WHERE {PASSES}"))?;
    let total = count.query_row(&which[..], |row| row.get(0))?;
    let (column, direction) =
        (choice.order.column(), if choice.descending { "DESC" } else { "ASC" });
    // What is not known stands at the end, whatever the direction.
    let sql = format!(
        "{CHOSEN} SELECT {LINE} {JOINED} WHERE {PASSES}
         ORDER BY {column} IS NULL, {column} {direction}, trial.number LIMIT :limit OFFSET :offset"
    );
    let part: [(&str, &dyn ToSql); 2] = [(":limit", &page.limit), (":offset", &page.offset)];
    let mut query = connection.prepare_cached(&sql)?;
    let lines = query.query_map(&[&which[..], &part[..]].concat()[..], |row| {
        let trial = line(row)?;
        Ok(TrialLine { error: trial.error.map(short), ..trial })
    })?;
    Ok((total, lines.collect::<Result<_, _>>()?))
}

/// One trial of the grid.
pub fn trial(connection: &Connection, id: TrialId) -> rusqlite::Result<Option<TrialPage>> {
    let mut query =
        connection.prepare_cached(&format!("SELECT {LINE} WHERE in_grid AND trial.id = :id"))?;
    let id = id.to_string();
    let Some(line) = query.query_row(named_params! {":id": id}, line).optional()? else {
        return Ok(None);
    };
    let number: i64 =
        connection.query_row("SELECT number FROM trial WHERE id = ?1", [id], |row| row.get(0))?;
    let log = "SELECT log FROM event WHERE trial = ?1 AND error IS NOT NULL ORDER BY sequence DESC LIMIT 1";
    let log =
        connection.prepare_cached(log)?.query_row([number], |row| row.get(0)).optional()?.flatten();
    let events = "SELECT at, attempt, kind, worker, error FROM event WHERE trial = ?1 ORDER BY sequence DESC LIMIT ?2";
    let mut query = connection.prepare_cached(events)?;
    let events = query.query_map(params![number, EVENTS], |row| {
        Ok(EventLine {
            at: row.get(0)?,
            attempt: row.get(1)?,
            kind: row.get(2)?,
            worker: row.get(3)?,
            error: row.get::<_, Option<String>>(4)?.map(short),
        })
    })?;
    let events = events.collect::<Result<_, _>>()?;
    Ok(Some(TrialPage { line, log, events }))
}

/// A point of a curve: metric, step, value.
pub type Point = (String, i64, f64);

/// A page of the points of the newest attempt, by metric and step, which attempt that is, and how many points there are; none of a trial
/// that is not of the grid.
pub fn points(
    connection: &Connection,
    id: TrialId,
    metric: Option<&'static str>,
    page: Page,
) -> rusqlite::Result<Option<(u32, i64, Vec<Point>)>> {
    let trial = "SELECT number, attempt FROM trial WHERE in_grid AND id = ?1";
    let trial = connection
        .query_row(trial, [id.to_string()], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    let Some((number, attempt)): Option<(i64, u32)> = trial else { return Ok(None) };
    let metric = metric.and_then(self::metric);
    let which =
        "trial = ?1 AND attempt = ?2 AND metric BETWEEN coalesce(?3, 0) AND coalesce(?3, 1000)";
    let mut count =
        connection.prepare_cached(&format!("SELECT count(*) FROM point WHERE {which}"))?;
    let total = count.query_row(params![number, attempt, metric], |row| row.get(0))?;
    let mut query = connection.prepare_cached(&format!(
        "SELECT (SELECT name FROM metric WHERE number = point.metric), step, value FROM point WHERE {which}
         ORDER BY point.metric, step LIMIT ?4 OFFSET ?5"
    ))?;
    let points = query
        .query_map(params![number, attempt, metric, page.limit, page.offset], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?))
        })?;
    Ok(Some((attempt, total, points.collect::<Result<_, _>>()?)))
}

/// A page of the workers, the last to join first, and how many there are.
pub fn workers(connection: &Connection, page: Page) -> rusqlite::Result<(i64, Vec<WorkerLine>)> {
    let total = connection.query_row("SELECT count(*) FROM worker", [], |row| row.get(0))?;
    let mut query = connection.prepare_cached(
        "WITH page AS (SELECT * FROM worker ORDER BY joined DESC, id LIMIT ?1 OFFSET ?2),
              done AS (SELECT worker, count(*) AS succeeded, sum(vae_seconds + classifier_seconds) AS seconds FROM result
                       WHERE worker IN (SELECT id FROM page) GROUP BY worker)
         SELECT id, host, device, model, threads, software, joined, coalesce(succeeded, 0), coalesce(seconds, 0.0)
         FROM page LEFT JOIN done ON done.worker = page.id ORDER BY joined DESC, id",
    )?;
    let workers = query.query_map(params![page.limit, page.offset], |row| {
        Ok(WorkerLine {
            id: parse(row, 0)?,
            host: row.get(1).map(short)?,
            device: row.get(2).map(short)?,
            model: row.get(3).map(short)?,
            threads: row.get(4)?,
            software: row.get(5).map(short)?,
            joined: row.get(6)?,
            succeeded: row.get(7)?,
            seconds: row.get(8)?,
        })
    })?;
    Ok((total, workers.collect::<Result<_, _>>()?))
}

/// The trials of the grid with what a table of cells needs: neither worker nor log.
pub fn outcomes(connection: &Connection) -> rusqlite::Result<Vec<TrialRow>> {
    let mut query = connection.prepare_cached(
        "SELECT id, state, trial.attempt, final_test_accuracy, best_test_accuracy, final_test_loss, vae_seconds, classifier_seconds,
                validation_accuracy, validated_test_accuracy
         FROM trial LEFT JOIN result
           ON result.trial = trial.number AND result.attempt = trial.attempt AND trial.state = 'succeeded'
         WHERE in_grid ORDER BY trial.number",
    )?;
    let rows = query.query_map([], |row| {
        Ok(TrialRow {
            id: parse(row, 0)?,
            state: parse(row, 1)?,
            attempts: row.get(2)?,
            error: None,
            log: None,
            worker: None,
            outcome: row.get::<_, Option<f64>>(3)?.map(|_| outcome(row)).transpose()?,
            dataset_digest: None,
        })
    })?;
    rows.collect()
}

/// What the journal, the results, the curves and the workers come to: it changes whenever any of them does.
pub fn fingerprint(connection: &Connection) -> rusqlite::Result<String> {
    let sql = "SELECT coalesce(group_concat(name || rows || ':' || digest), '') FROM integrity";
    connection.query_row(sql, [], |row| row.get(0))
}

/// The states of the trials of the grid.
pub fn states(connection: &Connection) -> rusqlite::Result<Vec<(TrialId, TrialState)>> {
    let mut query = connection.prepare_cached("SELECT id, state FROM trial WHERE in_grid")?;
    query.query_map([], |row| Ok((parse(row, 0)?, parse(row, 1)?)))?.collect()
}

/// The trials of the grid that somebody has a lease of, as far as their curves have come.
pub fn running(connection: &Connection) -> rusqlite::Result<Vec<Running>> {
    let mut query = connection.prepare_cached(
        "SELECT trial.id, event.worker,
                coalesce((SELECT max(step) FROM point WHERE point.trial = trial.number
                          AND point.attempt = trial.attempt AND metric = ?1), 0)
                + coalesce((SELECT max(step) FROM point WHERE point.trial = trial.number
                            AND point.attempt = trial.attempt AND metric = ?2), 0)
         FROM event JOIN trial ON trial.number = event.trial AND trial.attempt = event.attempt
         WHERE in_grid AND state = 'leased' AND kind = 'leased' AND event.worker IS NOT NULL",
    )?;
    let running = query.query_map(
        params![metric(metrics::VAE_LOSS), metric(metrics::TRAIN_LOSS)],
        |row| {
            Ok(Running {
                trial: parse(row, 0)?,
                worker: parse(row, 1)?,
                step: row.get::<_, i64>(2)?.max(0) as u64,
            })
        },
    )?;
    running.collect()
}

/// The number of a metric in the file, by which the primary key finds its points.
fn metric(name: &str) -> Option<i64> {
    metrics::ALL.iter().position(|known| *known == name).map(|index| index as i64)
}
