//! The settings of trials in SQL: they stand in the column `spec`, as JSON.

use rusqlite::types::ValueRef;
use swfn_shared::{
    axes::{Axis, Kind, Value, Written},
    trial::TrialSpec,
};

/// The trial of a column `spec`.
pub fn spec_of(column: ValueRef<'_>) -> rusqlite::Result<TrialSpec> {
    TrialSpec::parse(column.as_str()?).map_err(|error| rusqlite::Error::UserFunctionError(error.into()))
}

/// The value of a setting; null where a trial does not have it.
pub fn setting(axis: Axis) -> String {
    let place = if matches!(axis.kind, Kind::Dataset) { "dataset.name" } else { axis.place };
    match axis.written {
        Written::Unless(usual) => format!("coalesce(spec ->> '$.{place}', {})", literal(usual)),
        Written::Always | Written::If { .. } => format!("spec ->> '$.{place}'"),
    }
}

/// The same for a column of results: where a trial does not have it, zero or `none`.
pub fn setting_column(axis: Axis) -> String {
    format!("coalesce({}, {})", setting(axis), literal(axis.kind.nothing()))
}

fn literal(value: Value) -> String {
    match value {
        Value::Whole(number) => number.to_string(),
        Value::Real(number) => format!("{number:?}"),
        Value::Name(name) => format!("'{name}'"),
    }
}
