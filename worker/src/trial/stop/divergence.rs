//! Divergence: a loss that is no longer a finite number, and never becomes one again.

use swfn_shared::{metrics::MetricPoint, trial::TrialSpec};

use super::{StopRule, TrainError};

/// Ends a trial whose losses are not finite.
#[derive(Debug)]
pub(crate) struct Divergence {
    /// The settings that may prevent it.
    settings: &'static str,
}

impl Divergence {
    /// The rule for a trial's classifier.
    pub(crate) fn for_classifier(spec: &TrialSpec) -> Self {
        let settings =
            if spec.lambda() > 0.0 { "learning_rate or lambda" } else { "learning_rate" };
        Self { settings }
    }

    /// The rule for VAEs.
    pub(crate) fn for_vae() -> Self {
        Self { settings: "learning_rate of [vae]" }
    }
}

impl StopRule for Divergence {
    fn look(&mut self, points: &[MetricPoint]) -> Result<(), TrainError> {
        let settings = self.settings;
        match points.iter().find(|point| !point.value.is_finite()) {
            Some(&MetricPoint { metric, step, value }) => {
                Err(TrainError::Diverged { metric, step, value, settings })
            }
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use swfn_shared::{
        axes,
        metrics::{TRAIN_LOSS, VAE_LOSS},
    };

    use super::*;

    #[test]
    fn the_hint_names_settings_that_the_trial_has() {
        let error = |mut rule: Divergence, metric| {
            let point = MetricPoint { metric, step: 10, value: f64::NAN };
            rule.look(&[point]).unwrap_err().to_string()
        };
        let plain = TrialSpec { penalty: None, ..TrialSpec::PUBLISHED };
        let penalised = plain.with(axes::LAMBDA, axes::Value::Real(0.1));
        for (rule, metric, settings) in [
            (Divergence::for_classifier(&plain), TRAIN_LOSS, "learning_rate"),
            (Divergence::for_classifier(&penalised), TRAIN_LOSS, "learning_rate or lambda"),
            (Divergence::for_vae(), VAE_LOSS, "learning_rate of [vae]"),
        ] {
            let text =
                format!("diverged: {metric} is `NaN` at iteration 10; hint: lower {settings}");
            assert_eq!(error(rule, metric), text);
        }
    }
}
