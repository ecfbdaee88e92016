//! What a report says is believed only as far as it can be checked: against the trial, and against what was said before. What cannot be
//! true costs the attempt.

use std::collections::HashMap;

use swfn_scheduler::{Scheduler, TrialState};
use swfn_shared::{
    ids::{DataDigest, LeaseId},
    metrics::{MetricPoint, Outcome, TEST_ACCURACY, TEST_LOSS, VALIDATION_ACCURACY},
    trial::TrialSpec,
};
use swfn_store::{Store, StoreError};

/// The values of a curve's end, in this order.
const ENDS: [&str; 2] = [TEST_ACCURACY, TEST_LOSS];

/// Counts are whole numbers; this much is lost when they are divided and multiplied again.
const ROUNDING: f64 = 1e-6;

/// What was said before.
#[derive(Debug, Default)]
pub(super) struct Plausibility {
    /// Accuracy and loss at the ends of the curves of live leases.
    ends: HashMap<LeaseId, [Option<f64>; 2]>,
}

impl Plausibility {
    /// What leases said that are live after a restart.
    pub(super) fn of(store: &Store, scheduler: &Scheduler) -> Result<Self, StoreError> {
        let mut plausibility = Self::default();
        for (trial, spec, state) in scheduler.trials() {
            let TrialState::Leased(lease) = state else { continue };
            let lease = LeaseId { trial, attempt: lease.attempt };
            for (end, metric) in ENDS.into_iter().enumerate() {
                if let Some(value) =
                    store.point(lease, metric, spec.classifier.iterations.into())?
                {
                    plausibility.ends.entry(lease).or_default()[end] = Some(value);
                }
            }
        }
        Ok(plausibility)
    }

    /// Takes a report of points; they are those of the trial.
    pub(super) fn points(
        &mut self,
        lease: LeaseId,
        spec: &TrialSpec,
        points: &[MetricPoint],
    ) -> Result<(), String> {
        let iterations = u64::from(spec.classifier.iterations);
        for point in points {
            point.check_against(spec)?;
            let MetricPoint { metric, step, value } = point;
            match *metric {
                TEST_ACCURACY => share_of(*value, spec.dataset.sizes().test_images, metric)?,
                VALIDATION_ACCURACY => share_of(*value, spec.validation, metric)?,
                _ => {}
            }
            if let Some(end) = ENDS.iter().position(|name| name == metric)
                && *step == iterations
            {
                // The first counts, as in the store.
                self.ends.entry(lease).or_default()[end].get_or_insert(*value);
            }
        }
        Ok(())
    }

    /// Takes an outcome: it fits the trial, its curve and its data set.
    pub(super) fn outcome(
        &self,
        lease: LeaseId,
        spec: &TrialSpec,
        outcome: &Outcome,
        digest: DataDigest,
    ) -> Result<(), String> {
        let test = spec.dataset.sizes().test_images;
        share_of(outcome.final_test_accuracy, test, "final_test_accuracy")?;
        share_of(outcome.best_test_accuracy, test, "best_test_accuracy")?;
        match (outcome.validation_accuracy, outcome.validated_test_accuracy) {
            (Some(validation), Some(validated)) if spec.validation > 0 => {
                share_of(validation, spec.validation, "validation_accuracy")?;
                share_of(validated, test, "validated_test_accuracy")?;
            }
            (None, None) if spec.validation == 0 => {}
            (validation, _) => {
                let has = if validation.is_some() { "an" } else { "no" };
                return Err(format!(
                    "the trial has `{}` validation images, but the outcome has {has} accuracy on them",
                    spec.validation
                ));
            }
        }
        let says = [outcome.final_test_accuracy, outcome.final_test_loss];
        let ends = self.ends.get(&lease).copied().unwrap_or_default();
        for ((name, said), end) in ENDS.into_iter().zip(says).zip(ends) {
            if let Some(end) = end.filter(|end| *end != said) {
                return Err(format!(
                    "the outcome says {name} `{said}`, but its curve ends at `{end}`"
                ));
            }
        }
        let pinned = spec.dataset.digest();
        if digest != pinned {
            return Err(format!(
                "the data's digest is `{digest}`, but that of data set `{}` is `{pinned}`\nhint: run the same version of swfn on both \
                 sides, with the same files",
                spec.dataset
            ));
        }
        Ok(())
    }

    /// The lease is over.
    pub(super) fn forget(&mut self, lease: LeaseId) {
        self.ends.remove(&lease);
    }
}

/// Checks that a share is one of so many images.
fn share_of(share: f64, images: u32, name: &str) -> Result<(), String> {
    let count = share * f64::from(images);
    if (count - count.round()).abs() <= ROUNDING {
        Ok(())
    } else {
        Err(format!("{name} `{share}` is no share of {images} images"))
    }
}

#[cfg(test)]
mod tests {
    use swfn_shared::{
        grid::{DEFAULT_MAX_TRIALS, Grid},
        metrics::{TRAIN_LOSS, VAE_LOSS, VALIDATION_LOSS},
    };

    use super::*;

    const GRID: &str = "version = 1\nname = \"t\"\n[data]\ndataset = \"mnist\"\nvalidation = 300\n[grid]\nseed = [0]\n\
                        subset_size = 100\narchitecture = \"net\"\nlambda = 0.1\n[classifier]\niterations = 500\n\
                        [vae]\niterations = 2000\n";

    fn spec(grid: &str) -> TrialSpec {
        Grid::parse("t", grid, DEFAULT_MAX_TRIALS).unwrap().trials().next().unwrap()
    }

    #[test]
    fn points_are_of_the_trials_own_steps_and_images() {
        let spec = spec(GRID);
        let lease = LeaseId { trial: spec.id(), attempt: 1 };
        let said = |metric, step, value| {
            Plausibility::default()
                .points(lease, &spec, &[MetricPoint { metric, step, value }])
                .map_err(|_| ())
        };
        assert_eq!(said(TRAIN_LOSS, 500, 1e29), Ok(()));
        assert_eq!(said(VAE_LOSS, 2_000, -3.0), Ok(()));
        assert_eq!(said(TEST_ACCURACY, 500, 3.0 / 10_000.0), Ok(()));
        assert_eq!(said(VALIDATION_ACCURACY, 500, 1.0 / 300.0), Ok(()));
        for (metric, step, value) in [
            (TRAIN_LOSS, 501, 1.0),
            (VALIDATION_LOSS, 1 << 62, 1.0),
            (VAE_LOSS, 2_001, 1.0),
            (TEST_ACCURACY, 500, 0.123_456_789),
            (VALIDATION_ACCURACY, 500, 0.001),
        ] {
            assert_eq!(said(metric, step, value), Err(()), "{metric} {step} {value}");
        }
    }

    #[test]
    fn an_outcome_fits_its_trial_its_curve_and_its_data() {
        let (spec, plain) = (spec(GRID), spec(&GRID.replace("validation = 300\n", "")));
        let lease = LeaseId { trial: spec.id(), attempt: 1 };
        let right = Outcome {
            final_test_accuracy: 0.5,
            best_test_accuracy: 0.75,
            final_test_loss: 1.5,
            validation_accuracy: Some(1.0 / 300.0),
            validated_test_accuracy: Some(0.5),
            vae_seconds: 1.0,
            classifier_seconds: 1.0,
        };
        let mut before = Plausibility::default();
        let end = |metric, value| MetricPoint { metric, step: 500, value };
        before.points(lease, &spec, &[end(TEST_ACCURACY, 0.5), end(TEST_LOSS, 1.5)]).unwrap();
        let said = |spec: &TrialSpec, outcome, data: &str| {
            let digest = if data.is_empty() {
                spec.dataset.digest()
            } else {
                data.repeat(64).parse().unwrap()
            };
            before.outcome(lease, spec, &outcome, digest).err().unwrap_or_default()
        };
        let cases = [
            (&spec, right, "", ""),
            (&spec, right, "1", "but that of data set `mnist` is `ca679089"),
            (&spec, Outcome { final_test_accuracy: 0.25, ..right }, "", "its curve ends at `0.5`"),
            (&spec, Outcome { final_test_loss: 1.25, ..right }, "", "its curve ends at `1.5`"),
            (
                &spec,
                Outcome { best_test_accuracy: 0.654_321_09, ..right },
                "",
                "no share of 10000 images",
            ),
            (
                &spec,
                Outcome { validation_accuracy: Some(0.001), ..right },
                "",
                "no share of 300 images",
            ),
            (&plain, right, "", "`0` validation images, but the outcome has an accuracy"),
            (
                &spec,
                Outcome { validation_accuracy: None, validated_test_accuracy: None, ..right },
                "",
                "`300` validation images, but the outcome has no accuracy",
            ),
        ];
        for (spec, outcome, data, problem) in cases {
            let told = said(spec, outcome, data);
            assert_eq!(
                (told.is_empty(), told.contains(problem)),
                (problem.is_empty(), true),
                "{told}"
            );
        }
    }
}
