//! Whether trials that were trained a second time have the same results.

use std::{collections::HashMap, path::Path};

use serde::Serialize;
use swfn_shared::{
    ids::{TrialId, WorkerDevice},
    metrics::Outcome,
    trial::TrialSpec,
};
use swfn_store::{Store, TrialRow, WorkerRow, run_dir::VERIFICATION};

/// The largest difference between accuracies of different kinds of devices, 0 to 1.
///
/// Such devices round sums differently. Over thousands of steps, that changes as much as another
/// order of the images.
pub(crate) const TOLERANCE: f64 = 0.03;

/// Results of training trials a second time.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Verification {
    /// Number of trials that were drawn for it.
    pub(crate) drawn: usize,
    /// Number of results that are equal bit for bit.
    pub(crate) identical: usize,
    /// Number of results within the tolerance, on another kind of device.
    pub(crate) within_tolerance: usize,
    /// Number of second trainings by the device of the first, since there was no other.
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
    /// Adds the trials of a run that were trained a second time. `label` names a trial.
    pub(crate) fn add(
        &mut self,
        run: &Path,
        trials: &[(TrialSpec, TrialRow)],
        label: impl Fn(&TrialSpec) -> String,
    ) -> anyhow::Result<()> {
        let database = run.join(VERIFICATION).join("sweep.sqlite");
        if !database.is_file() {
            return Ok(());
        }
        let rows = Store::open_to_read(&database)?.trials()?;
        let second: HashMap<TrialId, TrialRow> =
            rows.into_iter().map(|row| (row.id, row)).collect();
        for (spec, first) in trials {
            if let Some(second) = second.get(&first.id) {
                self.drawn += 1;
                self.compare(&|| label(spec), first, second);
            }
        }
        Ok(())
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

    /// Whether any trial was drawn.
    pub(crate) fn is_there(&self) -> bool {
        self.drawn > 0
    }

    /// Whether any second result differs.
    pub fn disagrees(&self) -> bool {
        !self.disagreements.is_empty()
    }
}

/// Devices of one kind have results that are equal bit for bit.
fn kind(worker: &WorkerRow) -> (&str, &str, &str, bool) {
    (&worker.model, &worker.software, &worker.libtorch, worker.device == "cpu")
}

/// All parts of a result that do not depend on the clock.
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
