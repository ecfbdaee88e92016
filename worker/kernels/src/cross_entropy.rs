//! Cross-entropy of pixels in 0..1 and logits, with its gradient, in one pass. The compiler
//! vectorises this loop.

use crate::level::vectorised;

/// Number of values that are summed in single precision; sums of blocks are doubles.
const BLOCK: usize = 64;

/// Adding this leaves the nearest whole number in the last bits of a float of small absolute value.
const ROUND: f32 = 12_582_912.0;

vectorised! {
    /// Sum of -x log p - (1 - x) log(1 - p), p = 1 / (1 + exp(-logit)). `of_logits` gets the
    /// gradient by each logit, p - x, times `share`.
    pub fn cross_entropy(logits: &[f32], x: &[f32], share: f32, of_logits: &mut [f32]) -> f64 {
        let mut sum = 0.0;
        assert!(x.len() == logits.len() && of_logits.len() == logits.len());
        let blocks = logits.chunks(BLOCK).zip(x.chunks(BLOCK)).zip(of_logits.chunks_mut(BLOCK));
        for ((logits, x), of_logits) in blocks {
            let mut losses = [0.0_f32; BLOCK];
            for (((loss, logit), x), of_logit) in
                losses.iter_mut().zip(logits).zip(x).zip(of_logits)
            {
                let small = exp_of_negative(-logit.abs()); // in 0..=1
                let inverse = 1.0 / (1.0 + small);
                let p = if *logit < 0.0 { small * inverse } else { inverse };
                // log(1 + exp(logit)) - x logit, without large powers.
                *loss = logit.max(0.0) + log_of_one_and(small) - x * logit;
                *of_logit = (p - x) * share;
            }
            // Pairwise, in an order that no width of vectors changes.
            let mut width = BLOCK / 2;
            while width > 0 {
                for i in 0..width {
                    losses[i] += losses[i + width];
                }
                width /= 2;
            }
            sum += f64::from(losses[0]);
        }
        sum
    }
}

/// exp(x) for x <= 0: 2^n times a Taylor series around n log 2. Below -87 the result is that of
/// -87.
#[inline(always)]
fn exp_of_negative(x: f32) -> f32 {
    let x = x.max(-87.0);
    let shifted = x * std::f32::consts::LOG2_E + ROUND;
    let n = shifted - ROUND;
    // log 2 in two parts, of which the first has few bits: its products with n are exact.
    let r = (x - n * 0.693_359_4) + n * 2.121_944_4e-4; // at most log(2) / 2 from zero
    let mut series = 1.0 / 5040.0;
    for coefficient in [1.0 / 720.0, 1.0 / 120.0, 1.0 / 24.0, 1.0 / 6.0, 0.5, 1.0, 1.0] {
        series = series * r + coefficient;
    }
    // The exponent's bits, from the last bits of the whole number.
    series * f32::from_bits((shifted.to_bits() << 23).wrapping_add(1.0_f32.to_bits()))
}

/// log(1 + e) for e in 0..=1: twice the series of artanh of s = e / (2 + e), which is at most 1/3.
#[inline(always)]
fn log_of_one_and(e: f32) -> f32 {
    let s = e / (2.0 + e);
    let square = s * s;
    let mut series = 1.0 / 13.0;
    for denominator in [11.0, 9.0, 7.0, 5.0, 3.0, 1.0] {
        series = series * square + 1.0 / denominator;
    }
    2.0 * s * series
}
