//! The tables of an export: their names, their columns, and where in the database they come from.

use rusqlite::Row;

/// What a column holds. All may be null.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Text,
    Whole,
    Real,
    Truth,
    /// A text that is JSON.
    Json,
}

/// A column's name and what it holds.
pub(super) type Column = (&'static str, Kind);

/// A table.
#[derive(Debug)]
pub(super) struct Table {
    pub(super) name: &'static str,
    pub(super) columns: &'static [Column],
    /// Gives the columns in their order.
    pub(super) sql: &'static str,
}

use Kind::{Json, Real, Text, Truth, Whole};

/// All of them, each of the trials of the grid alone.
pub(super) const TABLES: [Table; 4] = [
    Table {
        name: "trials",
        columns: &[
            ("trial", Text),
            ("state", Text),
            ("attempts", Whole),
            ("dataset", Text),
            ("architecture", Text),
            ("network", Text),
            ("regulariser", Text),
            ("subset_size", Whole),
            ("seed", Whole),
            ("lambda", Real),
            ("density", Text),
            ("weight_decay", Real),
            ("learning_rate", Real),
            ("penalty_samples", Whole),
            ("cell", Text),
            ("final_test_accuracy", Real),
            ("best_test_accuracy", Real),
            ("final_test_loss", Real),
            ("validation_accuracy", Real),
            ("validated_test_accuracy", Real),
            ("vae_seconds", Real),
            ("classifier_seconds", Real),
            ("worker", Text),
            ("host", Text),
            ("device", Text),
            ("model", Text),
            ("threads", Whole),
            ("software", Text),
            ("libtorch", Text),
            ("cuda", Text),
            ("dataset_digest", Text),
            ("error", Text),
            ("settings", Json),
        ],
        sql: "SELECT trial.id, state, trial.attempt, dataset, architecture, network(spec),
                     regulariser(spec), subset_size, seed, lambda, density, weight_decay,
                     learning_rate, penalty_samples, cell, final_test_accuracy, best_test_accuracy, final_test_loss,
                     validation_accuracy, validated_test_accuracy, vae_seconds, classifier_seconds, result.worker, host, device, model, threads, software, libtorch, cuda, dataset_digest,
                     CASE WHEN state <> 'succeeded' THEN error END, spec
              FROM trial
              LEFT JOIN result
                ON result.trial = trial.number AND result.attempt = trial.attempt AND trial.state = 'succeeded'
              LEFT JOIN worker ON worker.id = result.worker
              WHERE in_grid ORDER BY trial.number",
    },
    Table {
        name: "points",
        columns: &[("trial", Text), ("attempt", Whole), ("metric", Text), ("step", Whole), ("value", Real)],
        sql: "SELECT trial.id, point.attempt, metric.name, point.step, point.value
              FROM trial
              JOIN point ON point.trial = trial.number AND point.attempt = trial.attempt
              JOIN metric ON metric.number = point.metric
              WHERE in_grid ORDER BY trial.number, point.metric, point.step",
    },
    Table {
        name: "events",
        columns: &[
            ("sequence", Whole),
            ("at", Real),
            ("trial", Text),
            ("attempt", Whole),
            ("kind", Text),
            ("worker", Text),
            ("error", Text),
            ("quarantine", Truth),
            ("blame", Text),
            ("log", Text),
        ],
        sql: "SELECT sequence, at, trial.id, event.attempt, kind, worker, event.error, quarantine, blame, log
              FROM event JOIN trial ON trial.number = event.trial WHERE in_grid ORDER BY sequence",
    },
    Table {
        name: "workers",
        columns: &[
            ("worker", Text),
            ("host", Text),
            ("device", Text),
            ("model", Text),
            ("threads", Whole),
            ("software", Text),
            ("libtorch", Text),
            ("cuda", Text),
            ("joined", Real),
        ],
        sql: "SELECT id, host, device, model, threads, software, libtorch, cuda, joined FROM worker ORDER BY joined, id",
    },
];

/// A file in the making. Rows come one by one, so memory does not grow with the table.
pub(super) trait Rows {
    fn row(&mut self, row: &Row<'_>) -> anyhow::Result<()>;

    /// Writes what is left.
    fn finish(self: Box<Self>) -> anyhow::Result<()>;
}
