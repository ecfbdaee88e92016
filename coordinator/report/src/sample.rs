//! Made-up run directories for tests: outcomes and curves that look like those of training.

use std::{fs, path::Path};

use rand::{Rng as _, RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use swfn_shared::{
    event::Event,
    grid::{DEFAULT_MAX_TRIALS, Grid},
    ids::LeaseId,
    metrics::{MetricPoint, Outcome, TEST_ACCURACY, TRAIN_FUNCTION_NORM},
    trial::{Architecture, TrialSpec},
};
use swfn_store::{Batch, ResultRow, Store, WorkerRow};

/// A folder that is removed after the test, or stays in the parent that `SWFN_PICTURES` names.
pub(crate) fn folder(name: &str) -> tempfile::TempDir {
    match std::env::var_os("SWFN_PICTURES") {
        None => tempfile::tempdir().unwrap(),
        Some(parent) => tempfile::Builder::new()
            .prefix(&format!("{name}-"))
            .disable_cleanup(true)
            .tempdir_in(parent)
            .unwrap(),
    }
}

/// A grid of these axes.
pub(crate) fn grid(axes: &str) -> String {
    format!("version = 1\nname = \"sample\"\n[data]\ndataset = \"mnist\"\n[grid]\n{axes}\n")
}

/// Fills a folder with the run of a grid.
///
/// `ended` gives the end of each trial: `None` if it is waiting, an error if it failed.
pub(crate) fn run(
    folder: &Path,
    text: &str,
    ended: impl Fn(usize, &TrialSpec) -> Option<Result<(), String>>,
) {
    fs::create_dir_all(folder).unwrap();
    fs::write(folder.join("grid.toml"), text).unwrap();
    let grid = Grid::parse("grid.toml", text, DEFAULT_MAX_TRIALS).unwrap();
    let specs: Vec<TrialSpec> = grid.trials().collect();
    let mut store = Store::open(&folder.join("sweep.sqlite")).unwrap();
    store.set_trials(&specs).unwrap();
    let mut batch = Batch { workers: vec![worker()], ..Batch::default() };
    for (index, spec) in specs.iter().enumerate() {
        let lease = LeaseId { trial: spec.id(), attempt: 1 };
        let Some(ended) = ended(index, spec) else { continue };
        batch.events.push(Event::Leased { lease, worker: "w".parse().unwrap() });
        // A trial a minute, of which fifty seconds of work.
        let start = 60.0 * index as f64;
        store.write(start, &batch).unwrap();
        batch = Batch::default();
        match ended {
            Ok(()) => succeed(&mut batch, lease, spec),
            Err(error) => {
                let log = "INFO training begins\nERROR it ends <here> & now\n".to_owned();
                batch.events.push(Event::Failed { lease, error, log, quarantine: true });
            }
        }
        store.write(start + 50.0, &batch).unwrap();
        batch = Batch::default();
    }
}

fn succeed(batch: &mut Batch, lease: LeaseId, spec: &TrialSpec) {
    let end = accuracy(spec);
    let steps = (1..=20).map(|part| u64::from(spec.classifier.iterations) * part / 20);
    let point = |metric, step: u64, value| MetricPoint { metric, step, value };
    let mut points: Vec<MetricPoint> = steps
        .clone()
        .map(|step| {
            let share = step as f64 / f64::from(spec.classifier.iterations);
            point(TEST_ACCURACY, step, end - (end - 0.1) * (-8.0 * share).exp())
        })
        .collect();
    if spec.penalty.is_some() {
        points.extend(steps.map(|step| {
            point(
                TRAIN_FUNCTION_NORM,
                step,
                40.0 / (1.0 + 200.0 * spec.lambda()) + 1e3 / step as f64,
            )
        }));
    }
    batch.points.push((lease, points));
    let outcome = Outcome {
        final_test_accuracy: end,
        best_test_accuracy: (end + 0.001).min(1.0),
        final_test_loss: 0.5,
        validation_accuracy: (spec.validation > 0).then_some(end),
        validated_test_accuracy: (spec.validation > 0).then_some(end - 0.002),
        vae_seconds: if spec.penalty.is_some() { 10.0 } else { 0.0 },
        classifier_seconds: 50.0,
    };
    let dataset_digest = "0123456789abcdef".repeat(4).parse().unwrap();
    batch.results.push(ResultRow { lease, worker: "w".parse().unwrap(), outcome, dataset_digest });
    batch.events.push(Event::Succeeded { lease });
}

/// Grows with the subset, has a best lambda near 0.1, and a part that all trials of a (subset,
/// seed) share.
fn accuracy(spec: &TrialSpec) -> f64 {
    let shared = noise(spec.seed + u64::from(spec.subset_size)) * 0.01;
    let own =
        noise(spec.seed * 1000 + (spec.lambda() * 1e6) as u64 + spec.architecture.index() as u64)
            * 0.002;
    let size = 0.80 + 0.06 * f64::from(spec.subset_size.min(5000)).log10() - 0.12;
    let gain = if spec.lambda() > 0.0 {
        0.02 - 0.008 * (spec.lambda().log10() + 1.0).powi(2)
    } else {
        0.0
    };
    let network = if spec.network() == Architecture::LENET { -0.01 } else { 0.0 };
    (size + gain.max(-0.5) + network + shared + own).clamp(0.0, 1.0)
}

/// From -1 to 1, the same for the same seed.
fn noise(seed: u64) -> f64 {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    random.next_u32();
    random.random_range(-1.0..1.0)
}

fn worker() -> WorkerRow {
    WorkerRow {
        id: "w".parse().unwrap(),
        host: "node-1".into(),
        device: "cpu".into(),
        model: "a processor, 2 cores".into(),
        threads: Some(1),
        cuda: Some(String::new()),
        software: "0.1.0+abc".into(),
        libtorch: "2.11.0".into(),
        certificate: None,
    }
}
