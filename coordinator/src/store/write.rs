//! Writing: the trials of a grid once, then batches of what happened, each in one transaction.

use std::collections::HashMap;

use rusqlite::{Transaction, params};
use swfn_shared::{
    faults,
    ids::{Attempt, DataDigest, LeaseId, TrialId, WorkerId},
    metrics::{self, MetricPoint, Outcome},
    trial::TrialSpec,
};

use super::schema::{Store, StoreError};
use crate::scheduler::Event;

/// A worker as it introduced itself.
#[derive(Debug, Clone)]
pub(crate) struct WorkerRow {
    pub(crate) id: WorkerId,
    pub(crate) host: String,
    pub(crate) device: String,
    pub(crate) model: String,
    /// Unknown of workers of earlier versions, as is CUDA's.
    pub(crate) threads: Option<u32>,
    /// Version of the runtime; empty on a CPU.
    pub(crate) cuda: Option<String>,
    pub(crate) software: String,
    pub(crate) libtorch: String,
}

/// What a lease came to, and on which data.
#[derive(Debug, Clone)]
pub(crate) struct ResultRow {
    pub(crate) lease: LeaseId,
    pub(crate) worker: WorkerId,
    pub(crate) outcome: Outcome,
    pub(crate) dataset_digest: DataDigest,
}

/// What is written together. Writing a batch, or a part of it, twice changes nothing but the journal's length.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    pub(crate) workers: Vec<WorkerRow>,
    pub(crate) events: Vec<Event>,
    pub(crate) points: Vec<(LeaseId, Vec<MetricPoint>)>,
    pub(crate) results: Vec<ResultRow>,
}

impl Batch {
    pub(crate) fn is_empty(&self) -> bool {
        self.workers.is_empty() && self.events.is_empty() && self.points.is_empty() && self.results.is_empty()
    }
}

impl Store {
    /// Adds the trials that are new and marks those that the grid no longer has.
    pub(crate) fn set_trials(&mut self, specs: &[TrialSpec]) -> Result<(), StoreError> {
        let result = (|| {
            let transaction = self.connection.transaction()?;
            transaction.execute("UPDATE trial SET in_grid = 0", [])?;
            {
                let mut insert = transaction.prepare(
                    "INSERT INTO trial (id, in_grid, state, attempt, dataset, subset_size, seed, architecture, weight_decay,
                                        learning_rate, penalty_samples, lambda, density, cell, spec)
                     VALUES (?1, 1, 'pending', 0, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)
                     ON CONFLICT (id) DO UPDATE SET in_grid = 1",
                )?;
                for spec in specs {
                    insert.execute(params![
                        spec.id().to_string(),
                        spec.dataset.name(),
                        spec.subset_size,
                        spec.seed as i64,
                        spec.architecture.name(),
                        spec.weight_decay.get(),
                        spec.learning_rate.get(),
                        spec.penalty_samples(),
                        spec.lambda(),
                        spec.density(),
                        spec.cell().to_string(),
                        spec.to_json(),
                    ])?;
                }
            }
            for (number, name) in metrics::ALL.iter().enumerate() {
                transaction.execute("INSERT OR IGNORE INTO metric VALUES (?1, ?2)", params![number as i64, name])?;
            }
            transaction.commit()
        })();
        result.map_err(|error| self.error(error))
    }

    /// Writes a batch and returns when it is on the disk. `at`: seconds since 1970, UTC.
    pub(crate) fn write(&mut self, at: f64, batch: &Batch) -> Result<(), StoreError> {
        let result = (|| {
            let transaction = self.connection.transaction()?;
            faults::point("store/begin");
            let mut numbers = Numbers::default();
            for worker in &batch.workers {
                insert_worker(&transaction, at, worker)?;
            }
            for (lease, points) in &batch.points {
                insert_points(&transaction, numbers.of(&transaction, lease.trial)?, lease.attempt, points)?;
            }
            for result in &batch.results {
                insert_result(&transaction, numbers.of(&transaction, result.lease.trial)?, result)?;
            }
            for event in &batch.events {
                if let Some(lease) = event.durable() {
                    insert_event(&transaction, at, numbers.of(&transaction, lease.trial)?, lease.attempt, event)?;
                }
            }
            faults::point("store/rows");
            transaction.commit()?;
            faults::point("store/committed");
            Ok(())
        })();
        result.map_err(|error| self.error(error))
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

fn insert_worker(transaction: &Transaction<'_>, at: f64, worker: &WorkerRow) -> rusqlite::Result<()> {
    let WorkerRow { id, host, device, model, threads, cuda, software, libtorch } = worker;
    transaction
        .prepare_cached(
            "INSERT OR IGNORE INTO worker (id, host, device, model, threads, cuda, software, libtorch, joined)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
        )?
        .execute(params![id.to_string(), host, device, model, threads, cuda, software, libtorch, at])
        .map(drop)
}

fn insert_points(
    transaction: &Transaction<'_>,
    trial: i64,
    attempt: Attempt,
    points: &[MetricPoint],
) -> rusqlite::Result<()> {
    let mut insert = transaction.prepare_cached(if faults::bug("repeated-points-are-errors") {
        "INSERT INTO point SELECT ?1, ?2, number, ?4, ?5 FROM metric WHERE name = ?3"
    } else {
        "INSERT OR IGNORE INTO point SELECT ?1, ?2, number, ?4, ?5 FROM metric WHERE name = ?3"
    })?;
    points.iter().try_for_each(|point| {
        insert.execute(params![trial, attempt, point.metric, point.step as i64, point.value]).map(drop)
    })
}

fn insert_result(transaction: &Transaction<'_>, trial: i64, result: &ResultRow) -> rusqlite::Result<()> {
    let ResultRow { lease, worker, outcome, dataset_digest } = result;
    transaction
        .prepare_cached(
            "INSERT OR IGNORE INTO result (trial, attempt, worker, final_test_accuracy, best_test_accuracy,
                                           final_test_loss, vae_seconds, classifier_seconds, dataset_digest)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
        )?
        .execute(params![
            trial,
            lease.attempt,
            worker.to_string(),
            outcome.final_test_accuracy,
            outcome.best_test_accuracy,
            outcome.final_test_loss,
            outcome.vae_seconds,
            outcome.classifier_seconds,
            dataset_digest.to_string(),
        ])
        .map(drop)
}

fn insert_event(
    transaction: &Transaction<'_>,
    at: f64,
    trial: i64,
    attempt: Attempt,
    event: &Event,
) -> rusqlite::Result<()> {
    let (kind, worker, error, quarantine) = match event {
        Event::Leased { worker, .. } => ("leased", Some(worker.to_string()), None, false),
        Event::Succeeded { .. } => ("succeeded", None, None, false),
        Event::Failed { error, quarantine, .. } => ("failed", None, Some(error), *quarantine),
        Event::Lost { error, quarantine, .. } => ("lost", None, Some(error), *quarantine),
        Event::Released { .. } => ("released", None, None, false),
        Event::WorkerJoined { .. }
        | Event::WorkerHeard { .. }
        | Event::WorkerAsked { .. }
        | Event::WorkerLeft { .. }
        | Event::Progressed { .. } => return Ok(()),
    };
    transaction
        .prepare_cached("INSERT INTO event (at, trial, attempt, kind, worker, error, quarantine) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)")?
        .execute(params![at, trial, attempt, kind, worker, error, quarantine])?;
    let state = match kind {
        "leased" | "succeeded" => kind,
        _ if quarantine => "quarantined",
        _ => "pending",
    };
    transaction
        .prepare_cached("UPDATE trial SET state = ?2, attempt = ?3, error = coalesce(?4, error) WHERE number = ?1")?
        .execute(params![trial, state, attempt, error])
        .map(drop)
}
