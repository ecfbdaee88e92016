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
    pub problem: String,
}

/// An interval of numbers.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bounds {
    /// Its lower end.
    pub min: f64,
    /// Its upper end, which may be infinite.
    pub max: f64,
    /// Whether the lower end belongs to it.
    pub with_min: bool,
    /// Whether the upper end does.
    pub with_max: bool,
}

impl Bounds {
    /// From zero.
    pub const FROM_ZERO: Self =
        Self { min: 0.0, max: f64::INFINITY, with_min: true, with_max: false };
    /// Above zero.
    pub const ABOVE_ZERO: Self = Self { with_min: false, ..Self::FROM_ZERO };
    /// From zero, below one.
    pub const BELOW_ONE: Self = Self { max: 1.0, ..Self::FROM_ZERO };

    /// From zero up to a number.
    pub const fn up_to(max: f64) -> Self {
        Self { max, with_max: true, ..Self::FROM_ZERO }
    }

    /// The number in its normal form.
    ///
    /// # Errors
    /// The number is not finite or out of bounds. `name`: what the message calls it.
    pub fn check(self, name: &'static str, value: f64) -> Result<f64, NumberError> {
        let above = if self.with_min { value >= self.min } else { value > self.min };
        let below = if self.with_max { value <= self.max } else { value < self.max };
        let problem = match self {
            _ if !value.is_finite() => "is not a finite number".to_owned(),
            // Adding zero turns -0.0 into 0.0, so that equal numbers have equal text and equal ids.
            _ if above && below => return Ok(value + 0.0),
            Self::FROM_ZERO => "is negative".to_owned(),
            Self::ABOVE_ZERO => "is not above zero".to_owned(),
            _ => format!("is not in {self}"),
        };
        Err(NumberError { name, value: value.to_string(), problem })
    }
}

/// As in mathematics: `[0, 1)` has zero and not one.
impl fmt::Display for Bounds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { min, max, with_min, with_max } = self;
        let (left, right) = (if *with_min { '[' } else { '(' }, if *with_max { ']' } else { ')' });
        write!(f, "{left}{min}, ")?;
        if max.is_finite() { write!(f, "{max}{right}") } else { write!(f, "∞{right}") }
    }
}

macro_rules! bounded {
    ($(#[$doc:meta])* $type:ident, $name:literal, $bounds:expr, $published:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, PartialOrd, Serialize)]
        #[serde(transparent)]
        pub struct $type(f64);

        impl $type {
            /// What it may be.
            pub const BOUNDS: Bounds = $bounds;

            /// The published one.
            pub(crate) const PUBLISHED: Self = Self($published);

            /// Checks the bounds.
            pub fn new(value: f64) -> Result<Self, NumberError> {
                Self::BOUNDS.check($name, value).map(Self)
            }

            /// One that has been checked before.
            pub(crate) fn checked(value: f64) -> Self {
                Self::new(value).expect("values of axes are checked when they are read")
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
    Lambda, "lambda", Bounds::FROM_ZERO, 0.1
}
bounded! {
    /// Step size of an optimiser.
    LearningRate, "learning_rate", Bounds::ABOVE_ZERO, 0.01
}
bounded! {
    /// Share of the previous step that a step of SGD keeps.
    Momentum, "momentum", Bounds::BELOW_ONE, 0.5
}
bounded! {
    /// Probability that dropout zeroes an activation.
    Dropout, "dropout", Bounds::BELOW_ONE, 0.5
}
bounded! {
    /// Factor on the standard deviation of the latent code from which penalty samples are decoded.
    Spread, "spread", Bounds::FROM_ZERO, 3.0
}

impl LearningRate {
    /// The published one of VAEs.
    pub(crate) const PUBLISHED_VAE: Self = Self(1e-3);
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

/// A number in three digits if it has no more, else in all of them.
pub fn exact(value: f64) -> String {
    let few = short(value);
    match value {
        _ if few.parse() == Ok(value) => few,
        0.001..1e5 => value.to_string(),
        _ => format!("{value:e}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_are_kept() {
        assert_eq!(Lambda::new(-0.0).unwrap().to_string(), "0");
        assert_eq!(Lambda::new(-0.1).unwrap_err().to_string(), "lambda `-0.1` is negative");
        assert_eq!(
            Lambda::new(f64::NAN).unwrap_err().to_string(),
            "lambda `NaN` is not a finite number"
        );
        assert!(LearningRate::new(0.0).is_err());
        assert!(Dropout::new(1.0).is_err());
        assert!(Momentum::new(f64::INFINITY).is_err());
    }
}
