//! A trial as other tools get to see it: its point of the grid, by name.

use rusqlite::Row;
use serde_json::{Value, json};
use swfn_store::{ReadOnly, StoreError};

/// A trial.
#[derive(Debug, Clone)]
pub(super) struct Trial {
    pub(super) number: i64,
    pub(super) id: String,
    /// pending, leased, succeeded or quarantined.
    pub(super) state: String,
    /// The newest one.
    pub(super) attempt: i64,
    /// Equal for trials that differ only in the seed.
    pub(super) cell: String,
    pub(super) seed: i64,
    /// Everything that makes the cell, by the names of grid files: numbers and texts.
    pub(super) axes: Vec<(&'static str, Value)>,
    /// Everything that determines the result, as JSON.
    pub(super) settings: String,
}

const COLUMNS: &str =
    "number, id, state, attempt, cell, seed, spec, dataset, architecture, subset_size, lambda, density, weight_decay,
                       learning_rate, penalty_samples";

/// The axes beside the seed, in the order of the columns.
const NUMBERS: [&str; 4] = ["lambda", "weight_decay", "learning_rate", "penalty_samples"];

impl Trial {
    /// The trial of that number.
    pub(super) fn read(reader: &ReadOnly, number: i64) -> Result<Option<Self>, StoreError> {
        let sql = format!("SELECT {COLUMNS} FROM trial WHERE number = ?1");
        Ok(reader.all(&sql, [number], Self::of_row)?.pop())
    }

    /// The numbers of the trials of the grid.
    pub(super) fn numbers(reader: &ReadOnly) -> Result<Vec<i64>, StoreError> {
        reader.all("SELECT number FROM trial WHERE in_grid ORDER BY number", [], |row| row.get(0))
    }

    fn of_row(row: &Row<'_>) -> rusqlite::Result<Self> {
        let text = |name| Ok::<Value, rusqlite::Error>(row.get::<_, String>(name)?.into());
        let mut axes = vec![("dataset", text("dataset")?), ("architecture", text("architecture")?)];
        axes.push(("subset_size", json!(row.get::<_, i64>("subset_size")?)));
        axes.push(("density", text("density")?));
        for name in NUMBERS {
            axes.push((name, json!(row.get::<_, f64>(name)?)));
        }
        Ok(Self {
            number: row.get("number")?,
            id: row.get("id")?,
            state: row.get("state")?,
            attempt: row.get("attempt")?,
            cell: row.get("cell")?,
            seed: row.get("seed")?,
            axes,
            settings: row.get("spec")?,
        })
    }

    /// Its point of the grid and the beginning of its id, fit for the name of a folder: what is as usual is left out.
    pub(super) fn label(&self) -> String {
        let axis = |name| self.axes.iter().find(|(of, _)| *of == name).map(|(_, value)| value);
        let text = |name| axis(name).and_then(Value::as_str).unwrap_or_default();
        let number = |name| axis(name).and_then(Value::as_f64).unwrap_or_default();
        let mut label = format!("{}_n={}_lambda={}", text("architecture"), number("subset_size"), number("lambda"));
        let mut add = |short: &str, name, usual: f64| {
            if number(name) != usual && number(name) != 0.0 {
                label += &format!("_{short}={}", number(name));
            }
        };
        add("wd", "weight_decay", 0.0);
        add("lr", "learning_rate", 0.01);
        add("samples", "penalty_samples", 20.0);
        if !["none", "vae"].contains(&text("density")) {
            label += &format!("_on={}", text("density"));
        }
        format!("{label}_seed={}_{}", self.seed, self.id.get(..8).unwrap_or(&self.id))
    }
}
