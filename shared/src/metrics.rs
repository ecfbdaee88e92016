//! The names of all metrics, one point of a curve, and what a finished trial comes to.

use serde::{Serialize, Serializer};

use crate::trial::TrialSpec;

/// Mean negative log-likelihood of the training batches since the last report, in nats.
pub const TRAIN_LOSS: &str = "train/loss";
/// Mean of R, the Monte-Carlo estimate of the squared weighted function norm, since the last report (Rannen Triki et al. 2019).
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

/// All of the above: what a coordinator accepts. Their places here stand for them in files: new ones come last.
pub const ALL: [&str; 7] = [
    TRAIN_LOSS,
    TRAIN_FUNCTION_NORM,
    TEST_ACCURACY,
    TEST_LOSS,
    VAE_LOSS,
    VALIDATION_ACCURACY,
    VALIDATION_LOSS,
];

/// No value of a metric is further from zero than this: sums of many such, and of their squares, are numbers.
pub const MAX_VALUE: f64 = 1e30;

/// No time that something took is longer, in seconds: thirty years.
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
    /// The value, in the metric's unit: 0 to 1 for shares, and at most [`MAX_VALUE`] from zero.
    pub value: f64,
}

impl MetricPoint {
    /// Whether the value is one that its metric can have.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn check(&self) -> Result<(), String> {
        let Self { metric, value, .. } = self;
        let (least, most) = if is_share(metric) { (0.0, 1.0) } else { (-MAX_VALUE, MAX_VALUE) };
        if (least..=most).contains(value) {
            Ok(())
        } else {
            Err(format!("`{value}` of {metric} is not in {least} to {most}"))
        }
    }

    /// The same, and whether that trial can be where the point is.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn check_of(&self, spec: &TrialSpec) -> Result<(), String> {
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

/// The constant of that name, if there is one.
pub fn by_name(name: &str) -> Option<&'static str> {
    ALL.into_iter().find(|metric| *metric == name)
}

/// What a trial comes to.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Outcome {
    /// Share of test images that are classified correctly after the last iteration, 0 to 1.
    pub final_test_accuracy: f64,
    /// The highest share of any evaluation. It is chosen by looking at the test images, so it flatters.
    pub best_test_accuracy: f64,
    /// Mean negative log-likelihood on the test images after the last iteration, in nats.
    pub final_test_loss: f64,
    /// The highest share of validation images that are classified correctly of any evaluation; none without validation images.
    pub validation_accuracy: Option<f64>,
    /// The share of test images at that evaluation, the earliest of equals: chosen without a look at the test images.
    pub validated_test_accuracy: Option<f64>,
    /// Seconds that training the VAE took; zero when the trial needs none or found it at hand.
    pub vae_seconds: f64,
    /// Seconds that training and testing the classifier took.
    pub classifier_seconds: f64,
}

/// A number of an [`Outcome`], by which files, messages and tables know it.
#[derive(Debug, Clone, Copy)]
pub struct OutcomeMetric {
    /// Its name.
    pub name: &'static str,
    /// It is from zero to this.
    pub most: f64,
    /// Whether all outcomes have it.
    pub always: bool,
    /// The number of an outcome, if it has it.
    pub get: fn(&Outcome) -> Option<f64>,
    set: fn(&mut Outcome, f64),
}

/// All numbers of outcomes, in the order of columns.
pub const OUTCOMES: &[OutcomeMetric] = &[
    OutcomeMetric {
        name: "final_test_accuracy",
        most: 1.0,
        always: true,
        get: |outcome| Some(outcome.final_test_accuracy),
        set: |outcome, value| outcome.final_test_accuracy = value,
    },
    OutcomeMetric {
        name: "best_test_accuracy",
        most: 1.0,
        always: true,
        get: |outcome| Some(outcome.best_test_accuracy),
        set: |outcome, value| outcome.best_test_accuracy = value,
    },
    OutcomeMetric {
        name: "final_test_loss",
        most: MAX_VALUE,
        always: true,
        get: |outcome| Some(outcome.final_test_loss),
        set: |outcome, value| outcome.final_test_loss = value,
    },
    OutcomeMetric {
        name: "validation_accuracy",
        most: 1.0,
        always: false,
        get: |outcome| outcome.validation_accuracy,
        set: |outcome, value| outcome.validation_accuracy = Some(value),
    },
    OutcomeMetric {
        name: "validated_test_accuracy",
        most: 1.0,
        always: false,
        get: |outcome| outcome.validated_test_accuracy,
        set: |outcome, value| outcome.validated_test_accuracy = Some(value),
    },
    OutcomeMetric {
        name: "vae_seconds",
        most: MAX_SECONDS,
        always: true,
        get: |outcome| Some(outcome.vae_seconds),
        set: |outcome, value| outcome.vae_seconds = value,
    },
    OutcomeMetric {
        name: "classifier_seconds",
        most: MAX_SECONDS,
        always: true,
        get: |outcome| Some(outcome.classifier_seconds),
        set: |outcome, value| outcome.classifier_seconds = value,
    },
];

impl Outcome {
    /// The numbers that it has, by name.
    pub fn values(&self) -> impl Iterator<Item = (&'static str, f64)> + '_ {
        OUTCOMES.iter().filter_map(|metric| Some((metric.name, (metric.get)(self)?)))
    }

    /// The outcome of the numbers that `value` gives, unchecked.
    ///
    /// # Errors
    /// Those of `value`.
    pub fn read<E>(value: impl Fn(&OutcomeMetric) -> Result<Option<f64>, E>) -> Result<Self, E> {
        let mut outcome = Self::default();
        for metric in OUTCOMES {
            if let Some(value) = value(metric)? {
                (metric.set)(&mut outcome, value);
            }
        }
        Ok(outcome)
    }

    /// The outcome of these numbers, each of which is in bounds.
    ///
    /// # Errors
    /// The name of a number that is unknown, missing, there twice or wrong, and what is wrong with it.
    pub fn of<'v>(
        values: impl IntoIterator<Item = (&'v str, f64)>,
    ) -> Result<Self, (String, String)> {
        let mut outcome = Self::default();
        let mut missing: Vec<&OutcomeMetric> = OUTCOMES.iter().collect();
        for (name, value) in values {
            let refused = |problem: String| Err((name.chars().take(64).collect(), problem));
            let Some(place) = missing.iter().position(|metric| metric.name == name) else {
                return refused("it is unknown, or there twice".to_owned());
            };
            let metric = missing.swap_remove(place);
            if !(0.0..=metric.most).contains(&value) {
                return refused(format!("`{value}` is not in 0 to {}", metric.most));
            }
            (metric.set)(&mut outcome, value);
        }
        if let Some(metric) = missing.iter().find(|metric| metric.always) {
            return Err((metric.name.to_owned(), "it is missing".to_owned()));
        }
        outcome.check().map(|()| outcome)
    }

    /// Whether its numbers go together.
    fn check(&self) -> Result<(), (String, String)> {
        let Self { final_test_accuracy, best_test_accuracy: best, validated_test_accuracy, .. } =
            *self;
        // Each of the two was an evaluation, and the best is the best of all.
        for (name, value) in [
            ("final_test_accuracy", final_test_accuracy),
            ("validated_test_accuracy", validated_test_accuracy.unwrap_or_default()),
        ] {
            if value > best {
                return Err((name.to_owned(), format!("`{value}` is above the best, `{best}`")));
            }
        }
        if self.validation_accuracy.is_some() != validated_test_accuracy.is_some() {
            return Err((
                "validated_test_accuracy".to_owned(),
                "it goes with validation_accuracy".to_owned(),
            ));
        }
        Ok(())
    }
}

impl Serialize for Outcome {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.values())
    }
}
