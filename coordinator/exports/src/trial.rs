//! A trial as other tools get to see it: its point of the grid, by name.

use rusqlite::Row;
use serde_json::{Value, json};
use swfn_shared::{quote::file_name, state::TrialState};
use swfn_store::{ReadOnly, StoreError, parse, spec_of};

/// A trial.
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

const COLUMNS: &str = "number, id, state, attempt, cell, seed, spec, dataset, architecture, network(spec) AS network,
                       regulariser(spec) AS regulariser, subset_size, lambda, density, weight_decay,
                       learning_rate, penalty_samples";

/// The axes beside the seed, in the order of the columns: words, the one whole number, other numbers.
const WORDS: [&str; 5] = ["dataset", "architecture", "network", "regulariser", "density"];
const WHOLE: &str = "subset_size";
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
        let mut axes = Vec::new();
        for name in WORDS {
            axes.push((name, row.get::<_, String>(name)?.into()));
        }
        axes.push((WHOLE, json!(row.get::<_, i64>(WHOLE)?)));
        for name in NUMBERS {
            axes.push((name, json!(row.get::<_, f64>(name)?)));
        }
        let label = spec_of(row.get_ref("spec")?)?.label();
        Ok(Self {
            number: row.get("number")?,
            id: row.get("id")?,
            state: parse(row, "state")?,
            attempt: row.get("attempt")?,
            cell: row.get("cell")?,
            seed: row.get("seed")?,
            axes,
            label,
            settings: row.get("spec")?,
        })
    }

    /// The axes that have several values among the trials of the grid.
    pub(super) fn varying(reader: &ReadOnly) -> Result<Vec<&'static str>, StoreError> {
        let names: Vec<&'static str> = WORDS.into_iter().chain([WHOLE]).chain(NUMBERS).collect();
        // Without the function norm there are neither density nor samples, which alone is no difference.
        let value = |name: &str| match name {
            "density" | "penalty_samples" => format!("CASE WHEN lambda > 0 THEN {name} END"),
            _ => name.to_owned(),
        };
        let counts: Vec<String> = names.iter().map(|name| format!("count(DISTINCT {}) > 1", value(name))).collect();
        let sql = format!("SELECT {} FROM (SELECT {COLUMNS} FROM trial WHERE in_grid)", counts.join(", "));
        let row = |row: &Row<'_>| {
            let several =
                names.iter().enumerate().map(|(column, name)| Ok(row.get::<_, bool>(column)?.then_some(*name)));
            several.filter_map(rusqlite::Result::transpose).collect()
        };
        Ok(reader.all(&sql, [], row)?.pop().unwrap_or_default())
    }

    /// Its cell in words, with the beginning of its id: cells of an earlier grid may have the same words.
    pub(super) fn group(&self) -> String {
        format!("{} ({})", self.label, self.cell.get(..4).unwrap_or(&self.cell))
    }

    /// Its point of the grid and the beginning of its id, fit for the name of a folder.
    pub(super) fn name(&self) -> String {
        let id = self.id.get(..8).unwrap_or(&self.id);
        format!("{}_seed={}_{id}", file_name(&self.label), self.seed)
    }
}
