//! The results of a sweep, cell by cell.

use std::collections::BTreeSet;

use serde::Serialize;
use swfn_shared::{
    grid::{Contrast, Grid, Selection},
    ids::CellId,
    state::TrialState,
    trial::TrialSpec,
};
use swfn_store::TrialRow;

use super::{
    answer::Answer,
    cell::{Cell, Cells, Treatment, sides},
    claim::{self, ClaimVerdict},
    contrast::{self, Comparison},
    united::{contrasts, distinct},
    verification::Verification,
};

/// A failed trial.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Failure {
    pub(crate) trial: String,
    pub(crate) label: String,
    /// Index of its cell in the summary.
    #[serde(skip)]
    pub(crate) cell: usize,
    pub(crate) seed: u64,
    pub(crate) attempts: u32,
    pub(crate) error: String,
    /// The end of the log of the process that failed.
    pub(crate) log: Option<String>,
}

/// The results of a sweep.
#[derive(Debug, Clone, Serialize)]
pub struct Summary {
    pub(crate) sweep: String,
    /// The names of all data sets.
    pub(crate) dataset: String,
    pub(crate) planned: usize,
    pub(crate) succeeded: usize,
    /// Which evaluation counts, in `test_accuracy` of the cells and in all comparisons.
    pub selection: Selection,
    pub answer: Answer,
    cells: Cells,
    /// One family of Holm's correction.
    pub(crate) comparisons: Vec<Comparison>,
    /// Another family. Files have claims with their reasons.
    #[serde(skip)]
    pub(crate) claims: Vec<ClaimVerdict>,
    pub(crate) failures: Vec<Failure>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verification: Option<Verification>,
}

impl Summary {
    /// The summary of some grids with all their trials, each once. The first grid's selection
    /// counts.
    pub fn united(grids: &[&Grid], trials: &[(TrialSpec, TrialRow)]) -> Self {
        let selection = grids.first().map_or(Selection::Final, |grid| grid.selection);
        let cells = Cells::new(selection, trials);
        let compare = |contrast: &Contrast| {
            let index = |cell| cells.indices.get(cell).copied();
            let (cell, reference) = (index(&contrast.cell)?, index(&contrast.reference)?);
            let (of, over) = (&cells.all[cell], &cells.all[reference]);
            let (context, treatment, control) = sides(of, over);
            let (name, paired) = (contrast.name.clone(), Comparison::of_seeds(of.paired(over)));
            Some(Comparison { name, context, treatment, control, cell, reference, ..paired })
        };
        let mut comparisons: Vec<_> = contrasts(grids, trials).iter().filter_map(compare).collect();
        contrast::correct(comparisons.iter_mut());
        // A claim that counts twice would enlarge its family.
        let claims = distinct(grids.iter().flat_map(|grid| &grid.claims));
        let claims = claims
            .into_iter()
            .map(|claim| (claim, claim.contrasts.iter().filter_map(compare).collect()));
        let claims = claim::judge(claims.collect());
        let failed = trials.iter().filter(|(_, row)| row.state == TrialState::Quarantined);
        let failures: Vec<Failure> = failed.map(|(spec, row)| failure(&cells, spec, row)).collect();
        let succeeded = trials.iter().filter(|(_, row)| row.outcome.is_some()).count();
        let open = succeeded + failures.len() < trials.len();
        let datasets: BTreeSet<&str> = trials.iter().map(|(spec, _)| spec.dataset.name()).collect();
        Self {
            sweep: distinct(grids.iter().map(|grid| grid.name.as_str())).join(" + "),
            dataset: datasets.into_iter().collect::<Vec<_>>().join(" and "),
            planned: trials.len(),
            succeeded,
            selection,
            answer: Answer::new(&cells, &comparisons, &claims, open),
            cells,
            comparisons,
            claims,
            failures,
            verification: None,
        }
    }

    /// All cells, in the order of the grid.
    pub fn cells(&self) -> &[Cell] {
        &self.cells.all
    }

    /// The properties that distinguish cells of one network and subset size, in the order of lists.
    pub(crate) fn treatments(&self) -> &[Treatment] {
        &self.cells.treatments
    }

    pub(crate) fn cell(&self, id: CellId) -> Option<&Cell> {
        self.cells.indices.get(&id).map(|index| &self.cells.all[*index])
    }

    /// The name of a trial: `net, n = 300, fn 0.1, seed 3`.
    pub(crate) fn label(&self, spec: &TrialSpec) -> String {
        let cell = self.cell(spec.cell()).map(Cell::label).unwrap_or_default();
        format!("{cell}, seed {}", spec.seed)
    }
}

fn failure(cells: &Cells, spec: &TrialSpec, row: &TrialRow) -> Failure {
    let cell = cells.indices[&spec.cell()];
    Failure {
        trial: row.id.to_string(),
        label: cells.all[cell].label(),
        cell,
        seed: spec.seed,
        attempts: row.attempts,
        error: row.error.clone().unwrap_or_default(),
        log: row.log.clone(),
    }
}
