//! Made-up summaries for tests.

use swfn_shared::{
    grid::{DEFAULT_MAX_TRIALS, Grid},
    metrics::Outcome,
    state::TrialState,
    trial::TrialSpec,
};
use swfn_store::{TrialRow, WorkerRow};

use super::summary::Summary;

/// Three seeds x (net, lenet) x (0, 0.1) with made-up outcomes; one trial is missing, one failed.
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
        let log =
            error.is_some().then(|| "WARN one | two\nERROR <three> ``` \u{1b}[31m\n".to_owned());
        (spec, TrialRow { id, state, attempts: 1, error, log, worker, outcome, dataset_digest })
    });
    let trials: Vec<_> = trials.collect();
    let summary = Summary::united(&[&grid], &trials);
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
    Summary::united(&[&grid], &trials.collect::<Vec<_>>())
}

#[test]
fn cells_pair_seeds_and_show_what_is_missing() {
    let (_, summary) = example();
    assert_eq!((summary.planned, summary.succeeded, summary.cells().len()), (12, 10, 4));
    let [net, net_fn, lenet, lenet_fn] = summary.cells() else { panic!("{:?}", summary.cells()) };
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
