//! Writes the trials of a grid once, then batches of events and results, each in one transaction.

use rusqlite::{
    Transaction, params,
    types::{Null, Value},
};
use swfn_shared::{
    event::{Blame, Event},
    faults,
    ids::{Attempt, DataDigest, LeaseId, TrialId, WorkerId},
    metrics::{self, MetricPoint, Outcome},
    state::TrialState,
    trial::TrialSpec,
};

use super::{
    error::StoreError,
    integrity::{Sums, Table},
    schema::Store,
};

/// The values of a row, in the order of the columns of its table.
macro_rules! row {
    ($($value:expr),* $(,)?) => { vec![$(Value::from($value)),*] };
}

/// A worker's description of itself.
#[derive(Debug, Clone)]
pub struct WorkerRow {
    pub id: WorkerId,
    pub host: String,
    pub device: String,
    pub model: String,
    /// `None` for workers of earlier versions, like `cuda`.
    pub threads: Option<u32>,
    /// Version of the runtime; empty on a CPU.
    pub cuda: Option<String>,
    pub software: String,
    pub libtorch: String,
    /// SHA-256 of the certificate that it showed, if any.
    pub certificate: Option<String>,
}

#[derive(Debug, Clone)]
pub struct ResultRow {
    pub lease: LeaseId,
    pub worker: WorkerId,
    pub outcome: Outcome,
    pub dataset_digest: DataDigest,
}

/// Rows that are written together. Writing a batch twice only makes the journal longer.
#[derive(Debug, Default)]
pub struct Batch {
    pub workers: Vec<WorkerRow>,
    pub events: Vec<Event>,
    pub points: Vec<(LeaseId, Vec<MetricPoint>)>,
    pub results: Vec<ResultRow>,
}

impl Batch {
    pub fn is_empty(&self) -> bool {
        self.workers.is_empty()
            && self.events.is_empty()
            && self.points.is_empty()
            && self.results.is_empty()
    }
}

impl Store {
    /// Adds the trials that are new and marks those that the grid no longer has.
    pub fn set_trials(&mut self, specs: &[TrialSpec]) -> Result<(), StoreError> {
        self.transact(|transaction, sums| {
            transaction.execute("UPDATE trial SET in_grid = 0", [])?;
            let mut mark = transaction.prepare("UPDATE trial SET in_grid = 1 WHERE id = ?1")?;
            for spec in specs {
                let id = spec.id().to_string();
                if mark.execute([&id])? == 0 {
                    let row = row![Null, id, spec.cell().to_string(), spec.to_json()];
                    sums.insert(transaction, Table::Trial, row)?;
                }
            }
            for (number, name) in metrics::ALL.iter().enumerate() {
                transaction.execute(
                    "INSERT OR IGNORE INTO metric VALUES (?1, ?2)",
                    params![number as i64, name],
                )?;
            }
            Ok(())
        })
    }

    /// Writes a batch and returns when it is on the disk. `at`: seconds since 1970, UTC.
    pub fn write(&mut self, at: f64, batch: &Batch) -> Result<(), StoreError> {
        self.transact(|transaction, sums| {
            for w in batch.workers.iter().cloned() {
                let (id, software) = (w.id.to_string(), w.software);
                let mut row = row![id, w.host, w.device, w.model, software, w.libtorch];
                row.extend(row![at, w.threads, w.cuda, w.certificate]);
                sums.insert(transaction, Table::Worker, row)?;
            }
            for (LeaseId { trial, attempt }, points) in &batch.points {
                let trial = number(transaction, *trial)?;
                for MetricPoint { metric, step, value } in points {
                    let metric = metrics::ALL.iter().position(|name| name == metric);
                    let Some(metric) = metric else { continue };
                    let row = row![trial, *attempt, metric as i64, *step as i64, *value];
                    sums.insert(transaction, Table::Point, row)?;
                }
            }
            for ResultRow { lease, worker, outcome, dataset_digest } in &batch.results {
                let (trial, attempt) = (number(transaction, lease.trial)?, lease.attempt);
                let row = row![trial, attempt, worker.to_string(), dataset_digest.to_string()];
                // The numbers of a result that is there already stay as they are.
                if sums.insert(transaction, Table::Success, row)? {
                    for (name, value) in outcome.values() {
                        let row = row![trial, attempt, name.to_owned(), value];
                        sums.insert(transaction, Table::Outcome, row)?;
                    }
                }
            }
            for event in &batch.events {
                if let Some(lease) = event.durable() {
                    let trial = number(transaction, lease.trial)?;
                    insert_event(transaction, sums, at, trial, lease.attempt, event)?;
                }
            }
            Ok(())
        })
    }

    /// Runs something in a transaction that ends on the disk, with the sums of its rows.
    fn transact(
        &mut self,
        work: impl FnOnce(&Transaction<'_>, &mut Sums) -> rusqlite::Result<()>,
    ) -> Result<(), StoreError> {
        let mut sums = self.sums.clone();
        let result = (|| {
            let transaction = self.connection.transaction()?;
            faults::point("store/begin");
            work(&transaction, &mut sums)?;
            if sums != self.sums {
                sums.write(&transaction)?;
            }
            faults::point("store/rows");
            transaction.commit()?;
            faults::point("store/committed");
            Ok(())
        })();
        if let Err(error) = result {
            self.end.iter_mut().for_each(|end| end.clean = false);
            return Err(self.error(error));
        }
        self.sums = sums;
        Ok(())
    }
}

/// The number of a trial's row.
fn number(transaction: &Transaction<'_>, trial: TrialId) -> rusqlite::Result<i64> {
    let mut query = transaction.prepare_cached("SELECT number FROM trial WHERE id = ?1")?;
    query.query_row([trial.to_string()], |row| row.get(0))
}

fn insert_event(
    transaction: &Transaction<'_>,
    sums: &mut Sums,
    at: f64,
    trial: i64,
    attempt: Attempt,
    event: &Event,
) -> rusqlite::Result<()> {
    let (mut worker, mut blamed, mut failure) = (None, None, None);
    let (kind, state) = match event {
        Event::Leased { worker: holder, .. } => {
            worker = Some(holder.to_string());
            ("leased", TrialState::Leased)
        }
        Event::Succeeded { .. } => ("succeeded", TrialState::Succeeded),
        Event::Failed { error, log, quarantine, .. } => {
            failure = Some((error, log, *quarantine));
            ("failed", TrialState::Pending)
        }
        Event::Lost { error, log, blame, quarantine, .. } => {
            blamed = BLAMES.iter().find(|(known, _)| known == blame).map(|(_, name)| *name);
            failure = Some((error, log, *quarantine));
            ("lost", TrialState::Pending)
        }
        Event::Released { .. } => ("released", TrialState::Pending),
        Event::ByPerson { act, .. } => act.in_journal(),
        Event::WorkerJoined { .. }
        | Event::WorkerHeard { .. }
        | Event::WorkerAsked { .. }
        | Event::WorkerLeft { .. }
        | Event::Progressed { .. } => return Ok(()),
    };
    let quarantine = failure.is_some_and(|(.., quarantine)| quarantine);
    let state = if quarantine { TrialState::Quarantined } else { state };
    let (error, log) = failure.map(|(error, log, _)| (error.clone(), log.clone())).unzip();
    let log = log.filter(|log| !log.is_empty());
    let attempt = if faults::bug("attempts-are-not-raised") { 1 } else { attempt };
    let update = "UPDATE trial SET state = ?2, attempt = ?3, error = coalesce(?4, error)
                  WHERE number = ?1";
    transaction.prepare_cached(update)?.execute(params![trial, state.name(), attempt, error])?;
    let (kind, blame) = (kind.to_owned(), blamed.map(str::to_owned));
    let row = row![Null, at, trial, attempt, kind, worker, error, quarantine, blame, log];
    sums.insert(transaction, Table::Event, row).map(|_| ())
}

const BLAMES: [(Blame, &str); 3] =
    [(Blame::Alone, "alone"), (Blame::Among, "among"), (Blame::Suspected, "suspected")];

/// The blame of that name. Earlier versions wrote none: each lost lease counted as if alone.
pub(super) fn blame_named(name: Option<&str>) -> Result<Blame, String> {
    let Some(name) = name else { return Ok(Blame::Alone) };
    let blame = BLAMES.iter().find(|(_, known)| *known == name).map(|(blame, _)| *blame);
    blame.ok_or_else(|| format!("blame `{name}` is unknown"))
}
