//! The tables of an export: their names, their columns, and where these are in the database.

use swfn_shared::{
    axes::{Axis, Kind as AxisKind, Role},
    metrics::OUTCOMES,
};

/// The type of a column. Every column may be null.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Text,
    Whole,
    Real,
    Truth,
    /// A text that is JSON.
    Json,
}

use Kind::{Json, Real, Text, Truth, Whole};

/// A column: its name, its type, and its value in SQL.
pub(super) type Column = (&'static str, Kind, &'static str);

/// A table. All but `workers` hold only the trials of the grid.
#[derive(Debug)]
pub(super) struct Table {
    pub(super) name: &'static str,
    pub(super) columns: Vec<Column>,
    /// The part of a query after `FROM`.
    from: &'static str,
}

impl Table {
    pub(super) fn sql(&self) -> String {
        let values: Vec<&str> = self.columns.iter().map(|(_, _, sql)| *sql).collect();
        format!("SELECT {} FROM {}", values.join(", "), self.from)
    }
}

pub(super) fn tables() -> [Table; 4] {
    [trials(), points(), events(), workers()]
}

const WORKER: [Column; 7] = [
    ("host", Text, "host"),
    ("device", Text, "device"),
    ("model", Text, "model"),
    ("threads", Whole, "threads"),
    ("software", Text, "software"),
    ("libtorch", Text, "libtorch"),
    ("cuda", Text, "cuda"),
];

fn axis_column(axis: Axis) -> Column {
    let kind = match axis.kind {
        AxisKind::Whole { .. } => Whole,
        AxisKind::Real(_) => Real,
        AxisKind::Choice(_) | AxisKind::Dataset => Text,
    };
    (axis.name, kind, axis.name)
}

fn trials() -> Table {
    let mut columns = vec![
        ("trial", Text, "trial.id"),
        ("state", Text, "state"),
        ("attempts", Whole, "trial.attempt"),
        axis_column(Axis::at("dataset")),
    ];
    for axis in Axis::columns() {
        columns.push(axis_column(axis));
        if axis.role == Role::Network {
            columns.push(("network", Text, "network(spec)"));
            columns.push(("regulariser", Text, "regulariser(spec)"));
        }
    }
    columns.push(("cell", Text, "cell"));
    columns.extend(OUTCOMES.iter().map(|metric| (metric.name, Real, metric.name)));
    columns.push(("worker", Text, "result.worker"));
    columns.extend(WORKER);
    columns.extend([
        ("dataset_digest", Text, "dataset_digest"),
        ("error", Text, "CASE WHEN state <> 'succeeded' THEN error END"),
        ("settings", Json, "spec"),
    ]);
    let from = "trial
        LEFT JOIN result ON result.trial = trial.number
          AND result.attempt = trial.attempt AND trial.state = 'succeeded'
        LEFT JOIN worker ON worker.id = result.worker
        WHERE in_grid ORDER BY trial.number";
    Table { name: "trials", columns, from }
}

fn points() -> Table {
    let columns = vec![
        ("trial", Text, "trial.id"),
        ("attempt", Whole, "point.attempt"),
        ("metric", Text, "metric.name"),
        ("step", Whole, "point.step"),
        ("value", Real, "point.value"),
    ];
    let from = "trial
        JOIN point ON point.trial = trial.number AND point.attempt = trial.attempt
        JOIN metric ON metric.number = point.metric
        WHERE in_grid ORDER BY trial.number, point.metric, point.step";
    Table { name: "points", columns, from }
}

fn events() -> Table {
    let columns = vec![
        ("sequence", Whole, "sequence"),
        ("at", Real, "at"),
        ("trial", Text, "trial.id"),
        ("attempt", Whole, "event.attempt"),
        ("kind", Text, "kind"),
        ("worker", Text, "worker"),
        ("error", Text, "event.error"),
        ("quarantine", Truth, "quarantine"),
        ("blame", Text, "blame"),
        ("log", Text, "log"),
    ];
    let from = "event JOIN trial ON trial.number = event.trial WHERE in_grid ORDER BY sequence";
    Table { name: "events", columns, from }
}

fn workers() -> Table {
    let columns = [&[("worker", Text, "id")], &WORKER[..], &[("joined", Real, "joined")]].concat();
    Table { name: "workers", columns, from: "worker ORDER BY joined, id" }
}
