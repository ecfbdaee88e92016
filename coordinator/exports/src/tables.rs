//! The tables of an export: their names, their columns, and where in the database they come from.

use rusqlite::Row;
use swfn_shared::{
    axes::{Axis, Kind as AxisKind, Role},
    metrics::OUTCOMES,
};

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

/// A table: each column with what it is in SQL, and from where the rows are.
#[derive(Debug)]
pub(super) struct Table {
    pub(super) name: &'static str,
    pub(super) columns: Vec<Column>,
    /// Gives the columns in their order.
    pub(super) sql: String,
}

impl Table {
    fn new(name: &'static str, columns: Vec<(&'static str, Kind, String)>, from: &str) -> Self {
        let values: Vec<&str> = columns.iter().map(|(_, _, sql)| sql.as_str()).collect();
        let sql = format!("SELECT {} FROM {from}", values.join(", "));
        Self {
            name,
            columns: columns.into_iter().map(|(name, kind, _)| (name, kind)).collect(),
            sql,
        }
    }
}

use Kind::{Json, Real, Text, Truth, Whole};

/// All of them, each of the trials of the grid alone.
pub(super) fn tables() -> [Table; 4] {
    [trials(), points(), events(), workers()]
}

/// Columns that are called so in the database, too.
fn same(names: &[(&'static str, Kind)]) -> impl Iterator<Item = (&'static str, Kind, String)> {
    names.iter().map(|(name, kind)| (*name, *kind, (*name).to_owned()))
}

/// What is known of a worker.
fn of_worker() -> impl Iterator<Item = (&'static str, Kind, String)> {
    same(&[
        ("host", Text),
        ("device", Text),
        ("model", Text),
        ("threads", Whole),
        ("software", Text),
        ("libtorch", Text),
        ("cuda", Text),
    ])
}

/// The column of a setting.
fn of_axis(axis: Axis) -> (&'static str, Kind, String) {
    let kind = match axis.kind {
        AxisKind::Whole { .. } => Whole,
        AxisKind::Real(_) => Real,
        AxisKind::Choice(_) | AxisKind::Dataset => Text,
    };
    (axis.name, kind, axis.name.to_owned())
}

fn trials() -> Table {
    let mut columns = owned(&[
        ("trial", Text, "trial.id"),
        ("state", Text, "state"),
        ("attempts", Whole, "trial.attempt"),
    ]);
    columns.push(of_axis(Axis::at("dataset")));
    for axis in Axis::columns() {
        columns.push(of_axis(axis));
        if axis.role == Role::Network {
            columns.extend(owned(&[
                ("network", Text, "network(spec)"),
                ("regulariser", Text, "regulariser(spec)"),
            ]));
        }
    }
    columns.extend(same(&[("cell", Text)]));
    columns.extend(OUTCOMES.iter().map(|metric| (metric.name, Real, metric.name.to_owned())));
    columns.extend(owned(&[("worker", Text, "result.worker")]));
    columns.extend(of_worker());
    columns.extend(owned(&[
        ("dataset_digest", Text, "dataset_digest"),
        ("error", Text, "CASE WHEN state <> 'succeeded' THEN error END"),
        ("settings", Json, "spec"),
    ]));
    let from = "trial
        LEFT JOIN result
          ON result.trial = trial.number AND result.attempt = trial.attempt AND trial.state = 'succeeded'
        LEFT JOIN worker ON worker.id = result.worker
        WHERE in_grid ORDER BY trial.number";
    Table::new("trials", columns, from)
}

fn points() -> Table {
    let columns = [
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
    Table::new("points", owned(&columns), from)
}

fn events() -> Table {
    let columns = [
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
    Table::new(
        "events",
        owned(&columns),
        "event JOIN trial ON trial.number = event.trial WHERE in_grid ORDER BY sequence",
    )
}

fn workers() -> Table {
    let mut columns = owned(&[("worker", Text, "id")]);
    columns.extend(of_worker());
    columns.extend(same(&[("joined", Real)]));
    Table::new("workers", columns, "worker ORDER BY joined, id")
}

fn owned(columns: &[(&'static str, Kind, &str)]) -> Vec<(&'static str, Kind, String)> {
    columns.iter().map(|(name, kind, sql)| (*name, *kind, (*sql).to_owned())).collect()
}

/// A file in the making. Rows come one by one, so memory does not grow with the table.
pub(super) trait Rows {
    fn row(&mut self, row: &Row<'_>) -> anyhow::Result<()>;

    /// Writes what is left.
    fn finish(self: Box<Self>) -> anyhow::Result<()>;
}
