//! Names of metrics, points of curves, and the outcome of a finished trial.

use serde::{Serialize, Serializer};

use crate::trial::TrialSpec;

/// Mean negative log-likelihood of the training batches since the last report, in nats.
pub const TRAIN_LOSS: &str = "train/loss";
/// Mean of R since the last report: the Monte-Carlo estimate of the squared weighted function norm
/// (Rannen Triki, Berman, Blaschko 2017, arXiv 1710.06703).
pub const TRAIN_FUNCTION_NORM: &str = "train/function_norm";
/// Share of test images that are classified correctly, 0 to 1.
pub const TEST_ACCURACY: &str = "test/accuracy";
/// Mean negative log-likelihood on the test images, in nats.
pub const TEST_LOSS: &str = "test/loss";
/// Mean loss of the VAE (reconstruction + KL divergence) since the last report, in nats per image.
pub const VAE_LOSS: &str = "vae/loss";

/// Share of validation images that are classified correctly, 0 to 1.
pub const VALIDATION_ACCURACY: &str = "validation/accuracy";
/// Mean negative log-likelihood on the validation images, in nats.
pub const VALIDATION_LOSS: &str = "validation/loss";

/// All metrics that a coordinator accepts. Files refer to a metric by its position here, so new
/// ones come last.
pub const ALL: [&str; 7] = [
    TRAIN_LOSS,
    TRAIN_FUNCTION_NORM,
    TEST_ACCURACY,
    TEST_LOSS,
    VAE_LOSS,
    VALIDATION_ACCURACY,
    VALIDATION_LOSS,
];

/// Largest absolute value of a metric: sums of many such, and of their squares, stay finite.
pub const MAX_VALUE: f64 = 1e30;

/// Longest time that anything took, in seconds: thirty years.
pub const MAX_SECONDS: f64 = 1e9;

/// Whether a metric is a share, 0 to 1.
pub fn is_share(metric: &str) -> bool {
    metric == TEST_ACCURACY || metric == VALIDATION_ACCURACY
}

/// One point of one curve of one attempt.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MetricPoint {
    /// One of [`ALL`].
    pub metric: &'static str,
    /// Iterations done: of the VAE for [`VAE_LOSS`], else of the classifier.
    pub step: u64,
    /// Value in the metric's unit: 0 to 1 for shares, else at most [`MAX_VALUE`] from zero.
    pub value: f64,
}

impl MetricPoint {
    /// Checks the value against the bounds of its metric.
    ///
    /// # Errors
    /// The value is out of bounds.
    pub fn check(&self) -> Result<(), String> {
        let Self { metric, value, .. } = self;
        let (least, most) = if is_share(metric) { (0.0, 1.0) } else { (-MAX_VALUE, MAX_VALUE) };
        if (least..=most).contains(value) {
            Ok(())
        } else {
            Err(format!("`{value}` of {metric} is not in {least} to {most}"))
        }
    }

    /// Checks the value, and the step against the iterations of the trial.
    ///
    /// # Errors
    /// The value is out of bounds, or the trial has no such step.
    pub fn check_against(&self, spec: &TrialSpec) -> Result<(), String> {
        let Self { metric, step, .. } = self;
        let most = match *metric {
            VAE_LOSS => spec.vae_samples().map_or(0, |samples| samples.vae.iterations),
            _ => spec.classifier.iterations,
        };
        if *step > u64::from(most) {
            return Err(format!("a point of {metric} is at step `{step}` of {most}"));
        }
        self.check()
    }
}

pub fn by_name(name: &str) -> Option<&'static str> {
    ALL.into_iter().find(|metric| *metric == name)
}

/// The numbers that a trial results in.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Outcome {
    /// Share of test images that are classified correctly after the last iteration, 0 to 1.
    pub final_test_accuracy: f64,
    /// Highest such share of any evaluation. The test images themselves select it, so it flatters.
    pub best_test_accuracy: f64,
    /// Mean negative log-likelihood on the test images after the last iteration, in nats.
    pub final_test_loss: f64,
    /// Highest share of validation images that are classified correctly, of any evaluation.
    pub validation_accuracy: Option<f64>,
    /// Share of test images at that evaluation, the earliest of equals. The test images do not
    /// select it.
    pub validated_test_accuracy: Option<f64>,
    /// Seconds of training the VAE; zero if the trial needs none or found it at hand.
    pub vae_seconds: f64,
    /// Seconds of training and testing the classifier.
    pub classifier_seconds: f64,
}

/// A number of an [`Outcome`], as files, messages and tables know it.
#[derive(Debug, Clone, Copy)]
pub struct OutcomeMetric {
    pub name: &'static str,
    /// Largest value; the smallest is zero.
    pub most: f64,
    /// Whether every outcome has it.
    pub always: bool,
    /// Reads it from an outcome.
    pub get: fn(&Outcome) -> Option<f64>,
    set: fn(&mut Outcome, f64),
}

/// The number in a field, whose type is `f64` (`always`) or an option of it.
macro_rules! number {
    ($field:ident, most: $most:expr, always: $always:literal) => {
        OutcomeMetric {
            name: stringify!($field),
            most: $most,
            always: $always,
            get: |outcome| outcome.$field.into(),
            set: |outcome, value| outcome.$field = value.into(),
        }
    };
}

/// All numbers of outcomes, in the order of columns.
pub const OUTCOMES: &[OutcomeMetric] = &[
    number!(final_test_accuracy, most: 1.0, always: true),
    number!(best_test_accuracy, most: 1.0, always: true),
    number!(final_test_loss, most: MAX_VALUE, always: true),
    number!(validation_accuracy, most: 1.0, always: false),
    number!(validated_test_accuracy, most: 1.0, always: false),
    number!(vae_seconds, most: MAX_SECONDS, always: true),
    number!(classifier_seconds, most: MAX_SECONDS, always: true),
];

impl Outcome {
    /// Names and values of its numbers.
    pub fn values(&self) -> impl Iterator<Item = (&'static str, f64)> + '_ {
        OUTCOMES.iter().filter_map(|metric| Some((metric.name, (metric.get)(self)?)))
    }

    /// The outcome of the numbers that `value` gives, unchecked.
    pub fn read<E>(value: impl Fn(&OutcomeMetric) -> Result<Option<f64>, E>) -> Result<Self, E> {
        let mut outcome = Self::default();
        for metric in OUTCOMES {
            if let Some(value) = value(metric)? {
                (metric.set)(&mut outcome, value);
            }
        }
        Ok(outcome)
    }

    /// The outcome of these numbers, checked.
    ///
    /// # Errors
    /// A number is unknown, missing, repeated or wrong: its name, and the problem.
    pub fn of<'v>(
        values: impl IntoIterator<Item = (&'v str, f64)>,
    ) -> Result<Self, (String, String)> {
        let mut outcome = Self::default();
        let mut missing: Vec<&OutcomeMetric> = OUTCOMES.iter().collect();
        for (name, value) in values {
            let refused = |problem: String| Err((name.chars().take(64).collect(), problem));
            let Some(position) = missing.iter().position(|metric| metric.name == name) else {
                return refused("it is unknown, or there twice".to_owned());
            };
            let metric = missing.swap_remove(position);
            if !(0.0..=metric.most).contains(&value) {
                return refused(format!("`{value}` is not in 0 to {}", metric.most));
            }
            (metric.set)(&mut outcome, value);
        }
        if let Some(metric) = missing.iter().find(|metric| metric.always) {
            return Err((metric.name.to_owned(), "it is missing".to_owned()));
        }
        outcome.check().map_err(|(name, problem)| (name.to_owned(), problem))
    }

    /// Checks that the numbers go together: each accuracy is one of an evaluation, of which the
    /// best is the best.
    fn check(self) -> Result<Self, (&'static str, String)> {
        let best = self.best_test_accuracy;
        for (name, value) in [
            ("final_test_accuracy", self.final_test_accuracy),
            ("validated_test_accuracy", self.validated_test_accuracy.unwrap_or_default()),
        ] {
            if value > best {
                return Err((name, format!("`{value}` is above the best, `{best}`")));
            }
        }
        if self.validation_accuracy.is_some() != self.validated_test_accuracy.is_some() {
            return Err(("validated_test_accuracy", "it goes with validation_accuracy".to_owned()));
        }
        Ok(self)
    }
}

impl Serialize for Outcome {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.values())
    }
}
