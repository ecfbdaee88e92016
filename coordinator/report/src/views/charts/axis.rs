//! Axes: from values to places, and the few numbers that stand beside them.

use swfn_shared::numbers::short;

use crate::phrases::rounding::decimal;

/// An axis of a panel.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Axis {
    pub(super) title: String,
    log: bool,
    /// Where zero stands on a logarithmic axis, if it has a place there.
    zero: Option<f64>,
    /// Ends, after the logarithm if there is one.
    low: f64,
    high: f64,
    /// Where they stand, as shares of the axis, and what is written there.
    pub(super) ticks: Vec<(f64, String)>,
}

/// The place of zero on an axis of given numbers, as a share: left of all else.
const ZERO: f64 = 0.05;

impl Axis {
    /// From `low` to `high`, with about five round numbers.
    pub(super) fn linear(title: &str, low: f64, high: f64) -> Self {
        let mut axis =
            Self { title: title.to_owned(), log: false, zero: None, low, high, ticks: Vec::new() };
        let step = round_step((high - low) / 5.0);
        let decimals = (-step.log10().floor()).clamp(0.0, 9.0) as usize;
        let decimals = if (step * 10f64.powi(decimals as i32)).fract().abs() > 1e-6 {
            decimals + 1
        } else {
            decimals
        };
        let thousands = step % 500.0 == 0.0 && high >= 5000.0;
        let first = (low / step - 1e-9).ceil();
        let values = (0..50)
            .map(|index| (first + f64::from(index)) * step)
            .take_while(|value| *value <= high + step * 1e-6);
        axis.ticks = values
            .map(|value| {
                let text = match thousands && value > 0.0 {
                    true => format!("{}k", value / 1000.0),
                    false => decimal(value, decimals),
                };
                (axis.share(value), text)
            })
            .collect();
        axis
    }

    /// A logarithmic axis around numbers above zero, with powers of ten.
    pub(super) fn log(title: &str, low: f64, high: f64) -> Self {
        let (low, high) = (low.log10(), high.log10());
        let margin = (0.04 * (high - low)).max(0.05);
        let mut axis = Self {
            title: title.to_owned(),
            log: true,
            zero: None,
            low: low - margin,
            high: high + margin,
            ticks: Vec::new(),
        };
        let powers = axis.low.ceil() as i32..=axis.high.floor() as i32;
        let factors: &[f64] = if powers.clone().count() > 2 { &[1.0] } else { &[1.0, 2.0, 5.0] };
        let every = (powers.clone().count() / 7 + 1) as i32;
        for power in axis.low.floor() as i32..=axis.high.ceil() as i32 {
            for factor in factors.iter().filter(|_| power % every == 0) {
                let value = factor * 10f64.powi(power);
                if (0.0..=1.0).contains(&axis.share(value)) {
                    axis.ticks.push((axis.share(value), short(value)));
                }
            }
        }
        axis
    }

    /// A logarithmic axis with these numbers, in ascending order, and no others; one that is zero stands by itself at the left.
    pub(super) fn of(title: &str, values: &[f64]) -> Self {
        let zero = values.first() == Some(&0.0);
        let above: Vec<f64> = values.iter().copied().filter(|value| *value > 0.0).collect();
        let (low, high) = match (above.first(), above.last()) {
            (Some(low), Some(high)) => (low.log10(), high.log10()),
            _ => (0.0, 0.0),
        };
        let span = (high - low).max(0.4);
        let lone = if high - low < 0.4 { 0.3 * span } else { 0.0 };
        let left = if zero { 0.25 * span } else { 0.09 * span };
        let (low, high) = (low - left - lone, high + 0.09 * span + lone);
        let mut axis = Self {
            title: title.to_owned(),
            log: true,
            zero: zero.then_some(ZERO),
            low,
            high,
            ticks: Vec::new(),
        };
        axis.ticks = values.iter().map(|value| (axis.share(*value), short(*value))).collect();
        axis
    }

    /// The place of a value: 0 at the lower end, 1 at the upper one.
    pub(super) fn share(&self, value: f64) -> f64 {
        match self.log {
            true if value <= 0.0 => self.zero.unwrap_or(f64::NEG_INFINITY),
            true => (value.log10() - self.low) / (self.high - self.low),
            false => (value - self.low) / (self.high - self.low),
        }
    }

    /// Leaves numbers out until each has that much of the axis, as a share, for itself.
    pub(super) fn thin(&mut self, room: impl Fn(&str) -> f64) {
        let mut end = f64::NEG_INFINITY;
        self.ticks.retain(|(share, text)| {
            let half = room(text) / 2.0;
            let fits = share - half >= end;
            if fits {
                end = share + half;
            }
            fits
        });
    }
}

/// The round number next above: 1, 2, 2.5 or 5 times a power of ten.
fn round_step(step: f64) -> f64 {
    let power = 10f64.powf(step.max(1e-12).log10().floor());
    let factor = [1.0, 2.0, 2.5, 5.0].into_iter().find(|factor| factor * power >= step * 0.999);
    factor.unwrap_or(10.0) * power
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(axis: &Axis) -> Vec<&str> {
        axis.ticks.iter().map(|(_, text)| text.as_str()).collect()
    }

    #[test]
    fn numbers_are_round_and_few() {
        assert_eq!(texts(&Axis::linear("", 87.2, 90.9)), ["88", "89", "90"]);
        assert_eq!(texts(&Axis::linear("", -0.31, 0.62)), ["−0.2", "0.0", "0.2", "0.4", "0.6"]);
        assert_eq!(texts(&Axis::linear("", 0.0, 10_000.0)), ["0", "2k", "4k", "6k", "8k", "10k"]);
        assert_eq!(texts(&Axis::linear("", 0.0, 0.9)), ["0.0", "0.2", "0.4", "0.6", "0.8"]);
        assert_eq!(texts(&Axis::log("", 0.002, 900.0)), ["0.01", "0.1", "1", "10", "100", "1000"]);
        assert_eq!(texts(&Axis::log("", 13.0, 60.0)), ["20", "50"]);
        assert_eq!(
            texts(&Axis::of("", &[0.0, 0.000_316_227_766, 0.1, 1.0])),
            ["0", "3.16e-4", "0.1", "1"]
        );
    }

    #[test]
    fn places_lie_on_the_axis_in_order_whatever_the_values() {
        for values in [&[0.0][..], &[0.1], &[0.0, 0.1], &[1e-9, 1e9], &[0.0, 1e-3, 1e-2, 0.1, 1.0]]
        {
            let axis = Axis::of("", values);
            let places: Vec<f64> = values.iter().map(|value| axis.share(*value)).collect();
            assert!(
                places.iter().all(|place| (0.0..=1.0).contains(place)),
                "{values:?}: {places:?}"
            );
            assert!(places.is_sorted_by(|a, b| a < b), "{values:?}: {places:?}");
        }
    }

    #[test]
    fn numbers_that_do_not_fit_are_left_out() {
        let mut axis = Axis::of("", &[1.0, 1.1, 2.0, 4.0]);
        axis.thin(|_| 0.2);
        assert_eq!(texts(&axis), ["1", "2", "4"]);
    }
}
