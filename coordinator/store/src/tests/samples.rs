//! Made-up trials and batches, for the tests of this crate and of those that read its files.

use swfn_shared::{
    axes::{Axis, Kind, Value},
    event::Event,
    grid::{DEFAULT_MAX_TRIALS, Grid},
    ids::LeaseId,
    metrics::{self, MetricPoint, Outcome},
    trial::TrialSpec,
};

use crate::{Batch, ResultRow, WorkerRow};

pub(crate) const DIGEST: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

/// Two trials for each of so many seeds.
///
/// # Panics
/// Never: the grid is sound.
pub fn specs(seeds: u32) -> Vec<TrialSpec> {
    let grid = format!(
        "version = 1\nname = \"t\"\n[data]\ndataset = \"mnist\"\n[grid]\nseed = {{ count = {seeds} }}\nsubset_size = 100\n\
         architecture = \"net\"\nlambda = [0, 0.1]\n"
    );
    Grid::parse("t", &grid, DEFAULT_MAX_TRIALS).expect("the sample is sound").trials().collect()
}

/// A grid file that varies one axis, and the two values of that axis.
pub fn varied(axis: Axis) -> (String, [Value; 2]) {
    let values = match axis.kind {
        Kind::Whole { min, .. } => [min.max(100), min.max(100) + 1].map(Value::Whole),
        Kind::Real(_) => [0.25, 0.5].map(Value::Real),
        Kind::Choice(names) => [Value::Name(names[0]), Value::Name(names[names.len() - 1])],
        Kind::Dataset => [Value::Name("mnist"), Value::Name("fashion-mnist")],
    };
    let written = |value: &Value| match value {
        Value::Name(name) => format!("\"{name}\""),
        number => number.to_string(),
    };
    let mut grid = "version = 1\nname = \"t\"\n[data]\ndataset = \"mnist\"\n[grid]\n".to_owned();
    let usual =
        [("seed", "1"), ("subset_size", "100"), ("architecture", "\"net\""), ("lambda", "0.1")];
    for (name, value) in usual.iter().filter(|(name, _)| *name != axis.name) {
        grid += &format!("{name} = [{value}]\n");
    }
    grid += &format!("{} = [{}]\n", axis.name, values.each_ref().map(written).join(", "));
    (grid, values)
}

/// A result of that accuracy, with its worker and two points.
///
/// # Panics
/// Never: the names are sound.
pub fn batch(lease: LeaseId, accuracy: f64) -> Batch {
    let worker = "ann".parse().expect("the sample is sound");
    let point = |step, value| MetricPoint { metric: metrics::TEST_ACCURACY, step, value };
    Batch {
        workers: vec![WorkerRow {
            id: "ann".parse().expect("the sample is sound"),
            host: "h".into(),
            device: "cpu".into(),
            model: "m".into(),
            threads: Some(1),
            cuda: Some(String::new()),
            software: "0.1.0".into(),
            libtorch: "2.11.0".into(),
            certificate: None,
        }],
        events: vec![Event::Succeeded { lease }],
        points: vec![(lease, vec![point(100, 0.5), point(200, accuracy)])],
        results: vec![ResultRow {
            lease,
            worker,
            dataset_digest: DIGEST.parse().expect("the sample is sound"),
            outcome: Outcome {
                final_test_accuracy: accuracy,
                best_test_accuracy: accuracy,
                final_test_loss: 1.0,
                vae_seconds: 0.0,
                classifier_seconds: 2.0,
                validation_accuracy: Some(0.25),
                validated_test_accuracy: Some(0.75),
            },
        }],
    }
}

/// The grant of a lease.
///
/// # Panics
/// Never: the name is sound.
pub fn leased(lease: LeaseId) -> Batch {
    Batch {
        events: vec![Event::Leased { lease, worker: "ann".parse().expect("the sample is sound") }],
        ..Batch::default()
    }
}
