//! Numbers as people read them, the same on the terminal and in all files.

use swfn_shared::text::count;

use super::rounding::{decimal, percent, signed};
use crate::numbers::{contrast::Comparison, statistics::Estimate};

/// The text where a number is unknown.
pub(crate) const UNKNOWN: &str = "–";

/// A share as percentage points with its sign, with the resolution of 10,000 test images.
pub(crate) fn points(share: f64) -> String {
    signed(100.0 * share, 2)
}

/// A p-value, in three significant digits below 0.06. Rounding never crosses the level of 5 %.
pub(crate) fn p_value(p: f64) -> String {
    const LEVEL: f64 = 0.05;
    match p {
        p if p < 0.0001 => "< 0.0001".to_owned(),
        p if p < 0.06 => {
            let digits = (2.0 - p.log10().floor()) as usize;
            let crosses = |text: &String| text.parse() == Ok(LEVEL) && p != LEVEL;
            let texts = (digits..digits + 9).map(|digits| decimal(p, digits));
            texts.clone().find(|text| !crosses(text)).unwrap_or_else(|| decimal(p, digits))
        }
        p => decimal(p, 3),
    }
}

/// A p-value after its name.
pub(super) fn named_p(p: Option<f64>) -> String {
    match p.map(p_value) {
        None => "p unknown".to_owned(),
        Some(p) if p.starts_with('<') => format!("p {p}"),
        Some(p) => format!("p = {p}"),
    }
}

/// A mean with half of its interval.
pub(crate) fn estimate(estimate: Option<Estimate>, shown: fn(f64) -> String) -> String {
    let half = |half: f64| format!(" ± {}", percent(half));
    or_unknown(estimate, |Estimate { mean, confidence_95, .. }| {
        shown(mean) + &confidence_95.map_or(String::new(), half)
    })
}

/// The text of a number, or the one for unknown numbers.
pub(crate) fn or_unknown<T>(value: Option<T>, shown: impl Fn(T) -> String) -> String {
    value.map_or(UNKNOWN.to_owned(), shown)
}

/// The ends of an interval around a mean.
pub(crate) fn interval(mean: f64, half: Option<f64>) -> Option<String> {
    half.map(|half| format!("{} to {}", points(mean - half), points(mean + half)))
}

/// The number of seeds with a pair of results, and the missing seeds.
pub(crate) fn seeds(comparison: &Comparison) -> String {
    const LISTED: usize = 6;
    let Comparison { pairs, missing_seeds, .. } = comparison;
    let of = count(pairs.len(), "seed");
    if missing_seeds.is_empty() {
        return of;
    }
    let mut missing: Vec<_> = missing_seeds.iter().take(LISTED).map(ToString::to_string).collect();
    if missing_seeds.len() > LISTED {
        missing.push(format!("{} more", missing_seeds.len() - LISTED));
    }
    format!("{of}, missing: {}", missing.join(" "))
}

/// Wins, ties and losses: `4/0/1`.
pub(crate) fn wins(comparison: &Comparison) -> String {
    format!("{}/{}/{}", comparison.wins, comparison.ties, comparison.losses)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn p_values_near_the_level_stay_distinct() {
        for (p, text) in [
            (0.049_6, "0.0496"),
            (0.050_3, "0.0503"),
            (0.049_996, "0.049996"),
            (0.05, "0.0500"),
            (0.050_000_4, "0.0500004"),
            (0.000_434_4, "0.000434"),
            (0.009_96, "0.00996"),
            (0.000_09, "< 0.0001"),
            (0.061_23, "0.061"),
            (1.0, "1.000"),
        ] {
            assert_eq!(p_value(p), text);
        }
    }
}
