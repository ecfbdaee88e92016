//! Mean, standard deviation and confidence interval of a few numbers.

use serde::Serialize;
use statrs::{
    distribution::{ContinuousCDF as _, StudentsT},
    statistics::Statistics as _,
};

/// Mean and spread of n values.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Estimate {
    pub n: usize,
    pub mean: f64,
    /// Standard deviation of the sample (n - 1 in the denominator); `None` for one value.
    pub standard_deviation: Option<f64>,
    /// Half of the 95 % confidence interval of the mean, by Student's t with n - 1 degrees of
    /// freedom. `None` for one value and for equal values, which do not show how far others would
    /// lie apart.
    pub confidence_95: Option<f64>,
}

impl Estimate {
    /// `None` for no values.
    pub fn of(values: &[f64]) -> Option<Self> {
        let n = values.len();
        if n == 0 {
            return None;
        }
        let standard_deviation = (n > 1).then(|| values.std_dev());
        let confidence_95 = standard_deviation
            .filter(|_| values.iter().any(|value| *value != values[0]))
            .and_then(|deviation| half_width(n, deviation));
        Some(Self { n, mean: values.mean(), standard_deviation, confidence_95 })
    }

    /// Mean and half of the interval of shares, in percent.
    pub(crate) fn percent(self) -> (f64, Option<f64>) {
        (100.0 * self.mean, self.confidence_95.map(|half| 100.0 * half))
    }
}

/// Half of the 95 % confidence interval of the mean of `n` values; `None` for one value.
pub fn half_width(n: usize, standard_deviation: f64) -> Option<f64> {
    let freedom = n.checked_sub(1).filter(|freedom| *freedom > 0)?;
    let t = StudentsT::new(0.0, 1.0, freedom as f64).ok()?.inverse_cdf(0.975);
    Some(t * standard_deviation / (n as f64).sqrt())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Expected values from scipy 1.17.1: `mean()`, `std(ddof=1)`, `stats.t.ppf(0.975, n - 1) *
    /// stats.sem(v)`.
    #[test]
    fn agrees_with_scipy() {
        let estimate = Estimate::of(&[0.881, 0.902, 0.8745, 0.8913]).unwrap();
        assert!((estimate.mean - 0.8872).abs() < 1e-12);
        assert!((estimate.standard_deviation.unwrap() - 0.012_049_619_634_384_025).abs() < 1e-12);
        assert!((estimate.confidence_95.unwrap() - 0.019_173_633_742_759_73).abs() < 1e-9);
        let two = Estimate::of(&[1.0, 2.0]).unwrap();
        assert!((two.confidence_95.unwrap() - 6.353_102_368_087_347).abs() < 1e-7);
    }

    #[test]
    fn one_value_has_no_spread() {
        let one = Estimate::of(&[0.5]).unwrap();
        assert_eq!((one.mean, one.standard_deviation, one.confidence_95), (0.5, None, None));
        assert_eq!(Estimate::of(&[]), None);
    }
}
