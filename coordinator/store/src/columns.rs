//! Columns of trials' settings and numbers of results, which follow from tables of the program.

use rusqlite::Connection;
use swfn_shared::{
    axes::{Axis, Kind, Value, Written},
    metrics::OUTCOMES,
};

/// The settings that have a column of their own: the data set and the axes of `[grid]`.
fn settings() -> impl Iterator<Item = Axis> {
    Axis::all().filter(|axis| matches!(axis.kind, Kind::Dataset) || Axis::in_grid().contains(axis))
}

/// The value in a trial's JSON. Without the function norm, numbers are 0 and names `none`.
fn expression(axis: Axis) -> String {
    let path = if matches!(axis.kind, Kind::Dataset) { "dataset.name" } else { axis.path };
    let absent = match (axis.written, axis.kind) {
        (Written::Unless(Value::Name(name)), _) => format!("'{name}'"),
        (Written::Unless(value), Kind::Real(_)) => format!("{:?}", value.number()),
        (Written::Unless(value), _) => value.to_string(),
        (_, Kind::Real(_)) => "0.0".to_owned(),
        (_, Kind::Whole { .. }) => "0".to_owned(),
        (_, Kind::Choice(_) | Kind::Dataset) => "'none'".to_owned(),
    };
    format!("coalesce(spec ->> '$.{path}', {absent})")
}

/// Adds the columns that the file lacks: all to a new one, those of newer axes to an older one.
pub(super) fn add(connection: &Connection) -> rusqlite::Result<()> {
    let mut query = connection.prepare("SELECT name FROM pragma_table_xinfo('trial')")?;
    let known: Vec<String> = query.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?;
    for axis in settings().filter(|axis| !known.iter().any(|name| name == axis.name)) {
        let kind = match axis.kind {
            Kind::Whole { .. } => "INTEGER",
            Kind::Real(_) => "REAL",
            Kind::Choice(_) | Kind::Dataset => "TEXT",
        };
        let (name, value) = (axis.name, expression(axis));
        let column = format!("{name} {kind} GENERATED ALWAYS AS ({value}) VIRTUAL");
        connection.execute_batch(&format!("ALTER TABLE trial ADD COLUMN {column}"))?;
    }
    let view = format!("CREATE VIEW result AS {}", results());
    let sql = "SELECT count(*) FROM sqlite_schema WHERE name = 'result' AND sql = ?1";
    if !connection.query_row(sql, [&view], |row| row.get::<_, bool>(0))? {
        connection.execute_batch(&format!("DROP VIEW IF EXISTS result; {view};"))?;
    }
    Ok(())
}

/// Lets the queries of this connection see all columns, also those that an older file lacks.
/// `in_grid`: which trials are the grid's.
///
/// Views of the connection replace `trial` and `result`, so queries and the file stay as they are.
pub(super) fn see_all(connection: &Connection, in_grid: &str) -> rusqlite::Result<()> {
    let settings: Vec<String> =
        settings().map(|axis| format!("{} AS {}", expression(axis), axis.name)).collect();
    connection.execute_batch(&format!(
        "DROP VIEW IF EXISTS temp.trial; DROP VIEW IF EXISTS temp.result;
         CREATE TEMP VIEW trial AS SELECT number, id, {in_grid} AS in_grid, state, attempt, error,
             cell, spec, {} FROM main.trial;
         CREATE TEMP VIEW result AS {};",
        settings.join(", "),
        results()
    ))
}

/// The results with a column for each of their numbers.
fn results() -> String {
    let number = |name| {
        let row = "outcome.trial = success.trial AND outcome.attempt = success.attempt";
        format!("(SELECT value FROM outcome WHERE {row} AND outcome.metric = '{name}') AS {name}")
    };
    let numbers: Vec<String> = OUTCOMES.iter().map(|metric| number(metric.name)).collect();
    format!("SELECT trial, attempt, worker, {}, dataset_digest FROM success", numbers.join(", "))
}
