//! Mean curves: SQL averages the points of many trials, and thins them.

use std::collections::HashMap;

use rusqlite::{Connection, params};
use serde::Serialize;
use swfn_shared::{
    ids::{CellId, TrialId},
    metrics::MAX_VALUE,
};

use super::{Store, StoreError, read::parse, read_only::all};

/// The mean of a cell's trials over one interval of steps.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct MeanPoint {
    pub step: u64,
    pub n: usize,
    pub mean: f64,
    /// Zero for one trial.
    #[serde(skip)]
    pub standard_deviation: f64,
}

/// Sums over trials, by cell and interval of steps; those of several stores can be added up.
#[derive(Debug, Default)]
pub struct CurveSums(HashMap<(CellId, u64), Sum>);

#[derive(Debug, Clone, Copy, Default)]
struct Sum {
    step: u64,
    n: usize,
    sum: f64,
    squares: f64,
}

/// The most points of one mean curve.
const POINTS: u64 = 120;

impl Store {
    /// The last step at which a metric was reported by any of these trials.
    pub fn last_step(&self, metric: &str, trials: &[TrialId]) -> Result<u64, StoreError> {
        self.run(|connection| last_step(connection, metric, trials))
    }

    /// Adds the points of a metric of these trials. Steps up to `last` are cut into equal parts,
    /// and a trial counts once in each, with its mean there. Values beyond [`MAX_VALUE`], which
    /// older versions accepted, do not count.
    pub fn add_curves(
        &self,
        metric: &str,
        trials: &[TrialId],
        last: u64,
        sums: &mut CurveSums,
    ) -> Result<(), StoreError> {
        self.run(|connection| add_curves(connection, metric, trials, last, sums))
    }
}

/// Mean curves of a metric, over the succeeded trials of these cells.
pub fn mean_curves(
    connection: &Connection,
    metric: &str,
    cells: &[CellId],
) -> rusqlite::Result<HashMap<CellId, Vec<MeanPoint>>> {
    let sql = "SELECT id FROM trial WHERE in_grid AND state = 'succeeded'
               AND cell IN (SELECT value FROM json_each(?1))";
    let trials: Vec<TrialId> = all(connection, sql, [list(cells)], |row| parse(row, 0))?;
    let mut sums = CurveSums::default();
    add_curves(connection, metric, &trials, last_step(connection, metric, &trials)?, &mut sums)?;
    Ok(sums.curves())
}

fn last_step(connection: &Connection, metric: &str, trials: &[TrialId]) -> rusqlite::Result<u64> {
    let mut query = connection.prepare(
        "SELECT coalesce(max((SELECT max(step) FROM point WHERE point.trial = trial.number AND point.attempt = trial.attempt
                              AND metric = (SELECT number FROM metric WHERE name = ?1))), 0)
         FROM trial WHERE id IN (SELECT value FROM json_each(?2))",
    )?;
    query.query_row(params![metric, list(trials)], |row| Ok(row.get::<_, i64>(0)?.max(0) as u64))
}

fn add_curves(
    connection: &Connection,
    metric: &str,
    trials: &[TrialId],
    last: u64,
    sums: &mut CurveSums,
) -> rusqlite::Result<()> {
    let width = last.div_ceil(POINTS).max(1) as i64;
    let mut query = connection.prepare(
        "WITH part AS (
           SELECT trial.cell, (point.step - 1) / ?3 AS part, max(point.step) AS step, avg(point.value) AS value
           FROM trial JOIN point ON point.trial = trial.number AND point.attempt = trial.attempt
           WHERE trial.id IN (SELECT value FROM json_each(?2))
             AND point.metric = (SELECT number FROM metric WHERE name = ?1)
             AND abs(point.value) <= ?4
           GROUP BY trial.number, part)
         SELECT cell, part, max(step), count(*), sum(value), sum(value * value) FROM part GROUP BY cell, part",
    )?;
    let mut rows = query.query(params![metric, list(trials), width, MAX_VALUE])?;
    while let Some(row) = rows.next()? {
        let part: i64 = row.get(1)?;
        let sum = sums.0.entry((parse(row, 0)?, part.max(0) as u64)).or_default();
        sum.step = sum.step.max(row.get::<_, i64>(2)?.max(0) as u64);
        sum.n += row.get::<_, i64>(3)?.max(0) as usize;
        sum.sum += row.get::<_, f64>(4)?;
        sum.squares += row.get::<_, f64>(5)?;
    }
    Ok(())
}

impl CurveSums {
    /// Each in the order of its steps.
    pub fn curves(self) -> HashMap<CellId, Vec<MeanPoint>> {
        let mut curves: HashMap<CellId, Vec<MeanPoint>> = HashMap::new();
        for ((cell, _), Sum { step, n, sum, squares }) in self.0 {
            let mean = sum / n as f64;
            let variance = (squares - sum * mean) / (n.max(2) - 1) as f64;
            let point = MeanPoint { step, n, mean, standard_deviation: variance.max(0.0).sqrt() };
            curves.entry(cell).or_default().push(point);
        }
        curves.values_mut().for_each(|curve| curve.sort_by_key(|point| point.step));
        curves
    }
}

fn list(ids: &[impl ToString]) -> String {
    serde_json::Value::from_iter(ids.iter().map(ToString::to_string)).to_string()
}
