//! Axes: from values to shares of an axis, and the few numbers that stand beside it.

use swfn_shared::numbers::short;

use crate::phrases::rounding::decimal;

/// An axis of a panel.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Axis {
    pub(super) title: String,
    logarithmic: bool,
    /// Ends, as logarithms on a logarithmic axis.
    low: f64,
    high: f64,
    /// The share at which zero stands on a logarithmic axis.
    zero: f64,
    /// Numbers as shares of the axis, with their texts.
    pub(super) ticks: Vec<(f64, String)>,
}

impl Axis {
    fn new(title: &str, logarithmic: bool, low: f64, high: f64) -> Self {
        let (title, zero) = (title.to_owned(), f64::NEG_INFINITY);
        Self { title, logarithmic, low, high, zero, ticks: Vec::new() }
    }

    fn with_ticks(mut self, ticks: impl Iterator<Item = (f64, String)>) -> Self {
        self.ticks = ticks.map(|(value, text)| (self.share(value), text)).collect();
        self
    }

    /// An axis from `low` to `high`, with about five round numbers.
    pub(super) fn linear(title: &str, low: f64, high: f64) -> Self {
        let step = round_step((high - low) / 5.0);
        let decimals = (-step.log10().floor()).clamp(0.0, 9.0) as usize;
        let is_whole = (step * 10f64.powi(decimals as i32)).fract().abs() <= 1e-6;
        let decimals = if is_whole { decimals } else { decimals + 1 };
        let thousands = step % 500.0 == 0.0 && high >= 5000.0;
        let first = (low / step - 1e-9).ceil();
        let values = (0..50)
            .map(|index| (first + f64::from(index)) * step)
            .take_while(|value| *value <= high + step * 1e-6);
        let text = |value: f64| match thousands && value > 0.0 {
            true => format!("{}k", value / 1000.0),
            false => decimal(value, decimals),
        };
        Self::new(title, false, low, high).with_ticks(values.map(|value| (value, text(value))))
    }

    /// A logarithmic axis around numbers above zero, with powers of ten.
    pub(super) fn logarithmic(title: &str, low: f64, high: f64) -> Self {
        let (low, high) = (low.log10(), high.log10());
        let margin = (0.04 * (high - low)).max(0.05);
        let (low, high) = (low - margin, high + margin);
        let powers = (high.floor() as i32 - low.ceil() as i32 + 1).max(0);
        let factors: &[f64] = if powers > 2 { &[1.0] } else { &[1.0, 2.0, 5.0] };
        let every = powers / 7 + 1;
        let values = (low.floor() as i32..=high.ceil() as i32)
            .filter(|power| power % every == 0)
            .flat_map(|power| factors.iter().map(move |factor| factor * 10f64.powi(power)))
            .filter(|value| (low..=high).contains(&value.log10()));
        Self::new(title, true, low, high).with_ticks(values.map(|value| (value, short(value))))
    }

    /// A logarithmic axis whose numbers are these, in ascending order. Zero stands alone at the
    /// left.
    pub(super) fn with_values(title: &str, values: &[f64]) -> Self {
        let mut above = values.iter().filter(|value| **value > 0.0).map(|value| value.log10());
        let low = above.next().unwrap_or(0.0);
        let high = above.next_back().unwrap_or(low);
        let span = (high - low).max(0.4);
        let lone = if high - low < 0.4 { 0.3 * span } else { 0.0 };
        let left = if values.first() == Some(&0.0) { 0.25 * span } else { 0.09 * span };
        let (low, high) = (low - left - lone, high + 0.09 * span + lone);
        let ticks = values.iter().map(|value| (*value, short(*value)));
        Self { zero: 0.05, ..Self::new(title, true, low, high) }.with_ticks(ticks)
    }

    /// Where a value stands: 0 at the lower end, 1 at the upper end.
    pub(super) fn share(&self, value: f64) -> f64 {
        match self.logarithmic {
            true if value <= 0.0 => self.zero,
            true => (value.log10() - self.low) / (self.high - self.low),
            false => (value - self.low) / (self.high - self.low),
        }
    }

    /// Whether a value lies on the axis, and not beyond its ends.
    pub(super) fn contains(&self, value: f64) -> bool {
        (0.0..=1.0).contains(&self.share(value))
    }

    /// Drops numbers that lack the room they need, which is a share of the axis.
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

/// The next larger round number: 1, 2, 2.5 or 5 times a power of ten.
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
        assert_eq!(
            texts(&Axis::logarithmic("", 0.002, 900.0)),
            ["0.01", "0.1", "1", "10", "100", "1000"]
        );
        assert_eq!(texts(&Axis::logarithmic("", 13.0, 60.0)), ["20", "50"]);
        assert_eq!(
            texts(&Axis::with_values("", &[0.0, 0.000_316_227_766, 0.1, 1.0])),
            ["0", "3.16e-4", "0.1", "1"]
        );
    }

    #[test]
    fn values_lie_on_the_axis_in_order() {
        for values in [&[0.0][..], &[0.1], &[0.0, 0.1], &[1e-9, 1e9], &[0.0, 1e-3, 1e-2, 0.1, 1.0]]
        {
            let axis = Axis::with_values("", values);
            let places: Vec<f64> = values.iter().map(|value| axis.share(*value)).collect();
            assert!(
                places.iter().all(|place| (0.0..=1.0).contains(place)),
                "{values:?}: {places:?}"
            );
            assert!(places.is_sorted_by(|a, b| a < b), "{values:?}: {places:?}");
        }
    }

    #[test]
    fn numbers_without_room_are_dropped() {
        let mut axis = Axis::with_values("", &[1.0, 1.1, 2.0, 4.0]);
        axis.thin(|_| 0.2);
        assert_eq!(texts(&axis), ["1", "2", "4"]);
    }
}
