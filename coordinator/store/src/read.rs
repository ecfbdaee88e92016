//! Reading: the journal at a start, the results at the end.

use std::{collections::BTreeMap, path::Path, str::FromStr};

use rusqlite::{OptionalExtension as _, Row, RowIndex, params, types::Type};
use swfn_shared::{
    event::{Act, Event},
    ids::{LeaseId, TrialId, WorkerId},
    metrics::Outcome,
    person::has_diverged,
    state::TrialState,
};

use super::{
    error::StoreError,
    read_only::{Chosen, choose, copy},
    schema::Store,
    write::{WorkerRow, blame_of},
};

/// A trial of the grid with its result, if it has one.
#[derive(Debug, Clone)]
pub struct TrialRow {
    pub id: TrialId,
    pub state: TrialState,
    pub attempts: u32,
    pub error: Option<String>,
    /// What the process said last that ended with the newest failure, if anybody knows.
    pub log: Option<String>,
    /// Who trained it, if it succeeded.
    pub worker: Option<WorkerRow>,
    pub outcome: Option<Outcome>,
    /// Unknown of results of earlier versions.
    pub dataset_digest: Option<String>,
}

impl TrialRow {
    /// Whether it failed because its numbers were none any more: the same computation ends so each time.
    pub fn diverged(&self) -> bool {
        self.state == TrialState::Quarantined && self.error.as_deref().is_some_and(has_diverged)
    }
}

/// A trial that a file knows, maybe of an earlier grid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KnownTrial {
    pub id: TrialId,
    pub succeeded: bool,
    /// Whether it is of the grid that was run last.
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

/// The time for which a worker held a lease; of one that has not ended, until the newest event. Of one that was lost or given back, until the
/// newest event before: when the coordinator was killed or the power failed, its end was written down only when a coordinator came back.
#[derive(Debug, Clone, PartialEq)]
pub struct LeaseSpan {
    pub worker: String,
    /// Seconds since 1970, UTC.
    pub from: f64,
    pub to: f64,
}

/// The length of what intervals cover together.
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
                    let worker: Option<String> = row.get(3)?;
                    open.insert(
                        lease,
                        LeaseSpan { worker: worker.unwrap_or_default(), from: at, to: at },
                    );
                } else if let Some(span) = open.remove(&lease) {
                    let to = if matches!(kind, "lost" | "released") {
                        before.max(span.from)
                    } else {
                        at
                    };
                    spans.push(LeaseSpan { to, ..span });
                }
            }
            spans.extend(
                open.into_values().map(|span| LeaseSpan { to: newest.max(span.from), ..span }),
            );
            Ok(spans)
        })
    }

    /// The durable events of the trials of the grid, in order.
    pub fn journal(&self) -> Result<Vec<Event>, StoreError> {
        self.run(|connection| {
            let mut query = connection.prepare(
                "SELECT trial.id, event.attempt, event.kind, event.worker, event.error, event.quarantine, event.blame, event.log
                 FROM event JOIN trial ON trial.number = event.trial WHERE trial.in_grid ORDER BY event.sequence",
            )?;
            query.query_map([], event)?.collect()
        })
    }

    /// Workers that showed a certificate, with its SHA-256.
    pub fn certificates(&self) -> Result<Vec<(WorkerId, String)>, StoreError> {
        self.run(|connection| {
            let mut query = connection
                .prepare("SELECT id, certificate FROM worker WHERE certificate IS NOT NULL")?;
            query.query_map([], |row| Ok((parse(row, 0)?, row.get(1)?)))?.collect()
        })
    }

    /// All trials that the file knows, whether of the grid or not.
    pub fn known(&self) -> Result<Vec<KnownTrial>, StoreError> {
        self.run(|connection| {
            let mut query =
                connection.prepare("SELECT id, state = 'succeeded', in_grid FROM trial")?;
            let known = |row: &Row<'_>| {
                Ok(KnownTrial { id: parse(row, 0)?, succeeded: row.get(1)?, in_grid: row.get(2)? })
            };
            query.query_map([], known)?.collect()
        })
    }

    /// From here on, those trials are the grid's. For a store that is open to read alone.
    pub fn choose(&self, trials: &Chosen) -> Result<(), StoreError> {
        self.run(|connection| choose(connection, trials))
    }

    /// Writes all of it into a new file, also where its own has been removed meanwhile.
    pub fn copy_to(&self, target: &Path) -> Result<(), StoreError> {
        self.run(|connection| copy(connection, target))
    }

    /// The trials of the grid with their winning results, in the order of the file.
    pub fn trials(&self) -> Result<Vec<TrialRow>, StoreError> {
        self.run(|connection| {
            let mut query = connection.prepare(
                "SELECT trial.id, state, trial.attempt, failure.error, result.worker, final_test_accuracy, best_test_accuracy, final_test_loss,
                        vae_seconds, classifier_seconds, host, device, model, software, libtorch, threads, cuda, dataset_digest,
                        failure.log, certificate, validation_accuracy, validated_test_accuracy
                 FROM trial
                 LEFT JOIN event AS failure ON failure.sequence =
                   (SELECT max(sequence) FROM event WHERE event.trial = trial.number AND event.error IS NOT NULL)
                 LEFT JOIN result
                   ON result.trial = trial.number AND result.attempt = trial.attempt AND trial.state = 'succeeded'
                 LEFT JOIN worker ON worker.id = result.worker
                 WHERE in_grid ORDER BY trial.number",
            )?;
            query.query_map([], trial_row)?.collect()
        })
    }

    /// What an attempt reported of a metric at that step, if it did.
    pub fn point(
        &self,
        lease: LeaseId,
        metric: &str,
        step: u64,
    ) -> Result<Option<f64>, StoreError> {
        self.run(|connection| {
            let mut query = connection.prepare_cached(
                "SELECT value FROM point
                 WHERE trial = (SELECT number FROM trial WHERE id = ?1) AND attempt = ?2
                   AND metric = (SELECT number FROM metric WHERE name = ?3) AND step = ?4",
            )?;
            let key = params![lease.trial.to_string(), lease.attempt, metric, step.cast_signed()];
            query.query_row(key, |row| row.get(0)).optional()
        })
    }

    /// Hands the points of all winning attempts to `each`, trial by trial.
    pub fn curves(
        &self,
        mut each: impl FnMut(CurveRow) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let mut query = self.run(|connection| {
            connection.prepare(
                "SELECT trial.id, metric.name, point.step, point.value
                 FROM trial JOIN point ON point.trial = trial.number AND point.attempt = trial.attempt
                 JOIN metric ON metric.number = point.metric
                 WHERE in_grid AND state = 'succeeded' ORDER BY trial.number, metric.name, point.step",
            )
        })?;
        let mut rows = query.query([]).map_err(|error| self.error(error))?;
        while let Some(row) = rows.next().map_err(|error| self.error(error))? {
            let curve_row = |row: &Row<'_>| {
                Ok(CurveRow {
                    id: parse(row, 0)?,
                    metric: row.get(1)?,
                    step: row.get(2)?,
                    value: row.get(3)?,
                })
            };
            each(curve_row(row).map_err(|error| self.error(error))?)?;
        }
        Ok(())
    }
}

/// A value of a row that has a type of its own, from its text.
pub fn parse<T: FromStr<Err: std::error::Error + Send + Sync + 'static>>(
    row: &Row<'_>,
    column: impl RowIndex,
) -> rusqlite::Result<T> {
    let text = row.get_ref(column)?.as_str()?;
    let unknown = |error| rusqlite::Error::FromSqlConversionFailure(0, Type::Text, Box::new(error));
    text.parse().map_err(unknown)
}

fn event(row: &Row<'_>) -> rusqlite::Result<Event> {
    let lease = LeaseId { trial: parse(row, 0)?, attempt: row.get(1)? };
    let kind: String = row.get(2)?;
    let error = || Ok::<_, rusqlite::Error>(row.get::<_, Option<String>>(4)?.unwrap_or_default());
    let log = || Ok::<_, rusqlite::Error>(row.get::<_, Option<String>>(7)?.unwrap_or_default());
    let blame = || {
        let name: Option<String> = row.get(6)?;
        let unknown = || format!("blame `{}` is unknown", name.clone().unwrap_or_default()).into();
        blame_of(name.as_deref())
            .ok_or_else(|| rusqlite::Error::FromSqlConversionFailure(6, Type::Text, unknown()))
    };
    match kind.as_str() {
        "leased" => Ok(Event::Leased { lease, worker: parse(row, 3)? }),
        "succeeded" => Ok(Event::Succeeded { lease }),
        "failed" => {
            Ok(Event::Failed { lease, error: error()?, log: log()?, quarantine: row.get(5)? })
        }
        "lost" => Ok(Event::Lost {
            lease,
            error: error()?,
            log: log()?,
            blame: blame()?,
            quarantine: row.get(5)?,
        }),
        "released" => Ok(Event::Released { lease }),
        _ => match Act::ALL.into_iter().find(|act| act.in_journal().0 == kind) {
            Some(act) => Ok(Event::ByPerson { lease, act }),
            None => {
                let problem = format!("event kind `{kind}` is unknown").into();
                Err(rusqlite::Error::FromSqlConversionFailure(2, Type::Text, problem))
            }
        },
    }
}

/// The numbers of a result, from columns of their names. Older versions took any finite number, of which sums may be none.
pub(super) fn outcome(row: &Row<'_>) -> rusqlite::Result<Outcome> {
    Outcome::read(|metric| {
        let value = if metric.always { Some(row.get(metric.name)?) } else { row.get(metric.name)? };
        Ok(value.map(|value: f64| value.clamp(-metric.most, metric.most)))
    })
}

fn trial_row(row: &Row<'_>) -> rusqlite::Result<TrialRow> {
    let (outcome, worker) = match row.get::<_, Option<String>>(4)? {
        None => (None, None),
        Some(_) => {
            let worker = WorkerRow {
                id: parse(row, 4)?,
                host: row.get(10)?,
                device: row.get(11)?,
                model: row.get(12)?,
                software: row.get(13)?,
                libtorch: row.get(14)?,
                threads: row.get(15)?,
                cuda: row.get(16)?,
                certificate: row.get(19)?,
            };
            (Some(outcome(row)?), Some(worker))
        }
    };
    Ok(TrialRow {
        id: parse(row, 0)?,
        state: parse(row, 1)?,
        attempts: row.get(2)?,
        error: row.get(3)?,
        worker,
        outcome,
        dataset_digest: row.get(17)?,
        log: row.get(18)?,
    })
}
