//! Bounds of numbers, and numbers in few digits.

use std::fmt;

/// An interval of numbers.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bounds {
    min: f64,
    /// Infinite where there is no upper end.
    max: f64,
    with_min: bool,
    with_max: bool,
}

impl Bounds {
    pub const FROM_ZERO: Self =
        Self { min: 0.0, max: f64::INFINITY, with_min: true, with_max: false };
    pub const ABOVE_ZERO: Self = Self { with_min: false, ..Self::FROM_ZERO };
    pub const BELOW_ONE: Self = Self { max: 1.0, ..Self::FROM_ZERO };

    pub const fn up_to(max: f64) -> Self {
        Self { max, with_max: true, ..Self::FROM_ZERO }
    }

    /// The number in its normal form.
    ///
    /// # Errors
    /// The number is not finite or out of bounds. The message calls it `name`.
    pub fn check(self, name: &str, value: f64) -> Result<f64, String> {
        let above = if self.with_min { value >= self.min } else { value > self.min };
        let below = if self.with_max { value <= self.max } else { value < self.max };
        let problem = match self {
            _ if !value.is_finite() => "is not a finite number".to_owned(),
            // Adding zero turns -0.0 into 0.0: equal numbers need equal texts and equal ids.
            _ if above && below => return Ok(value + 0.0),
            Self::FROM_ZERO => "is negative".to_owned(),
            Self::ABOVE_ZERO => "is not above zero".to_owned(),
            _ => format!("is not in {self}"),
        };
        Err(format!("{name} `{value}` {problem}"))
    }
}

/// The interval as in mathematics: `[0, 1)` has zero and not one.
impl fmt::Display for Bounds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { min, max, with_min, with_max } = self;
        let (left, right) = (if *with_min { '[' } else { '(' }, if *with_max { ']' } else { ')' });
        write!(f, "{left}{min}, ")?;
        if max.is_finite() { write!(f, "{max}{right}") } else { write!(f, "∞{right}") }
    }
}

/// Formats a number in at most three digits, for people.
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

/// Formats a number in three digits if it has no more, else in all its digits.
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
        let check = |bounds: Bounds, value| bounds.check("n", value);
        assert_eq!(check(Bounds::FROM_ZERO, -0.0).map(f64::to_bits), Ok(0));
        assert_eq!(check(Bounds::FROM_ZERO, -0.1), Err("n `-0.1` is negative".to_owned()));
        assert_eq!(
            check(Bounds::FROM_ZERO, f64::NAN),
            Err("n `NaN` is not a finite number".to_owned())
        );
        assert_eq!(check(Bounds::ABOVE_ZERO, 0.0), Err("n `0` is not above zero".to_owned()));
        assert_eq!(check(Bounds::BELOW_ONE, 1.0), Err("n `1` is not in [0, 1)".to_owned()));
        assert!(check(Bounds::BELOW_ONE, f64::INFINITY).is_err());
        assert_eq!(check(Bounds::up_to(0.9), 0.9), Ok(0.9));
    }
}
