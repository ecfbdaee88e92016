//! The results of a sweep, cell by cell.

use std::collections::{BTreeMap, HashMap};

use serde::Serialize;
use swfn_shared::{
    grid::{Contrast, Grid, Selection},
    ids::CellId,
    metrics::Outcome,
    state::TrialState,
    treatment::{Names, Network, Regulariser},
    trial::{Architecture, TrialSpec},
};
use swfn_store::TrialRow;

use super::{
    answer::{Answer, answer},
    claim::{self, ClaimVerdict},
    contrast::{self, Comparison, Sides},
    hypothesis,
    statistics::Estimate,
    study::{Differing, NAMED},
    united::{claims, contrasts, datasets, sweeps},
    verification::Verification,
    words,
};

/// All trials that differ only in the seed.
#[derive(Debug, Clone, Serialize)]
pub struct Cell {
    pub architecture: Architecture,
    /// The architecture without dropout and batch norm.
    pub network: Network,
    /// What regularises it, by its short name.
    pub regulariser: String,
    /// The same in its parts.
    #[serde(skip)]
    pub(crate) treatment: Regulariser,
    pub subset_size: u32,
    /// Weight of the function norm; 0 without it.
    pub lambda: f64,
    /// What the function norm samples; `none` without it.
    pub density: &'static str,
    pub weight_decay: f64,
    pub learning_rate: f64,
    /// Per step; 0 without the function norm.
    pub penalty_samples: u32,
    /// In what else it differs from other cells, in words: learning rate, density, samples, and settings of several runs that are no axes.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub variant: Vec<String>,
    /// Seeds of the grid.
    pub planned: usize,
    /// Seeds with a result.
    pub succeeded: usize,
    /// Seeds given up.
    pub quarantined: usize,
    /// Test accuracy at the evaluation that the grid selects, 0 to 1.
    pub test_accuracy: Option<Estimate>,
    /// Test accuracy after the last iteration, 0 to 1.
    pub final_test_accuracy: Option<Estimate>,
    /// Highest test accuracy of any evaluation, 0 to 1; chosen on the test images, so it flatters.
    pub best_test_accuracy: Option<Estimate>,
    /// Test accuracy at each trial's best evaluation on the validation images, 0 to 1; none without such images.
    pub validated_test_accuracy: Option<Estimate>,
    /// Selected accuracy minus that of the same seed without the function norm, over the seeds that have both.
    pub gain_over_none: Option<Estimate>,
    /// Mean seconds of training and testing a classifier.
    pub classifier_seconds: Option<f64>,
    /// Mean seconds of training a VAE, over the trials that had to.
    pub vae_seconds: Option<f64>,
}

/// The columns of a cell's settings in the result files.
pub(super) const SETTINGS: [&str; 9] = [
    "architecture",
    "network",
    "regulariser",
    "subset_size",
    "lambda",
    "density",
    "weight_decay",
    "learning_rate",
    "penalty_samples",
];

impl Cell {
    /// What it has on each axis but the seed, by [`SETTINGS`].
    pub fn settings(&self) -> [String; SETTINGS.len()] {
        [
            self.architecture.to_string(),
            self.network.to_string(),
            self.regulariser.clone(),
            self.subset_size.to_string(),
            self.lambda.to_string(),
            self.density.to_owned(),
            self.weight_decay.to_string(),
            self.learning_rate.to_string(),
            self.penalty_samples.to_string(),
        ]
    }

    /// Its variant as one text.
    pub fn variant(&self) -> String {
        self.variant.join(", ")
    }

    /// Whether every seed has a result.
    pub fn complete(&self) -> bool {
        self.succeeded == self.planned
    }
}

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
    pub cells: Vec<Cell>,
    /// One family of Holm's correction.
    pub(crate) comparisons: Vec<Comparison>,
    /// Another one.
    pub(crate) claims: Vec<ClaimVerdict>,
    pub(crate) failures: Vec<Failure>,
    /// What came of training trials a second time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verification: Option<Verification>,
}

/// Of each seed of a cell, the accuracy that counts, as far as it is known.
type Accuracies = BTreeMap<u64, Option<f64>>;

impl Summary {
    /// `trials`: the trials of the grid with what became of them, in the order of the grid.
    #[cfg(test)]
    pub fn new(grid: &Grid, trials: &[(TrialSpec, TrialRow)]) -> Self {
        Self::united(&[grid], trials)
    }

    /// `trials`: those of all grids, with what became of them, each once. What the first grid selects counts.
    pub fn united(grids: &[&Grid], trials: &[(TrialSpec, TrialRow)]) -> Self {
        let selection = grids.first().map_or(Selection::Final, |grid| grid.selection);
        let mut order: HashMap<CellId, usize> = HashMap::new();
        let mut groups: Vec<Vec<&(TrialSpec, TrialRow)>> = Vec::new();
        for trial in trials {
            let place = *order.entry(trial.0.cell()).or_insert(groups.len());
            if place == groups.len() {
                groups.push(Vec::new());
            }
            groups[place].push(trial);
        }
        let differing = Differing::among(groups.iter().map(|group| &group[0].0), &NAMED);
        let accuracies: Vec<Accuracies> = groups.iter().map(|group| accuracies(selection, group)).collect();
        let names = Names::among(groups.iter().map(|group| group[0].0.regulariser()));
        let cells = groups.iter().enumerate().map(|(place, group)| {
            let spec = &group[0].0;
            let none = spec.penalty.and_then(|_| order.get(&TrialSpec { penalty: None, ..*spec }.cell()));
            let gain = none.and_then(|none| gain(&accuracies[place], &accuracies[*none]));
            cell(selection, group, names, differing.phrases(spec), gain)
        });
        let cells: Vec<_> = cells.collect();
        let compare = |contrast: &Contrast| {
            let (cell, reference) = (*order.get(&contrast.cell)?, *order.get(&contrast.reference)?);
            let (context, treatment, control) = words::sides(&cells[cell], &cells[reference]);
            let sides = Sides { name: contrast.name.clone(), context, treatment, control, cell, reference };
            Some(Comparison::new(sides, paired(&accuracies[cell], &accuracies[reference])))
        };
        let mut comparisons: Vec<_> = contrasts(grids, trials).iter().filter_map(compare).collect();
        contrast::correct(comparisons.iter_mut());
        let claims = claims(grids);
        let claims = claims.into_iter().map(|claim| (claim, claim.contrasts.iter().filter_map(compare).collect()));
        let claims = claim::judge(claims.collect());
        let failures =
            trials.iter().filter(|(_, row)| row.state == TrialState::Quarantined).map(|(spec, row)| Failure {
                trial: row.id.to_string(),
                label: words::label(&cells[order[&spec.cell()]]),
                cell: order[&spec.cell()],
                seed: spec.seed,
                attempts: row.attempts,
                error: row.error.clone().unwrap_or_default(),
                log: row.log.clone(),
            });
        let mut summary = Self {
            sweep: sweeps(grids),
            dataset: datasets(trials),
            planned: trials.len(),
            succeeded: trials.iter().filter(|(_, row)| row.outcome.is_some()).count(),
            selection,
            answer: Answer::default(),
            failures: failures.collect(),
            cells,
            comparisons,
            claims,
            verification: None,
        };
        summary.answer = answer(&summary);
        summary
    }

    /// Whether trials have not ended.
    pub(super) fn is_open(&self) -> bool {
        self.succeeded + self.failures.len() < self.planned
    }
}

fn accuracies(selection: Selection, group: &[&(TrialSpec, TrialRow)]) -> Accuracies {
    let accuracy = |row: &TrialRow| row.outcome.and_then(|outcome| selection.accuracy(&outcome));
    group.iter().map(|(spec, row)| (spec.seed, accuracy(row))).collect()
}

/// The seeds that the grid has of both cells.
fn paired<'a>(
    cell: &'a Accuracies,
    reference: &'a Accuracies,
) -> impl Iterator<Item = (u64, Option<f64>, Option<f64>)> + 'a {
    cell.iter().filter_map(|(seed, accuracy)| Some((*seed, *accuracy, *reference.get(seed)?)))
}

fn gain(with: &Accuracies, without: &Accuracies) -> Option<Estimate> {
    let differences =
        paired(with, without).filter_map(|(_, with, without)| Some(hypothesis::difference(with?, without?)));
    Estimate::of(&differences.collect::<Vec<_>>())
}

fn cell(
    selection: Selection,
    group: &[&(TrialSpec, TrialRow)],
    names: Names,
    variant: Vec<String>,
    gain_over_none: Option<Estimate>,
) -> Cell {
    let spec = &group[0].0;
    let outcomes: Vec<_> = group.iter().filter_map(|(_, row)| row.outcome).collect();
    let of = |value: fn(&Outcome) -> f64| outcomes.iter().map(value).collect::<Vec<_>>();
    let mean = |values: &[f64]| Estimate::of(values).map(|estimate| estimate.mean);
    let vae_seconds: Vec<_> = of(|o| o.vae_seconds).into_iter().filter(|seconds| *seconds > 0.0).collect();
    let selected: Vec<_> = outcomes.iter().filter_map(|outcome| selection.accuracy(outcome)).collect();
    Cell {
        architecture: spec.architecture,
        network: spec.network(),
        regulariser: names.regulariser(spec.regulariser()),
        treatment: spec.regulariser(),
        subset_size: spec.subset_size,
        lambda: spec.lambda(),
        density: spec.density(),
        weight_decay: spec.weight_decay(),
        learning_rate: spec.learning_rate.get(),
        penalty_samples: spec.penalty_samples(),
        variant,
        planned: group.len(),
        succeeded: outcomes.len(),
        quarantined: group.iter().filter(|(_, row)| row.state == TrialState::Quarantined).count(),
        test_accuracy: Estimate::of(&selected),
        final_test_accuracy: Estimate::of(&of(|o| o.final_test_accuracy)),
        best_test_accuracy: Estimate::of(&of(|o| o.best_test_accuracy)),
        validated_test_accuracy: Estimate::of(
            &outcomes.iter().filter_map(|outcome| outcome.validated_test_accuracy).collect::<Vec<_>>(),
        ),
        gain_over_none,
        classifier_seconds: mean(&of(|o| o.classifier_seconds)),
        vae_seconds: mean(&vae_seconds),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use swfn_shared::grid::DEFAULT_MAX_TRIALS;

    use super::*;
    use swfn_store::WorkerRow;

    /// Three seeds x (net, lenet) x (0, 0.1) with made-up outcomes; one trial is missing, one given up.
    pub(crate) fn example() -> (Vec<(TrialSpec, TrialRow)>, Summary) {
        let grid = "version = 1\nname = \"t\"\n[data]\ndataset = \"mnist\"\n[grid]\nseed = { count = 3 }\nsubset_size = 100\n\
                    architecture = [\"net\", \"lenet\"]\nlambda = [0, 0.1]\n";
        let grid = Grid::parse("t", grid, DEFAULT_MAX_TRIALS).unwrap();
        let trials = grid.trials().enumerate().map(|(index, spec)| {
            let accuracy = 0.80 + 0.01 * spec.seed as f64 + if spec.penalty.is_some() { 0.025 } else { 0.0 };
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
                11 => (TrialState::Quarantined, None, Some("train/loss is `NaN`, in a | cell\nand <more>".to_owned())),
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
            let log = error.is_some().then(|| "WARN one | two\nERROR <three> ``` \u{1b}[31m\n".to_owned());
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
        assert_eq!((summary.planned, summary.succeeded, summary.cells.len()), (12, 10, 4));
        let [net, net_fn, lenet, lenet_fn] = &summary.cells[..] else { panic!("{:?}", summary.cells) };
        assert!(net.complete() && net_fn.complete() && !lenet.complete() && !lenet_fn.complete());
        assert_eq!((lenet.succeeded, lenet.quarantined, lenet_fn.succeeded, lenet_fn.quarantined), (2, 0, 2, 1));
        let gain = net_fn.gain_over_none.unwrap();
        assert!((gain.mean - 0.025).abs() < 1e-12 && gain.standard_deviation.unwrap() < 1e-12 && gain.n == 3);
        assert!(net.gain_over_none.is_none());
        assert_eq!(net_fn.vae_seconds, Some(1.0));
        assert_eq!(net.vae_seconds, None);
        assert_eq!(summary.failures.len(), 1);
    }
}
