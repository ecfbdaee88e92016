//! What a report says is believed only as far as it can be checked: against the trial, against what was said before, and against
//! what other workers said. What cannot be true costs the attempt.

use std::collections::{HashMap, hash_map::Entry};

use swfn_shared::{
    dataset::Dataset,
    ids::{DataDigest, LeaseId},
    metrics::{MetricPoint, Outcome, TEST_ACCURACY, TEST_LOSS, VALIDATION_ACCURACY},
    trial::TrialSpec,
};

/// Counts are whole numbers; this much is lost when they are divided and multiplied again.
const ROUNDING: f64 = 1e-6;

/// What was said before.
#[derive(Debug, Default)]
pub(super) struct Plausibility {
    /// Accuracy and loss at the ends of the curves of live leases.
    ends: HashMap<LeaseId, [Option<f64>; 2]>,
    /// One data set is one content.
    digests: HashMap<Dataset, DataDigest>,
}

impl Plausibility {
    /// Takes a report of points; they are those of the trial.
    pub(super) fn points(&mut self, lease: LeaseId, spec: &TrialSpec, points: &[MetricPoint]) -> Result<(), String> {
        let iterations = u64::from(spec.classifier.iterations);
        for point in points {
            point.check_of(spec)?;
            let MetricPoint { metric, step, value } = point;
            match *metric {
                TEST_ACCURACY => share_of(*value, spec.dataset.test_len(), metric)?,
                VALIDATION_ACCURACY => share_of(*value, spec.validation, metric)?,
                _ => {}
            }
            if let Some(end) = [TEST_ACCURACY, TEST_LOSS].iter().position(|name| name == metric)
                && *step == iterations
            {
                // The first counts, as in the store.
                self.ends.entry(lease).or_default()[end].get_or_insert(*value);
            }
        }
        Ok(())
    }

    /// Takes an outcome: it fits the trial, its curve and the data of the others.
    pub(super) fn outcome(
        &mut self,
        lease: LeaseId,
        spec: &TrialSpec,
        outcome: &Outcome,
        digest: DataDigest,
    ) -> Result<(), String> {
        let test = spec.dataset.test_len();
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
        for ((name, said), end) in [TEST_ACCURACY, TEST_LOSS].into_iter().zip(says).zip(ends) {
            if let Some(end) = end.filter(|end| *end != said) {
                return Err(format!("the outcome says {name} `{said}`, but its curve ends at `{end}`"));
            }
        }
        if let Dataset::Idx(own) = &spec.dataset
            && own.digest != digest
        {
            return Err(format!("the data's digest is `{digest}`, but the grid file's is `{}`", own.digest));
        }
        match self.digests.entry(spec.dataset) {
            Entry::Occupied(known) if *known.get() != digest => Err(format!(
                "the data's digest is `{digest}`, but `{}` in all results before\nhint: compare the files of data set \
                 `{}` on both machines",
                known.get(),
                spec.dataset
            )),
            Entry::Occupied(_) => Ok(()),
            Entry::Vacant(first) => {
                first.insert(digest);
                Ok(())
            }
        }
    }

    /// A result of an earlier run: the first of a data set counts.
    pub(super) fn known(&mut self, dataset: Dataset, digest: DataDigest) {
        self.digests.entry(dataset).or_insert(digest);
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

    fn digest(digit: &str) -> DataDigest {
        digit.repeat(64).parse().unwrap()
    }

    #[test]
    fn points_are_of_the_trials_own_steps_and_images() {
        let spec = spec(GRID);
        let lease = LeaseId { trial: spec.id(), attempt: 1 };
        let said = |metric, step, value| {
            Plausibility::default().points(lease, &spec, &[MetricPoint { metric, step, value }]).map_err(|_| ())
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
    fn an_outcome_fits_its_trial_its_curve_and_the_data_of_the_others() {
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
        let mut said =
            |spec, outcome, data| before.outcome(lease, spec, &outcome, digest(data)).err().unwrap_or_default();
        let cases = [
            (&spec, right, "0", ""),
            (&spec, right, "0", ""),
            (&spec, right, "1", "in all results before"),
            (&spec, Outcome { final_test_accuracy: 0.25, ..right }, "0", "its curve ends at `0.5`"),
            (&spec, Outcome { final_test_loss: 1.25, ..right }, "0", "its curve ends at `1.5`"),
            (&spec, Outcome { best_test_accuracy: 0.654_321_09, ..right }, "0", "no share of 10000 images"),
            (&spec, Outcome { validation_accuracy: Some(0.001), ..right }, "0", "no share of 300 images"),
            (&plain, right, "0", "`0` validation images, but the outcome has an accuracy"),
            (
                &spec,
                Outcome { validation_accuracy: None, validated_test_accuracy: None, ..right },
                "0",
                "`300` validation images, but the outcome has no accuracy",
            ),
        ];
        for (spec, outcome, data, problem) in cases {
            let told = said(spec, outcome, data);
            assert_eq!((told.is_empty(), told.contains(problem)), (problem.is_empty(), true), "{told}");
        }
    }
}
