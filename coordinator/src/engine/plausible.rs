//! Checks reports against their trial and against earlier reports. A report that cannot be true
//! costs the attempt.

use std::collections::HashMap;

use swfn_scheduler::{Scheduler, TrialState};
use swfn_shared::{
    ids::{DataDigest, LeaseId},
    metrics::{MetricPoint, Outcome, TEST_ACCURACY, TEST_LOSS, VALIDATION_ACCURACY},
    trial::TrialSpec,
};
use swfn_store::{Store, StoreError};

/// The metrics whose last point the outcome repeats, in the order of [`Plausibility::ends`].
const ENDS: [&str; 2] = [TEST_ACCURACY, TEST_LOSS];

/// A share times the number of images is a whole number up to this rounding error.
const ROUNDING: f64 = 1e-6;

/// The earlier reports of live leases, as far as later ones are checked against them.
#[derive(Debug, Default)]
pub(super) struct Plausibility {
    /// Accuracy and loss at the ends of the curves.
    ends: HashMap<LeaseId, [Option<f64>; 2]>,
}

impl Plausibility {
    /// Reads the reports of leases that are live after a restart.
    pub(super) fn restore(store: &Store, scheduler: &Scheduler) -> Result<Self, StoreError> {
        let mut ends: HashMap<LeaseId, [Option<f64>; 2]> = HashMap::new();
        for (trial, spec, state) in scheduler.trials() {
            let TrialState::Leased(lease) = state else { continue };
            let lease = LeaseId { trial, attempt: lease.attempt };
            for (end, metric) in ENDS.into_iter().enumerate() {
                let value = store.point(lease, metric, spec.classifier.iterations.into())?;
                if value.is_some() {
                    ends.entry(lease).or_default()[end] = value;
                }
            }
        }
        Ok(Self { ends })
    }

    /// Checks and remembers points.
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
                TEST_ACCURACY => check_share(*value, spec.dataset.sizes().test_images, metric)?,
                VALIDATION_ACCURACY => check_share(*value, spec.validation, metric)?,
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

    /// Checks an outcome against its trial, its curve and its data set.
    pub(super) fn outcome(
        &self,
        lease: LeaseId,
        spec: &TrialSpec,
        outcome: &Outcome,
        digest: DataDigest,
    ) -> Result<(), String> {
        let test = spec.dataset.sizes().test_images;
        check_share(outcome.final_test_accuracy, test, "final_test_accuracy")?;
        check_share(outcome.best_test_accuracy, test, "best_test_accuracy")?;
        match (outcome.validation_accuracy, outcome.validated_test_accuracy) {
            (Some(validation), Some(validated)) if spec.validation > 0 => {
                check_share(validation, spec.validation, "validation_accuracy")?;
                check_share(validated, test, "validated_test_accuracy")?;
            }
            (None, None) if spec.validation == 0 => {}
            (validation, _) => {
                let has = if validation.is_some() { "an" } else { "no" };
                return Err(format!(
                    "the trial has `{}` validation images, but the outcome has {has} accuracy on \
                     them",
                    spec.validation
                ));
            }
        }
        let finals = [outcome.final_test_accuracy, outcome.final_test_loss];
        let ends = self.ends.get(&lease).copied().unwrap_or_default();
        for ((name, value), end) in ENDS.into_iter().zip(finals).zip(ends) {
            if let Some(end) = end.filter(|end| *end != value) {
                return Err(format!(
                    "the outcome has {name} `{value}`, but its curve ends at `{end}`"
                ));
            }
        }
        match spec.dataset.digest() {
            pinned if pinned == digest => Ok(()),
            pinned => Err(format!(
                "the data's digest is `{digest}`, but that of data set `{}` is `{pinned}`\n\
                 hint: run the same version of swfn on both sides, with the same files",
                spec.dataset
            )),
        }
    }

    /// Forgets a lease that has ended.
    pub(super) fn forget(&mut self, lease: LeaseId) {
        self.ends.remove(&lease);
    }
}

/// Checks that a share is a number of images over all of them.
fn check_share(share: f64, images: u32, name: &str) -> Result<(), String> {
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
    fn points_fit_steps_and_images_of_their_trial() {
        let spec = spec(GRID);
        let lease = LeaseId { trial: spec.id(), attempt: 1 };
        let checked = |metric, step, value| {
            Plausibility::default()
                .points(lease, &spec, &[MetricPoint { metric, step, value }])
                .map_err(|_| ())
        };
        assert_eq!(checked(TRAIN_LOSS, 500, 1e29), Ok(()));
        assert_eq!(checked(VAE_LOSS, 2_000, -3.0), Ok(()));
        assert_eq!(checked(TEST_ACCURACY, 500, 3.0 / 10_000.0), Ok(()));
        assert_eq!(checked(VALIDATION_ACCURACY, 500, 1.0 / 300.0), Ok(()));
        for (metric, step, value) in [
            (TRAIN_LOSS, 501, 1.0),
            (VALIDATION_LOSS, 1 << 62, 1.0),
            (VAE_LOSS, 2_001, 1.0),
            (TEST_ACCURACY, 500, 0.123_456_789),
            (VALIDATION_ACCURACY, 500, 0.001),
        ] {
            assert_eq!(checked(metric, step, value), Err(()), "{metric} {step} {value}");
        }
    }

    #[test]
    fn an_outcome_fits_its_trial_curve_and_data() {
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
        let problem_of = |spec: &TrialSpec, outcome, data: &str| {
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
            let text = problem_of(spec, outcome, data);
            assert_eq!(
                (text.is_empty(), text.contains(problem)),
                (problem.is_empty(), true),
                "{text}"
            );
        }
    }
}
