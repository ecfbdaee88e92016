//! Numbers that cannot be wrong: parsed once at the edge, trusted everywhere after.

use std::fmt;

use serde::Serialize;

/// Why a number was refused.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{name} `{value}` {problem}")]
pub struct NumberError {
    /// What the number is, in the words of the grid file.
    pub name: &'static str,
    /// The number as it was given.
    pub value: String,
    /// What is wrong with it.
    pub problem: &'static str,
}

macro_rules! bounded {
    ($(#[$doc:meta])* $type:ident, $name:literal, $allowed:expr, $problem:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, PartialOrd, Serialize)]
        #[serde(transparent)]
        pub struct $type(f64);

        impl $type {
            /// Checks the bounds.
            pub fn new(value: f64) -> Result<Self, NumberError> {
                let error = |problem| NumberError { name: $name, value: value.to_string(), problem };
                if !value.is_finite() {
                    return Err(error("is not a finite number"));
                }
                let allowed: fn(f64) -> bool = $allowed;
                // Adding zero turns -0.0 into 0.0, so that equal numbers have equal text and equal ids.
                if allowed(value) { Ok(Self(value + 0.0)) } else { Err(error($problem)) }
            }

            /// The number itself.
            pub fn get(self) -> f64 {
                self.0
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

bounded! {
    /// Weight of the function norm in the objective; zero switches the norm off.
    Lambda, "lambda", |v| v >= 0.0, "is negative"
}
bounded! {
    /// Coefficient of the squared L2 norm of the weights, as in `torch.optim.SGD`.
    WeightDecay, "weight_decay", |v| v >= 0.0, "is negative"
}
bounded! {
    /// Step size of an optimiser.
    LearningRate, "learning_rate", |v| v > 0.0, "is not above zero"
}
bounded! {
    /// Share of the previous step that a step of SGD keeps.
    Momentum, "momentum", |v| (0.0..1.0).contains(&v), "is not in [0, 1)"
}
bounded! {
    /// Probability that dropout zeroes an activation.
    Dropout, "dropout", |v| (0.0..1.0).contains(&v), "is not in [0, 1)"
}
bounded! {
    /// Factor on the standard deviation of the latent code from which penalty samples are decoded.
    Spread, "spread", |v| v >= 0.0, "is negative"
}

/// A number in at most three digits, for people.
pub fn short(value: f64) -> String {
    if value == 0.0 {
        return "0".to_owned();
    }
    let rounded: f64 = format!("{value:.2e}").parse().unwrap_or(value);
    match rounded.abs() {
        0.001..1e5 => rounded.to_string(),
        _ => format!("{rounded:e}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_are_kept() {
        assert_eq!(Lambda::new(-0.0).unwrap().to_string(), "0");
        assert_eq!(Lambda::new(-0.1).unwrap_err().to_string(), "lambda `-0.1` is negative");
        assert_eq!(Lambda::new(f64::NAN).unwrap_err().to_string(), "lambda `NaN` is not a finite number");
        assert!(LearningRate::new(0.0).is_err());
        assert!(Dropout::new(1.0).is_err());
        assert!(Momentum::new(f64::INFINITY).is_err());
    }
}
