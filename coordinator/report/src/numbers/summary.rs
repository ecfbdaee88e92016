//! The results of a sweep, cell by cell.

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
    contrast::{self, Comparison, Sides},
    united::{claims, contrasts, datasets, sweeps},
    verification::Verification,
};

/// A trial that was given up.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Failure {
    pub(crate) trial: String,
    pub(crate) label: String,
    /// Its place among those of the summary.
    #[serde(skip)]
    pub(crate) cell: usize,
    pub(crate) seed: u64,
    pub(crate) attempts: u32,
    pub(crate) error: String,
    /// What the process said last that ended with this error, if anybody knows.
    pub(crate) log: Option<String>,
}

/// The results of a sweep.
#[derive(Debug, Clone, Serialize)]
pub struct Summary {
    pub(crate) sweep: String,
    /// The names of all of them.
    pub(crate) dataset: String,
    pub(crate) planned: usize,
    pub(crate) succeeded: usize,
    /// Which evaluation counts: in `test_accuracy` of the cells and in all that is compared.
    pub selection: Selection,
    /// What the rest comes to.
    pub answer: Answer,
    #[serde(serialize_with = "only_cells")]
    cells: Cells,
    /// One family of Holm's correction.
    pub(crate) comparisons: Vec<Comparison>,
    /// Another one. Files have them with their reasons.
    #[serde(skip)]
    pub(crate) claims: Vec<ClaimVerdict>,
    pub(crate) failures: Vec<Failure>,
    /// What came of training trials a second time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verification: Option<Verification>,
}

fn only_cells<S: serde::Serializer>(cells: &Cells, serializer: S) -> Result<S::Ok, S::Error> {
    cells.all.serialize(serializer)
}

impl Summary {
    /// `trials`: the trials of the grid with what became of them, in the order of the grid.
    #[cfg(test)]
    pub fn new(grid: &Grid, trials: &[(TrialSpec, TrialRow)]) -> Self {
        Self::united(&[grid], trials)
    }

    /// `trials`: those of all grids, with what became of them, each once. What the first grid selects counts.
    pub fn united(grids: &[&Grid], trials: &[(TrialSpec, TrialRow)]) -> Self {
        let selection = grids.first().map_or(Selection::Final, |grid| grid.selection);
        let cells = Cells::of(selection, trials);
        let compare = |contrast: &Contrast| {
            let (cell, reference) =
                (*cells.places.get(&contrast.cell)?, *cells.places.get(&contrast.reference)?);
            let (of, over) = (&cells.all[cell], &cells.all[reference]);
            let (context, treatment, control) = sides(of, over);
            let sides =
                Sides { name: contrast.name.clone(), context, treatment, control, cell, reference };
            Some(Comparison::new(sides, of.paired(over)))
        };
        let mut comparisons: Vec<_> = contrasts(grids, trials).iter().filter_map(compare).collect();
        contrast::correct(comparisons.iter_mut());
        let claims = claims(grids);
        let claims = claims
            .into_iter()
            .map(|claim| (claim, claim.contrasts.iter().filter_map(compare).collect()));
        let claims = claim::judge(claims.collect());
        let failures: Vec<Failure> =
            (trials.iter().filter(|(_, row)| row.state == TrialState::Quarantined))
                .map(|(spec, row)| failure(&cells, spec, row))
                .collect();
        let succeeded = trials.iter().filter(|(_, row)| row.outcome.is_some()).count();
        let open = succeeded + failures.len() < trials.len();
        Self {
            sweep: sweeps(grids),
            dataset: datasets(trials),
            planned: trials.len(),
            succeeded,
            selection,
            answer: Answer::of(&cells, &comparisons, &claims, open),
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

    /// What cells of one network and subset size are told apart by, in the order in which it is listed.
    pub(crate) fn treatments(&self) -> &[Treatment] {
        &self.cells.treatments
    }

    pub(crate) fn cell(&self, id: CellId) -> Option<&Cell> {
        self.cells.get(id)
    }
}

fn failure(cells: &Cells, spec: &TrialSpec, row: &TrialRow) -> Failure {
    let cell = cells.places[&spec.cell()];
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

#[cfg(test)]
pub(crate) mod tests {
    use swfn_shared::{grid::DEFAULT_MAX_TRIALS, metrics::Outcome};

    use super::*;
    use swfn_store::WorkerRow;

    /// Three seeds x (net, lenet) x (0, 0.1) with made-up outcomes; one trial is missing, one given up.
    pub(crate) fn example() -> (Vec<(TrialSpec, TrialRow)>, Summary) {
        let grid = "version = 1\nname = \"t\"\n[data]\ndataset = \"mnist\"\n[grid]\nseed = { count = 3 }\nsubset_size = 100\n\
                    architecture = [\"net\", \"lenet\"]\nlambda = [0, 0.1]\n";
        let grid = Grid::parse("t", grid, DEFAULT_MAX_TRIALS).unwrap();
        let trials = grid.trials().enumerate().map(|(index, spec)| {
            let accuracy =
                0.80 + 0.01 * spec.seed as f64 + if spec.penalty.is_some() { 0.025 } else { 0.0 };
            let outcome = Outcome {
                final_test_accuracy: accuracy,
                best_test_accuracy: accuracy + 0.002,
                final_test_loss: 0.5,
                vae_seconds: if spec.penalty.is_some() { 1.0 } else { 0.0 },
                classifier_seconds: 2.0,
                validation_accuracy: None,
                validated_test_accuracy: None,
            };
            let (state, outcome, error) = match index {
                10 => (TrialState::Pending, None, None),
                11 => (
                    TrialState::Quarantined,
                    None,
                    Some("train/loss is `NaN`, in a | cell\nand <more>".to_owned()),
                ),
                _ => (TrialState::Succeeded, Some(outcome), None),
            };
            let worker = outcome.map(|_| WorkerRow {
                id: "w".parse().unwrap(),
                host: "h".into(),
                device: "cpu".into(),
                model: "m, 2 cores".into(),
                threads: Some(1),
                cuda: Some(String::new()),
                software: "0.1.0+abc".into(),
                libtorch: "2.11.0".into(),
                certificate: None,
            });
            let dataset_digest = outcome.map(|_| "d".repeat(64));
            let id = spec.id();
            let log = error
                .is_some()
                .then(|| "WARN one | two\nERROR <three> ``` \u{1b}[31m\n".to_owned());
            (spec, TrialRow { id, state, attempts: 1, error, log, worker, outcome, dataset_digest })
        });
        let trials: Vec<_> = trials.collect();
        let summary = Summary::new(&grid, &trials);
        (trials, summary)
    }

    /// A grid whose trials have succeeded with these final accuracies, or not begun.
    pub(crate) fn finished(grid: &str, accuracy: impl Fn(&TrialSpec) -> Option<f64>) -> Summary {
        let grid = Grid::parse("t", grid, DEFAULT_MAX_TRIALS).unwrap();
        let trials = grid.trials().map(|spec| {
            let outcome = accuracy(&spec).map(|accuracy| Outcome {
                final_test_accuracy: accuracy,
                best_test_accuracy: accuracy + 0.001,
                final_test_loss: 0.5,
                vae_seconds: 0.0,
                classifier_seconds: 2.0,
                validation_accuracy: None,
                validated_test_accuracy: None,
            });
            let state = if outcome.is_some() { TrialState::Succeeded } else { TrialState::Pending };
            let (id, error, log, worker, dataset_digest) = (spec.id(), None, None, None, None);
            (spec, TrialRow { id, state, attempts: 1, error, log, worker, outcome, dataset_digest })
        });
        Summary::new(&grid, &trials.collect::<Vec<_>>())
    }

    #[test]
    fn cells_pair_seeds_and_show_what_is_missing() {
        let (_, summary) = example();
        assert_eq!((summary.planned, summary.succeeded, summary.cells().len()), (12, 10, 4));
        let [net, net_fn, lenet, lenet_fn] = summary.cells() else {
            panic!("{:?}", summary.cells())
        };
        assert!(net.complete() && net_fn.complete() && !lenet.complete() && !lenet_fn.complete());
        assert_eq!(
            (lenet.succeeded, lenet.quarantined, lenet_fn.succeeded, lenet_fn.quarantined),
            (2, 0, 2, 1)
        );
        let gain = net_fn.gain_over_none.unwrap();
        assert!(
            (gain.mean - 0.025).abs() < 1e-12
                && gain.standard_deviation.unwrap() < 1e-12
                && gain.n == 3
        );
        assert!(net.gain_over_none.is_none());
        assert_eq!(net_fn.vae_seconds, Some(1.0));
        assert_eq!(net.vae_seconds, None);
        assert_eq!(summary.failures.len(), 1);
    }
}
