//! Bounded lists for the page: trials, one trial, its points, workers.

use rusqlite::{Connection, OptionalExtension as _, Row, ToSql, named_params, params};
use serde::{Serialize, Serializer};
use swfn_shared::{
    axes::Axis,
    ids::{CellId, TrialId, WorkerId},
    metrics::{self, Outcome},
    snapshot::Running,
    state::TrialState,
    text,
    trial::TrialSpec,
};

use super::{
    read::{TrialRow, outcome, parse},
    read_only::{all, spec_of},
};

/// The most bytes of an error in a list; one trial's page has all of it.
const SHORT_TEXT: usize = 300;

/// A part of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Page {
    pub limit: u32,
    pub offset: u32,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Choice {
    pub state: Option<TrialState>,
    /// Signed, as integers of the file are.
    pub seed: Option<i64>,
    /// The chosen cells, with their positions in [`Order::Cell`]; `None` for all cells.
    pub cells: Option<Vec<(CellId, usize)>>,
    pub order: Order,
    pub descending: bool,
}

/// The order of trials. Equal ones keep the order of the file.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Order {
    #[default]
    File,
    /// Running, done, failed, waiting.
    State,
    /// The positions in [`Choice::cells`].
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
                "CASE state WHEN 'leased' THEN 0 WHEN 'succeeded' THEN 1 WHEN 'quarantined' THEN 2
                 ELSE 3 END"
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

#[derive(Debug, Serialize)]
pub struct TrialLine {
    pub id: TrialId,
    pub cell: CellId,
    pub state: TrialState,
    pub attempts: u32,
    /// In JSON its cell, axis by axis.
    #[serde(flatten, serialize_with = "by_axis")]
    pub spec: TrialSpec,
    pub outcome: Option<Outcome>,
    /// The worker that trained it, if it succeeded.
    pub worker: Option<String>,
    /// The newest failure, unless the trial has succeeded.
    pub error: Option<String>,
}

fn by_axis<S: Serializer>(spec: &TrialSpec, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(Axis::cell_columns(spec))
}

#[derive(Debug)]
pub struct TrialPage {
    pub line: TrialLine,
    /// The end of the log of the process that failed last.
    pub log: Option<String>,
    /// The newest ones, newest first.
    pub events: Vec<EventLine>,
}

#[derive(Debug, Serialize)]
pub struct EventLine {
    /// Seconds since 1970, UTC.
    pub at: f64,
    pub attempt: u32,
    pub kind: String,
    pub worker: Option<String>,
    pub error: Option<String>,
}

/// A worker that has ever joined.
#[derive(Debug, Serialize)]
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
    /// Seconds that it trained them.
    pub seconds: f64,
}

/// The columns that `line` reads.
const LINE: &str = "trial.id, state, trial.attempt, spec, trial.cell,
    CASE state WHEN 'succeeded' THEN NULL ELSE trial.error END, result.*
    FROM trial LEFT JOIN result ON result.trial = trial.number
      AND result.attempt = trial.attempt AND trial.state = 'succeeded'";

fn line(row: &Row<'_>) -> rusqlite::Result<TrialLine> {
    let worker: Option<String> = row.get("worker")?;
    Ok(TrialLine {
        id: parse(row, "id")?,
        cell: parse(row, "cell")?,
        state: parse(row, "state")?,
        attempts: row.get("attempt")?,
        spec: spec_of(row.get_ref("spec")?)?,
        error: row.get(5)?,
        outcome: worker.as_ref().map(|_| outcome(row)).transpose()?,
        worker,
    })
}

fn short(text: String) -> String {
    let beginning = text::beginning(&text, SHORT_TEXT);
    if beginning.len() < text.len() { format!("{beginning}…") } else { text }
}

/// A page of the chosen trials of the grid, and the number of chosen ones.
pub fn trials(
    connection: &Connection,
    choice: &Choice,
    page: Page,
) -> rusqlite::Result<(i64, Vec<TrialLine>)> {
    const PASSES: &str = "in_grid AND (:state IS NULL OR state = :state)
        AND (:seed IS NULL OR seed = :seed) AND (:cells IS NULL OR chosen.place IS NOT NULL)";
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
    // Unknown values stand at the end in both directions.
    let sql = format!(
        "{CHOSEN} SELECT {LINE} {JOINED} WHERE {PASSES}
         ORDER BY {column} IS NULL, {column} {direction}, trial.number LIMIT :limit OFFSET :offset"
    );
    let part: [(&str, &dyn ToSql); 2] = [(":limit", &page.limit), (":offset", &page.offset)];
    let lines = all(connection, &sql, &[&which[..], &part[..]].concat()[..], |row| {
        let trial = line(row)?;
        Ok(TrialLine { error: trial.error.map(short), ..trial })
    })?;
    Ok((total, lines))
}

pub fn trial(connection: &Connection, id: TrialId) -> rusqlite::Result<Option<TrialPage>> {
    let mut query =
        connection.prepare_cached(&format!("SELECT {LINE} WHERE in_grid AND trial.id = :id"))?;
    let id = id.to_string();
    let Some(line) = query.query_row(named_params! {":id": id}, line).optional()? else {
        return Ok(None);
    };
    let number: i64 =
        connection.query_row("SELECT number FROM trial WHERE id = ?1", [id], |row| row.get(0))?;
    let log = "SELECT log FROM event WHERE trial = ?1 AND error IS NOT NULL
               ORDER BY sequence DESC LIMIT 1";
    let log =
        connection.prepare_cached(log)?.query_row([number], |row| row.get(0)).optional()?.flatten();
    let events = "SELECT at, attempt, kind, worker, error FROM event WHERE trial = ?1
                  ORDER BY sequence DESC LIMIT 20";
    let events = all(connection, events, [number], |row| {
        Ok(EventLine {
            at: row.get(0)?,
            attempt: row.get(1)?,
            kind: row.get(2)?,
            worker: row.get(3)?,
            error: row.get::<_, Option<String>>(4)?.map(short),
        })
    })?;
    Ok(Some(TrialPage { line, log, events }))
}

#[derive(Debug, Serialize)]
pub struct Point {
    pub metric: String,
    pub step: i64,
    pub value: f64,
}

/// The newest attempt of a trial of the grid, the number of its points, and a page of them.
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
    // All metrics without a name; none for a name that the file lacks.
    let which = "trial = ?1 AND attempt = ?2
        AND metric BETWEEN coalesce((SELECT number FROM metric WHERE name = ?3), 0)
        AND coalesce((SELECT number FROM metric WHERE name = ?3), iif(?3 IS NULL, 1000, -1))";
    let mut count =
        connection.prepare_cached(&format!("SELECT count(*) FROM point WHERE {which}"))?;
    let total = count.query_row(params![number, attempt, metric], |row| row.get(0))?;
    let sql = format!(
        "SELECT (SELECT name FROM metric WHERE number = point.metric), step, value FROM point
         WHERE {which} ORDER BY point.metric, step LIMIT ?4 OFFSET ?5"
    );
    let parameters = (number, attempt, metric, page.limit, page.offset);
    let points = all(connection, &sql, parameters, |row| {
        Ok(Point { metric: row.get(0)?, step: row.get(1)?, value: row.get(2)? })
    })?;
    Ok(Some((attempt, total, points)))
}

/// The number of workers, and a page of them, the newest first.
pub fn workers(connection: &Connection, page: Page) -> rusqlite::Result<(i64, Vec<WorkerLine>)> {
    let total = connection.query_row("SELECT count(*) FROM worker", [], |row| row.get(0))?;
    let sql = "WITH page AS (SELECT * FROM worker ORDER BY joined DESC, id LIMIT ?1 OFFSET ?2),
                    done AS (SELECT worker, count(*) AS succeeded,
                                    sum(vae_seconds + classifier_seconds) AS seconds
                             FROM result WHERE worker IN (SELECT id FROM page) GROUP BY worker)
               SELECT id, host, device, model, threads, software, joined, coalesce(succeeded, 0),
                      coalesce(seconds, 0.0)
               FROM page LEFT JOIN done ON done.worker = page.id ORDER BY joined DESC, id";
    let workers = all(connection, sql, (page.limit, page.offset), |row| {
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
    Ok((total, workers))
}

/// The trials of the grid for a table of cells: without worker and log.
pub fn outcomes(connection: &Connection) -> rusqlite::Result<Vec<TrialRow>> {
    let sql = "SELECT id, state, trial.attempt, result.*
               FROM trial LEFT JOIN result ON result.trial = trial.number
                 AND result.attempt = trial.attempt AND trial.state = 'succeeded'
               WHERE in_grid ORDER BY trial.number";
    all(connection, sql, [], |row| {
        Ok(TrialRow {
            id: parse(row, 0)?,
            state: parse(row, 1)?,
            attempts: row.get(2)?,
            error: None,
            log: None,
            worker: None,
            outcome: row.get::<_, Option<i64>>(3)?.map(|_| outcome(row)).transpose()?,
            dataset_digest: None,
        })
    })
}

/// The fingerprint of the file, and its content by `read` unless the fingerprint is the known one.
pub fn changed<T>(
    connection: &Connection,
    known: Option<&str>,
    read: impl FnOnce(&Connection) -> rusqlite::Result<T>,
) -> rusqlite::Result<(String, Option<T>)> {
    // It changes with the journal, the results, the points and the workers.
    let sql = "SELECT coalesce(group_concat(name || rows || ':' || digest), '') FROM integrity";
    let fingerprint: String = connection.query_row(sql, [], |row| row.get(0))?;
    let new = known != Some(fingerprint.as_str());
    Ok((fingerprint, new.then(|| read(connection)).transpose()?))
}

pub fn states(connection: &Connection) -> rusqlite::Result<Vec<(TrialId, TrialState)>> {
    let sql = "SELECT id, state FROM trial WHERE in_grid";
    all(connection, sql, [], |row| Ok((parse(row, 0)?, parse(row, 1)?)))
}

/// The running trials of the grid; their steps are those of their newest points.
pub fn running(connection: &Connection) -> rusqlite::Result<Vec<Running>> {
    let sql = "SELECT trial.id, event.worker,
                      (SELECT coalesce(sum(last), 0) FROM
                         (SELECT (SELECT max(step) FROM point WHERE point.trial = trial.number
                                  AND point.attempt = trial.attempt
                                  AND point.metric = metric.number) AS last
                          FROM metric WHERE name IN (?1, ?2)))
               FROM event JOIN trial ON trial.number = event.trial AND trial.attempt = event.attempt
               WHERE in_grid AND state = 'leased' AND kind = 'leased' AND event.worker IS NOT NULL";
    all(connection, sql, [metrics::VAE_LOSS, metrics::TRAIN_LOSS], |row| {
        let step = row.get::<_, i64>(2)?.max(0) as u64;
        Ok(Running { trial: parse(row, 0)?, worker: parse(row, 1)?, step })
    })
}
