//! Writing: the trials of a grid once, then batches of what happened, each in one transaction.

use std::collections::HashMap;

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

/// A worker as it introduced itself.
#[derive(Debug, Clone)]
pub struct WorkerRow {
    pub id: WorkerId,
    pub host: String,
    pub device: String,
    pub model: String,
    /// Unknown of workers of earlier versions, as is CUDA's.
    pub threads: Option<u32>,
    /// Version of the runtime; empty on a CPU.
    pub cuda: Option<String>,
    pub software: String,
    pub libtorch: String,
    /// SHA-256 of the certificate that it showed, if any.
    pub certificate: Option<String>,
}

/// What a lease came to, and on which data.
#[derive(Debug, Clone)]
pub struct ResultRow {
    pub lease: LeaseId,
    pub worker: WorkerId,
    pub outcome: Outcome,
    pub dataset_digest: DataDigest,
}

/// What is written together. Writing a batch, or a part of it, twice changes nothing but the journal's length.
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
                    sums.insert(transaction, Table::Trial, trial_row(spec, id))?;
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
            let mut numbers = Numbers::default();
            for worker in &batch.workers {
                sums.insert(transaction, Table::Worker, worker_row(at, worker))?;
            }
            for (lease, points) in &batch.points {
                let trial = numbers.of(transaction, lease.trial)?;
                for point in points {
                    if let Some(row) = point_row(trial, lease.attempt, point) {
                        sums.insert(transaction, Table::Point, row)?;
                    }
                }
            }
            for result in &batch.results {
                let trial = numbers.of(transaction, result.lease.trial)?;
                insert_result(transaction, sums, trial, result)?;
            }
            for event in &batch.events {
                if let Some(lease) = event.durable() {
                    let trial = numbers.of(transaction, lease.trial)?;
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

/// Row numbers of the trials of a batch, each looked up once.
#[derive(Default)]
struct Numbers(HashMap<TrialId, i64>);

impl Numbers {
    fn of(&mut self, transaction: &Transaction<'_>, trial: TrialId) -> rusqlite::Result<i64> {
        if let Some(number) = self.0.get(&trial) {
            return Ok(*number);
        }
        let mut query = transaction.prepare_cached("SELECT number FROM trial WHERE id = ?1")?;
        let number = query.query_row([trial.to_string()], |row| row.get(0))?;
        self.0.insert(trial, number);
        Ok(number)
    }
}

/// The values of rows, in the order of the columns of their tables.
macro_rules! row {
    ($($value:expr),* $(,)?) => { vec![$(Value::from($value)),*] };
}

fn trial_row(spec: &TrialSpec, id: String) -> Vec<Value> {
    row![Null, id, spec.cell().to_string(), spec.to_json(),]
}

fn worker_row(at: f64, worker: &WorkerRow) -> Vec<Value> {
    let WorkerRow { id, host, device, model, threads, cuda, software, libtorch, certificate } =
        worker.clone();
    row![id.to_string(), host, device, model, software, libtorch, at, threads, cuda, certificate]
}

fn point_row(trial: i64, attempt: Attempt, point: &MetricPoint) -> Option<Vec<Value>> {
    let metric = metrics::ALL.iter().position(|name| *name == point.metric)?;
    Some(row![trial, attempt, metric as i64, point.step as i64, point.value])
}

/// The numbers of a result that is there already stay as they are.
fn insert_result(
    transaction: &Transaction<'_>,
    sums: &mut Sums,
    trial: i64,
    result: &ResultRow,
) -> rusqlite::Result<()> {
    let ResultRow { lease, worker, outcome, dataset_digest } = result;
    let row = row![trial, lease.attempt, worker.to_string(), dataset_digest.to_string()];
    if sums.insert(transaction, Table::Success, row)? {
        for (name, value) in outcome.values() {
            sums.insert(
                transaction,
                Table::Outcome,
                row![trial, lease.attempt, name.to_owned(), value],
            )?;
        }
    }
    Ok(())
}

fn insert_event(
    transaction: &Transaction<'_>,
    sums: &mut Sums,
    at: f64,
    trial: i64,
    attempt: Attempt,
    event: &Event,
) -> rusqlite::Result<()> {
    let mut record = Record::default();
    let (kind, state) = match event {
        Event::Leased { worker, .. } => {
            record.worker = Some(worker.to_string());
            ("leased", TrialState::Leased)
        }
        Event::Succeeded { .. } => ("succeeded", TrialState::Succeeded),
        Event::Failed { error, log, quarantine, .. } => {
            record.failed(error, log, *quarantine);
            ("failed", after(*quarantine))
        }
        Event::Lost { error, log, blame, quarantine, .. } => {
            record.failed(error, log, *quarantine);
            record.blame = Some(blame_name(*blame).to_owned());
            ("lost", after(*quarantine))
        }
        Event::Released { .. } => ("released", TrialState::Pending),
        Event::ByPerson { act, .. } => act.in_journal(),
        Event::WorkerJoined { .. }
        | Event::WorkerHeard { .. }
        | Event::WorkerAsked { .. }
        | Event::WorkerLeft { .. }
        | Event::Progressed { .. } => return Ok(()),
    };
    let Record { worker, error, log, blame, quarantine } = record;
    let attempt = if faults::bug("attempts-are-not-raised") { 1 } else { attempt };
    transaction
        .prepare_cached("UPDATE trial SET state = ?2, attempt = ?3, error = coalesce(?4, error) WHERE number = ?1")?
        .execute(params![trial, state.name(), attempt, error])?;
    let row =
        row![Null, at, trial, attempt, kind.to_owned(), worker, error, quarantine, blame, log];
    sums.insert(transaction, Table::Event, row).map(|_| ())
}

/// What an event has beside its kind and its lease.
#[derive(Default)]
struct Record {
    worker: Option<String>,
    error: Option<String>,
    log: Option<String>,
    blame: Option<String>,
    quarantine: bool,
}

impl Record {
    fn failed(&mut self, error: &str, log: &str, quarantine: bool) {
        self.error = Some(error.to_owned());
        self.log = Some(log.to_owned()).filter(|log| !log.is_empty());
        self.quarantine = quarantine;
    }
}

fn after(quarantine: bool) -> TrialState {
    if quarantine { TrialState::Quarantined } else { TrialState::Pending }
}

const BLAMES: [(Blame, &str); 3] =
    [(Blame::Alone, "alone"), (Blame::Among, "among"), (Blame::Suspected, "suspected")];

fn blame_name(blame: Blame) -> &'static str {
    BLAMES.iter().find(|(of, _)| *of == blame).map_or("", |(_, name)| name)
}

/// The blame of that name; a lease that an earlier version lost counted as if it had been alone.
pub(super) fn blame_of(name: Option<&str>) -> Option<Blame> {
    match name {
        None => Some(Blame::Alone),
        Some(name) => BLAMES.iter().find(|(_, of)| *of == name).map(|(blame, _)| *blame),
    }
}
