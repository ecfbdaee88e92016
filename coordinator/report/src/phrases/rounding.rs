//! Rounding of numbers for people, the same everywhere. The dashboard's `text.js` does the same.

/// Steps between two last digits. Rounding to them first removes the noise in the last bits of
/// sums, so that halves stay halves.
const NOISE: f64 = 1e6;

/// A number with that many digits behind the point.
///
/// Halves go away from zero, zero has no sign, and the minus sign is U+2212.
pub fn decimal(value: f64, digits: usize) -> String {
    let scale = 10_f64.powi(digits as i32);
    let rounded = ((value * scale * NOISE).round() / NOISE).round() / scale;
    // The product of a very large number and the scale is infinite.
    let rounded = if rounded.is_finite() { rounded } else { value };
    format!("{:.digits$}", rounded + 0.0).replace('-', "−")
}

/// A number with its sign; a number that is shown as zero has none.
pub fn signed(value: f64, digits: usize) -> String {
    let text = decimal(value, digits);
    if value > 0.0 && text.bytes().any(|byte| (b'1'..=b'9').contains(&byte)) {
        format!("+{text}")
    } else {
        text
    }
}

/// A share in percent, with the resolution of 10,000 test images.
pub fn percent(share: f64) -> String {
    decimal(100.0 * share, 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves_go_away_from_zero() {
        for (share, text) in [
            (0.02105, "2.11"),
            (0.8745 - 0.85345, "2.11"),
            (-0.02105, "−2.11"),
            (0.060_95, "6.10"),
            (0.033_85, "3.39"),
            (0.876_549, "87.65"),
            (0.021_049_99, "2.10"),
            (-0.000_049, "0.00"),
            (1.0, "100.00"),
        ] {
            assert_eq!(percent(share), text, "{share}");
        }
        assert_eq!(
            (decimal(0.05, 1), decimal(9.95, 1), decimal(2.5, 0)),
            ("0.1".into(), "10.0".into(), "3".into())
        );
        assert_eq!((decimal(1e300, 2).len(), decimal(f64::INFINITY, 2)), (304, "inf".to_owned()));
        assert_eq!(
            (signed(2.105, 2), signed(-2.105, 2), signed(0.004, 2)),
            ("+2.11".into(), "−2.11".into(), "0.00".into())
        );
    }
}
