//! A trial as other tools see it: its point of the grid, by names.

use rusqlite::Row;
use serde_json::{Value, json};
use swfn_shared::{
    axes::{Axis, Role, Value as AxisValue},
    quote::file_name,
    state::TrialState,
};
use swfn_store::{Store, StoreError, parse, spec_of};

#[derive(Debug, Clone)]
pub(super) struct Trial {
    pub(super) number: i64,
    pub(super) id: String,
    pub(super) state: TrialState,
    /// The newest one.
    pub(super) attempt: i64,
    /// Equal for trials that differ only in the seed.
    pub(super) cell: String,
    pub(super) seed: i64,
    /// Everything that makes the cell, by the names of grid files: numbers and texts.
    pub(super) axes: Vec<(&'static str, Value)>,
    /// Its cell in a few words.
    pub(super) label: String,
    /// Everything that determines the result, as JSON.
    pub(super) settings: String,
}

/// The names of the metrics by their numbers in the database.
pub(super) fn metrics(reader: &Store) -> Result<Vec<(i64, String)>, StoreError> {
    let sql = "SELECT number, name FROM metric ORDER BY number";
    reader.all(sql, [], |row| Ok((row.get(0)?, row.get(1)?)))
}

/// Points of a curve after `step`, with their steps. `attempt`: the numbers of trial and attempt.
pub(super) fn points(
    reader: &Store,
    attempt: (i64, i64),
    metric: i64,
    step: i64,
    limit: usize,
) -> Result<Vec<(i64, f64)>, StoreError> {
    let sql = "SELECT step, value FROM point WHERE trial = ?1 AND attempt = ?2 AND metric = ?3
               AND step > ?4 ORDER BY step LIMIT ?5";
    let parameters = (attempt.0, attempt.1, metric, step, limit as i64);
    reader.all(sql, parameters, |row| Ok((row.get(0)?, row.get(1)?)))
}

impl Trial {
    pub(super) fn read(reader: &Store, number: i64) -> Result<Option<Self>, StoreError> {
        let sql = "SELECT number, id, state, attempt, cell, spec, regulariser(spec) AS regulariser
                   FROM trial WHERE number = ?1";
        Ok(reader.all(sql, [number], Self::from_row)?.pop())
    }

    /// The numbers of the trials of the grid.
    pub(super) fn numbers(reader: &Store) -> Result<Vec<i64>, StoreError> {
        reader.all("SELECT number FROM trial WHERE in_grid ORDER BY number", [], |row| row.get(0))
    }

    fn from_row(row: &Row<'_>) -> rusqlite::Result<Self> {
        let spec = spec_of(row.get_ref("spec")?)?;
        let mut axes = vec![
            ("dataset", json!(spec.dataset.name())),
            ("network", json!(spec.network().name())),
            ("regulariser", row.get::<_, String>("regulariser")?.into()),
        ];
        axes.extend(Axis::cell_columns(&spec).map(|(name, value)| (name, json!(value))));
        Ok(Self {
            number: row.get("number")?,
            id: row.get("id")?,
            state: parse(row, "state")?,
            attempt: row.get("attempt")?,
            cell: row.get("cell")?,
            seed: spec.seed as i64,
            axes,
            label: spec.label(),
            settings: row.get("spec")?,
        })
    }

    /// The axes that have several values among the trials of the grid.
    pub(super) fn varying(reader: &Store) -> Result<Vec<&'static str>, StoreError> {
        let column = |axis: Axis| match (axis.role, axis.kind.nothing()) {
            // Trials without a setting do not make it vary.
            (Role::Setting, AxisValue::Name(none)) => format!("nullif({}, '{none}')", axis.name),
            (Role::Setting, none) => format!("nullif({}, {none})", axis.name),
            _ => axis.name.to_owned(),
        };
        let mut columns = vec![
            ("dataset", "dataset".to_owned()),
            ("network", "network(spec)".to_owned()),
            ("regulariser", "regulariser(spec)".to_owned()),
        ];
        let cell_axes = Axis::columns().filter(|axis| axis.role != Role::Seed);
        columns.extend(cell_axes.map(|axis| (axis.name, column(axis))));
        let counts: Vec<String> =
            columns.iter().map(|(_, sql)| format!("count(DISTINCT {sql}) > 1")).collect();
        let sql = format!("SELECT {} FROM trial WHERE in_grid", counts.join(", "));
        let varies = |row: &Row<'_>| (0..columns.len()).map(|column| row.get(column)).collect();
        let varies: Vec<bool> = reader.all(&sql, [], varies)?.pop().unwrap_or_default();
        let varying = columns.iter().zip(varies).filter(|(_, varies)| *varies);
        Ok(varying.map(|((name, _), _)| *name).collect())
    }

    /// Its point of the grid and the beginning of its id, fit for the name of a folder.
    pub(super) fn name(&self) -> String {
        let id = self.id.get(..8).unwrap_or(&self.id);
        format!("{}_seed={}_{id}", file_name(&self.label), self.seed)
    }
}

#[cfg(test)]
mod tests {
    use swfn_shared::grid::{DEFAULT_MAX_TRIALS, Grid};
    use swfn_store::{Store, samples::varied};

    use super::*;
    use crate::tables::tables;

    /// A row of the table of axes is enough: nothing here knows its name.
    #[test]
    fn every_axis_of_a_grid_is_exported() {
        let [trials, ..] = tables();
        for axis in Axis::in_grid() {
            let (grid, values) = varied(*axis);
            let specs: Vec<_> =
                Grid::parse("t", &grid, DEFAULT_MAX_TRIALS).unwrap().trials().collect();
            let dir = tempfile::tempdir().unwrap();
            let database = dir.path().join("sweep.sqlite");
            Store::open(&database).unwrap().set_trials(&specs).unwrap();
            let reader = Store::open_live(&database).unwrap();
            let column = trials.columns.iter().position(|(name, ..)| *name == axis.name);
            let column = column.unwrap_or_else(|| panic!("{axis:?} is no column"));
            let texts = reader.all(&trials.sql(), [], |row| {
                Ok(match row.get_ref(column)? {
                    rusqlite::types::ValueRef::Integer(number) => number.to_string(),
                    rusqlite::types::ValueRef::Real(number) => number.to_string(),
                    other => other.as_str()?.to_owned(),
                })
            });
            assert_eq!(texts.unwrap(), values.map(|value| value.to_string()), "{axis:?}");
            if axis.role == Role::Seed {
                continue;
            }
            assert!(Trial::varying(&reader).unwrap().contains(&axis.name), "{axis:?}");
            let trial = Trial::read(&reader, Trial::numbers(&reader).unwrap()[0]).unwrap().unwrap();
            let param = trial
                .axes
                .iter()
                .find(|(name, _)| *name == axis.name)
                .map(|(_, value)| value.clone());
            assert_eq!(param, Some(serde_json::to_value(values[0]).unwrap()));
        }
    }
}
