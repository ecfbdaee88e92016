//! Reads the journal at a start, and the results at the end.

use std::{collections::BTreeMap, str::FromStr};

use rusqlite::{
    Row, RowIndex, params,
    types::{Type, ValueRef},
};
use swfn_shared::{
    event::{Act, Event},
    ids::{LeaseId, TrialId, WorkerId},
    metrics::Outcome,
    person::has_diverged,
    state::TrialState,
};

use super::{
    error::StoreError,
    schema::Store,
    write::{WorkerRow, blame_named},
};

/// A trial of the grid with its result, if it has one.
#[derive(Debug, Clone)]
pub struct TrialRow {
    pub id: TrialId,
    pub state: TrialState,
    pub attempts: u32,
    pub error: Option<String>,
    /// The end of the log of the process that failed last, if it is known.
    pub log: Option<String>,
    /// The worker that trained it, if it succeeded.
    pub worker: Option<WorkerRow>,
    pub outcome: Option<Outcome>,
    /// `None` for results of earlier versions.
    pub dataset_digest: Option<String>,
}

impl TrialRow {
    /// Whether its loss was no longer finite. Training is deterministic: a retry would diverge
    /// again.
    pub fn diverged(&self) -> bool {
        self.state == TrialState::Quarantined && self.error.as_deref().is_some_and(has_diverged)
    }
}

/// A trial that a file knows, maybe of an earlier grid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KnownTrial {
    pub id: TrialId,
    pub succeeded: bool,
    /// Whether the grid that was run last has it.
    pub in_grid: bool,
}

/// One point of a winning attempt.
#[derive(Debug, Clone)]
pub struct CurveRow {
    pub id: TrialId,
    pub metric: String,
    pub step: i64,
    pub value: f64,
}

/// The time for which a worker held a lease; for one that has not ended, until the newest event.
///
/// For one that was lost or returned, it ends with the newest event before that. After a crash of
/// the coordinator, its end was written only when a coordinator came back.
#[derive(Debug, Clone, PartialEq)]
pub struct LeaseSpan {
    pub worker: String,
    /// Seconds since 1970, UTC.
    pub from: f64,
    pub to: f64,
}

/// The total length of the union of intervals.
pub fn covered(mut spans: Vec<(f64, f64)>) -> f64 {
    spans.sort_by(|one, other| one.0.total_cmp(&other.0));
    let mut end = f64::NEG_INFINITY;
    let mut sum = 0.0;
    for (from, to) in spans {
        sum += (to - from.max(end)).max(0.0);
        end = end.max(to);
    }
    sum
}

impl Store {
    /// All leases of the trials of the grid.
    pub fn lease_spans(&self) -> Result<Vec<LeaseSpan>, StoreError> {
        self.run(|connection| {
            let mut query = connection.prepare(
                "SELECT event.trial, event.attempt, kind, worker, at, in_grid
                 FROM event JOIN trial ON trial.number = event.trial ORDER BY sequence",
            )?;
            let mut open: BTreeMap<(i64, i64), LeaseSpan> = BTreeMap::new();
            let mut spans = Vec::new();
            // The time of the newest event, and of the newest one at another time.
            let (mut newest, mut before) = (f64::NEG_INFINITY, f64::NEG_INFINITY);
            let mut rows = query.query([])?;
            while let Some(row) = rows.next()? {
                let (lease, at): (_, f64) = ((row.get(0)?, row.get(1)?), row.get(4)?);
                if at != newest {
                    (newest, before) = (at, newest);
                }
                let kind = row.get_ref(2)?.as_str()?;
                if kind == "leased" && row.get(5)? {
                    let worker = row.get::<_, Option<String>>(3)?.unwrap_or_default();
                    open.insert(lease, LeaseSpan { worker, from: at, to: at });
                } else if let Some(span) = open.remove(&lease) {
                    let ended_unseen = matches!(kind, "lost" | "released");
                    let to = if ended_unseen { before.max(span.from) } else { at };
                    spans.push(LeaseSpan { to, ..span });
                }
            }
            let open = open.into_values();
            spans.extend(open.map(|span| LeaseSpan { to: newest.max(span.from), ..span }));
            Ok(spans)
        })
    }

    /// The durable events of the trials of the grid, in order.
    pub fn journal(&self) -> Result<Vec<Event>, StoreError> {
        let sql =
            "SELECT trial.id, event.attempt, kind, worker, event.error, quarantine, blame, log
                   FROM event JOIN trial ON trial.number = event.trial
                   WHERE in_grid ORDER BY sequence";
        self.all(sql, [], event)
    }

    /// Workers that showed a certificate, with its SHA-256.
    pub fn certificates(&self) -> Result<Vec<(WorkerId, String)>, StoreError> {
        let sql = "SELECT id, certificate FROM worker WHERE certificate IS NOT NULL";
        self.all(sql, [], |row| Ok((parse(row, 0)?, row.get(1)?)))
    }

    /// All trials of the file, whether of the grid or not.
    pub fn known(&self) -> Result<Vec<KnownTrial>, StoreError> {
        self.all("SELECT id, state = 'succeeded', in_grid FROM trial", [], |row| {
            Ok(KnownTrial { id: parse(row, 0)?, succeeded: row.get(1)?, in_grid: row.get(2)? })
        })
    }

    /// The trials of the grid with their winning results, in the order of the file.
    pub fn trials(&self) -> Result<Vec<TrialRow>, StoreError> {
        let sql = "SELECT trial.id, state, trial.attempt, failure.error, failure.log, host, device,
                          model, threads, cuda, software, libtorch, certificate, result.*
                   FROM trial
                   LEFT JOIN event AS failure ON failure.sequence =
                     (SELECT max(sequence) FROM event
                      WHERE event.trial = trial.number AND event.error IS NOT NULL)
                   LEFT JOIN result ON result.trial = trial.number
                     AND result.attempt = trial.attempt AND trial.state = 'succeeded'
                   LEFT JOIN worker ON worker.id = result.worker
                   WHERE in_grid ORDER BY trial.number";
        self.all(sql, [], trial_row)
    }

    /// The value that an attempt reported of a metric at that step, if it did.
    pub fn point(
        &self,
        lease: LeaseId,
        metric: &str,
        step: u64,
    ) -> Result<Option<f64>, StoreError> {
        let sql = "SELECT value FROM point
                   WHERE trial = (SELECT number FROM trial WHERE id = ?1) AND attempt = ?2
                     AND metric = (SELECT number FROM metric WHERE name = ?3) AND step = ?4";
        let key = params![lease.trial.to_string(), lease.attempt, metric, step.cast_signed()];
        Ok(self.all(sql, key, |row| row.get(0))?.pop())
    }

    /// Hands the points of all winning attempts to `each`, trial by trial.
    pub fn curves(
        &self,
        mut each: impl FnMut(CurveRow) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let sql = "SELECT trial.id, metric.name, point.step, point.value
                   FROM trial
                   JOIN point ON point.trial = trial.number AND point.attempt = trial.attempt
                   JOIN metric ON metric.number = point.metric
                   WHERE in_grid AND state = 'succeeded'
                   ORDER BY trial.number, metric.name, point.step";
        self.each(sql, [], |row| {
            let read = || -> rusqlite::Result<CurveRow> {
                let (id, metric) = (parse(row, 0)?, row.get(1)?);
                Ok(CurveRow { id, metric, step: row.get(2)?, value: row.get(3)? })
            };
            each(read().map_err(|error| self.error(error))?)
        })
    }
}

/// A value of a row that has a type of its own, from its text.
pub fn parse<T: FromStr<Err: std::error::Error + Send + Sync + 'static>>(
    row: &Row<'_>,
    column: impl RowIndex,
) -> rusqlite::Result<T> {
    row.get_ref(column)?.as_str()?.parse().map_err(unknown)
}

fn unknown(problem: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(0, Type::Text, problem.into())
}

fn event(row: &Row<'_>) -> rusqlite::Result<Event> {
    let lease = LeaseId { trial: parse(row, 0)?, attempt: row.get(1)? };
    let text = |column| row.get::<_, Option<String>>(column).map(Option::unwrap_or_default);
    let (kind, error, log, quarantine) = (text(2)?, text(4)?, text(7)?, row.get(5)?);
    Ok(match kind.as_str() {
        "leased" => Event::Leased { lease, worker: parse(row, 3)? },
        "succeeded" => Event::Succeeded { lease },
        "failed" => Event::Failed { lease, error, log, quarantine },
        "lost" => {
            let blame: Option<String> = row.get(6)?;
            let blame = blame_named(blame.as_deref()).map_err(unknown)?;
            Event::Lost { lease, error, log, blame, quarantine }
        }
        "released" => Event::Released { lease },
        _ => {
            let act = Act::ALL.into_iter().find(|act| act.in_journal().0 == kind);
            let act = act.ok_or_else(|| unknown(format!("event kind `{kind}` is unknown")))?;
            Event::ByPerson { lease, act }
        }
    })
}

/// The numbers of a result. Older versions accepted any finite number, even without finite sums.
pub(super) fn outcome(row: &Row<'_>) -> rusqlite::Result<Outcome> {
    Outcome::read(|metric| {
        let value = if metric.always { Some(row.get(metric.name)?) } else { row.get(metric.name)? };
        Ok(value.map(|value: f64| value.clamp(-metric.most, metric.most)))
    })
}

fn trial_row(row: &Row<'_>) -> rusqlite::Result<TrialRow> {
    let worker = match row.get_ref("worker")? {
        ValueRef::Null => None,
        _ => Some(WorkerRow {
            id: parse(row, "worker")?,
            host: row.get(5)?,
            device: row.get(6)?,
            model: row.get(7)?,
            threads: row.get(8)?,
            cuda: row.get(9)?,
            software: row.get(10)?,
            libtorch: row.get(11)?,
            certificate: row.get(12)?,
        }),
    };
    Ok(TrialRow {
        id: parse(row, 0)?,
        state: parse(row, 1)?,
        attempts: row.get(2)?,
        error: row.get(3)?,
        log: row.get(4)?,
        outcome: worker.as_ref().map(|_| outcome(row)).transpose()?,
        worker,
        dataset_digest: row.get("dataset_digest")?,
    })
}
