//! The results of a sweep, cell by cell.

use std::collections::{BTreeMap, HashMap};

use serde::Serialize;
use swfn_shared::{
    ids::CellId,
    trial::{Architecture, TrialSpec},
};

use super::{statistics::Estimate, table};
use crate::store::TrialRow;

/// All trials that differ only in the seed.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Cell {
    pub(crate) architecture: Architecture,
    pub(crate) subset_size: u32,
    /// Weight of the function norm; 0 without it.
    pub(crate) lambda: f64,
    /// What the function norm samples; `none` without it.
    pub(crate) density: &'static str,
    pub(crate) weight_decay: f64,
    pub(crate) learning_rate: f64,
    /// Per step; 0 without the function norm.
    pub(crate) penalty_samples: u32,
    /// Seeds of the grid.
    pub(crate) planned: usize,
    /// Seeds with a result.
    pub(crate) succeeded: usize,
    /// Seeds given up.
    pub(crate) quarantined: usize,
    /// Test accuracy after the last iteration, 0 to 1.
    pub(crate) final_test_accuracy: Option<Estimate>,
    /// Highest test accuracy of any evaluation, 0 to 1; chosen on the test images, so it flatters.
    pub(crate) best_test_accuracy: Option<Estimate>,
    /// Final accuracy minus that of the same seed without the function norm, over the seeds that have both.
    pub(crate) gain_over_none: Option<Estimate>,
    /// Mean seconds of training and testing a classifier.
    pub(crate) classifier_seconds: Option<f64>,
    /// Mean seconds of training a VAE, over the trials that had to.
    pub(crate) vae_seconds: Option<f64>,
}

impl Cell {
    /// Whether every seed has a result.
    pub(crate) fn complete(&self) -> bool {
        self.succeeded == self.planned
    }
}

/// A trial that was given up.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Failure {
    pub(crate) trial: String,
    pub(crate) label: String,
    pub(crate) seed: u64,
    pub(crate) attempts: u32,
    pub(crate) error: String,
    /// What the process said last that ended with this error, if anybody knows.
    pub(crate) log: Option<String>,
}

/// The results of a sweep.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Summary {
    pub(crate) sweep: String,
    pub(crate) dataset: String,
    pub(crate) planned: usize,
    pub(crate) succeeded: usize,
    pub(crate) cells: Vec<Cell>,
    pub(crate) failures: Vec<Failure>,
}

impl Summary {
    /// `trials`: the trials of the grid with what became of them, in the order of the grid.
    pub(crate) fn new(sweep: &str, trials: &[(TrialSpec, TrialRow)]) -> Self {
        let mut order: Vec<CellId> = Vec::new();
        let mut groups: HashMap<CellId, Vec<&(TrialSpec, TrialRow)>> = HashMap::new();
        for trial in trials {
            let group: &mut Vec<_> = groups.entry(trial.0.cell()).or_default();
            if group.is_empty() {
                order.push(trial.0.cell());
            }
            group.push(trial);
        }
        let accuracies = |id: CellId| -> BTreeMap<u64, f64> {
            let trials = groups.get(&id).map_or(&[][..], Vec::as_slice);
            trials.iter().filter_map(|(spec, row)| Some((spec.seed, row.outcome?.final_test_accuracy))).collect()
        };
        let cells = order.iter().map(|id| {
            let group = &groups[id];
            let spec = &group[0].0;
            let without = TrialSpec { penalty: None, ..*spec };
            let gain = spec.penalty.and_then(|_| {
                let none = accuracies(without.cell());
                let pairs = accuracies(*id).into_iter().filter_map(|(seed, with)| Some(with - none.get(&seed)?));
                Estimate::of(&pairs.collect::<Vec<_>>())
            });
            cell(spec, group, gain)
        });
        let cells = cells.collect();
        let failures = trials.iter().filter(|(_, row)| row.state == "quarantined").map(|(spec, row)| Failure {
            trial: row.id.to_string(),
            label: table::cell_label(spec),
            seed: spec.seed,
            attempts: row.attempts,
            error: row.error.clone().unwrap_or_default(),
            log: row.log.clone(),
        });
        Self {
            sweep: sweep.to_owned(),
            dataset: trials.first().map(|(spec, _)| spec.dataset.name().to_owned()).unwrap_or_default(),
            planned: trials.len(),
            succeeded: trials.iter().filter(|(_, row)| row.outcome.is_some()).count(),
            cells,
            failures: failures.collect(),
        }
    }
}

fn cell(spec: &TrialSpec, group: &[&(TrialSpec, TrialRow)], gain_over_none: Option<Estimate>) -> Cell {
    let outcomes: Vec<_> = group.iter().filter_map(|(_, row)| row.outcome).collect();
    let of = |value: fn(&swfn_shared::metrics::Outcome) -> f64| outcomes.iter().map(value).collect::<Vec<_>>();
    let mean = |values: &[f64]| Estimate::of(values).map(|estimate| estimate.mean);
    let vae_seconds: Vec<_> = of(|o| o.vae_seconds).into_iter().filter(|seconds| *seconds > 0.0).collect();
    Cell {
        architecture: spec.architecture,
        subset_size: spec.subset_size,
        lambda: spec.lambda(),
        density: spec.density(),
        weight_decay: spec.weight_decay.get(),
        learning_rate: spec.learning_rate.get(),
        penalty_samples: spec.penalty_samples(),
        planned: group.len(),
        succeeded: outcomes.len(),
        quarantined: group.iter().filter(|(_, row)| row.state == "quarantined").count(),
        final_test_accuracy: Estimate::of(&of(|o| o.final_test_accuracy)),
        best_test_accuracy: Estimate::of(&of(|o| o.best_test_accuracy)),
        gain_over_none,
        classifier_seconds: mean(&of(|o| o.classifier_seconds)),
        vae_seconds: mean(&vae_seconds),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use swfn_shared::{
        grid::{DEFAULT_MAX_TRIALS, Grid},
        metrics::Outcome,
    };

    use super::*;
    use crate::store::WorkerRow;

    /// Three seeds x (net, lenet) x (0, 0.1) with made-up outcomes; one trial is missing, one given up.
    pub(in crate::report) fn example() -> (Vec<(TrialSpec, TrialRow)>, Summary) {
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
            };
            let (state, outcome, error) = match index {
                10 => ("pending", None, None),
                11 => ("quarantined", None, Some("train/loss is `NaN`, in a | cell\nand <more>".to_owned())),
                _ => ("succeeded", Some(outcome), None),
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
            let (id, state) = (spec.id(), state.into());
            let log = error.is_some().then(|| "WARN one | two\nERROR <three> ``` \u{1b}[31m\n".to_owned());
            (spec, TrialRow { id, state, attempts: 1, error, log, worker, outcome, dataset_digest })
        });
        let trials: Vec<_> = trials.collect();
        let summary = Summary::new("t", &trials);
        (trials, summary)
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
