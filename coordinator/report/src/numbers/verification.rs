//! Whether trials that were trained a second time came to the same.

use std::{collections::HashMap, path::Path};

use serde::Serialize;
use swfn_shared::{
    ids::{TrialId, WorkerDevice},
    metrics::Outcome,
    treatment::Names,
    trial::TrialSpec,
};
use swfn_store::{Store, TrialRow, WorkerRow, run_dir::VERIFICATION};

use super::settings::Differing;

/// How far accuracies of different kinds of devices may lie apart, 0 to 1. Their sums are rounded differently, and over thousands of
/// steps that makes another training, about as different as one with another order of the images.
pub(crate) const TOLERANCE: f64 = 0.03;

/// What came of training trials a second time.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Verification {
    /// Trials that were drawn.
    pub(crate) drawn: usize,
    /// Equal bit for bit, on the same kind of device.
    pub(crate) identical: usize,
    /// Within the tolerance, on another kind of device.
    pub(crate) within_tolerance: usize,
    /// The second training was by the worker of the first, since there was no other.
    pub(crate) by_the_same_device: usize,
    pub(crate) disagreements: Vec<Disagreement>,
}

/// A trial with two results.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Disagreement {
    pub(crate) trial: String,
    pub(crate) label: String,
    pub(crate) workers: [String; 2],
    /// Test accuracies after the last iteration, 0 to 1.
    pub(crate) accuracies: [f64; 2],
    pub(crate) same_kind: bool,
}

impl Verification {
    /// Compares the results of a run with those in its folder of second trainings, if there is one.
    pub(crate) fn of(run: &Path, trials: &[(TrialSpec, TrialRow)]) -> anyhow::Result<Self> {
        let database = run.join(VERIFICATION).join("sweep.sqlite");
        if !database.is_file() {
            return Ok(Self::default());
        }
        let second: HashMap<TrialId, TrialRow> = Store::open_to_read(&database)?
            .trials()?
            .into_iter()
            .map(|row| (row.id, row))
            .collect();
        let names = Names::among(trials.iter().map(|(spec, _)| spec.regulariser()));
        let differing = Differing::among(trials.iter().map(|(spec, _)| spec));
        let label = |spec: &TrialSpec| {
            let mut parts = vec![spec.network().to_string(), format!("n = {}", spec.subset_size)];
            parts.push(names.regulariser(spec.regulariser()));
            parts.extend(differing.phrases(spec));
            format!("{}, seed {}", parts.join(", "), spec.seed)
        };
        let mut found = Self::default();
        for (spec, first) in trials {
            if let Some(second) = second.get(&first.id) {
                found.drawn += 1;
                found.compare(&|| label(spec), first, second);
            }
        }
        Ok(found)
    }

    fn compare(&mut self, label: &dyn Fn() -> String, first: &TrialRow, second: &TrialRow) {
        let worker = |row: &TrialRow| row.worker.clone();
        let (Some(one), Some(other)) = (first.outcome, second.outcome) else { return };
        let (Some(by_one), Some(by_other)) = (worker(first), worker(second)) else { return };
        let same_kind = kind(&by_one) == kind(&by_other);
        let data_agree = first.dataset_digest == second.dataset_digest;
        let identical = data_agree && bits(&one) == bits(&other);
        let near = (one.final_test_accuracy - other.final_test_accuracy).abs() <= TOLERANCE;
        self.by_the_same_device +=
            usize::from(WorkerDevice::from(&by_one.id) == WorkerDevice::from(&by_other.id));
        if identical {
            self.identical += 1;
        } else if data_agree && near && !same_kind {
            self.within_tolerance += 1;
        } else {
            self.disagreements.push(Disagreement {
                trial: first.id.to_string(),
                label: label(),
                workers: [by_one, by_other].map(|worker| worker.id.to_string()),
                accuracies: [one, other].map(|outcome| outcome.final_test_accuracy),
                same_kind,
            });
        }
    }

    /// Another run's, too.
    pub(crate) fn and(mut self, other: Self) -> Self {
        self.drawn += other.drawn;
        self.identical += other.identical;
        self.within_tolerance += other.within_tolerance;
        self.by_the_same_device += other.by_the_same_device;
        self.disagreements.extend(other.disagreements);
        self
    }

    /// Whether any trial was drawn.
    pub(crate) fn is_there(&self) -> bool {
        self.drawn > 0
    }

    /// Whether any result was another the second time.
    pub fn disagrees(&self) -> bool {
        !self.disagreements.is_empty()
    }
}

/// What makes results equal bit for bit.
fn kind(worker: &WorkerRow) -> (&str, &str, &str, bool) {
    (&worker.model, &worker.software, &worker.libtorch, worker.device == "cpu")
}

/// All values of a result that do not depend on the clock.
fn bits(outcome: &Outcome) -> [Option<u64>; 5] {
    let Outcome {
        final_test_accuracy,
        best_test_accuracy,
        final_test_loss,
        validation_accuracy,
        validated_test_accuracy,
        vae_seconds: _,
        classifier_seconds: _,
    } = outcome;
    [
        Some(*final_test_accuracy),
        Some(*best_test_accuracy),
        Some(*final_test_loss),
        *validation_accuracy,
        *validated_test_accuracy,
    ]
    .map(|value| value.map(f64::to_bits))
}
