//! Random numbers from a counter: Philox4x32-10 (Salmon, Moraes, Dror and Shaw, "Parallel random
//! numbers: as easy as 1, 2, 3", 2011), made uniform or normal. The compiler vectorises these
//! loops.
//!
//! Nothing here is fused, reordered or left to the system's mathematical library. So the numbers
//! are the same at every level, bit for bit.

use crate::{lanes::WIDEST, level::vectorised};

/// Number of words that one value of the counter yields.
pub const WORDS: usize = 4;

/// Factors of the first and the third word.
pub const MULTIPLIERS: [u32; 2] = [0xD251_1F53, 0xCD9E_8D57];

/// Rounds that mix the counter.
pub const ROUNDS: usize = 10;

/// Increments of the key in each round.
const WEYL: [u32; 2] = [0x9E37_79B9, 0xBB67_AE85];

/// The low half of 64 bits.
const LOW: u64 = 0xFFFF_FFFF;

/// 2^-24: uniform numbers are multiples of it, which are exact.
pub const UNIT: f32 = 1.0 / (1 << 24) as f32;

/// Number of blocks that are computed at once: whole vectors. The last chunk is computed whole,
/// too.
const CHUNK: usize = 2 * WIDEST;

/// The distribution of the numbers.
#[derive(Debug, Clone, Copy)]
pub enum Law {
    /// In [0, 1).
    Uniform,
    /// Mean 0, variance 1.
    Normal,
    /// Zero with a probability, else `keep`.
    Dropout {
        /// The probability of zero.
        probability: f32,
        /// The value of all other numbers.
        keep: f32,
    },
}

/// The key of each round.
pub fn round_keys(key: [u32; 2]) -> [[u32; 2]; ROUNDS] {
    std::array::from_fn(|round| {
        std::array::from_fn(|i| key[i].wrapping_add(WEYL[i].wrapping_mul(round as u32)))
    })
}

vectorised! {
    /// Fills `out` with numbers from the start of that block on, four from each block.
    pub fn fill(key: [u32; 2], block: u64, law: Law, out: &mut [f32]) {
        let keys = &round_keys(key);
        match law {
            Law::Uniform => fill_with(keys, block, out, |words| words.map(uniform)),
            Law::Normal => fill_with(keys, block, out, normal),
            Law::Dropout { probability, keep } => fill_with(keys, block, out, |words| {
                words.map(|word| if uniform(word) < probability { 0.0 } else { keep })
            }),
        }
    }
}

#[inline(always)]
fn fill_with(
    keys: &[[u32; 2]; ROUNDS],
    mut first: u64,
    out: &mut [f32],
    number: impl Fn([u32; WORDS]) -> [f32; WORDS],
) {
    let mut words = [[0; CHUNK]; WORDS];
    let mut numbers = [[0.0; WORDS]; CHUNK];
    for out in out.chunks_mut(CHUNK * WORDS) {
        // Separate from the next loop: products have twice the bits, so half as many fit in a
        // vector.
        for i in 0..CHUNK {
            let block = first.wrapping_add(i as u64);
            let made = philox([block as u32, (block >> 32) as u32, 0, 0], keys);
            for (row, word) in words.iter_mut().zip(made) {
                row[i] = word;
            }
        }
        for (i, four) in numbers.iter_mut().enumerate() {
            *four = number([words[0][i], words[1][i], words[2][i], words[3][i]]);
        }
        out.copy_from_slice(&numbers.as_flattened()[..out.len()]);
        first = first.wrapping_add(CHUNK as u64);
    }
}

/// The words of one value of the counter. The upper halves of the state hold remainders that no
/// later step reads; clearing them would cost instructions.
#[inline(always)]
fn philox(counter: [u32; WORDS], keys: &[[u32; 2]; ROUNDS]) -> [u32; WORDS] {
    let [mut a, mut b, mut c, mut d] = counter.map(u64::from);
    let [of_a, of_c] = MULTIPLIERS.map(u64::from);
    for [key_a, key_c] in keys.map(|key| key.map(u64::from)) {
        let (from_a, from_c) = ((a & LOW) * of_a, (c & LOW) * of_c);
        (a, b, c, d) = ((from_c >> 32) ^ b ^ key_a, from_c, (from_a >> 32) ^ d ^ key_c, from_a);
    }
    [a, b, c, d].map(|word| word as u32)
}

/// In [0, 1), from the upper 24 bits.
#[inline(always)]
fn uniform(word: u32) -> f32 {
    (word >> 8) as i32 as f32 * UNIT
}

/// Twice the method of Box and Muller ("A note on the generation of random normal deviates", 1958):
/// a radius and an angle make two independent numbers.
#[inline(always)]
fn normal([a, b, c, d]: [u32; WORDS]) -> [f32; WORDS] {
    let ((first, second), (third, fourth)) = (pair(a, b), pair(c, d));
    [first, second, third, fourth]
}

#[inline(always)]
fn pair(for_radius: u32, for_angle: u32) -> (f32, f32) {
    let radius = radius(for_radius);
    let (sine, cosine) = sine_cosine(for_angle);
    (radius * cosine, radius * sine)
}

/// sqrt(-2 ln u) for u = n / 2^31 with odd n. So u is never zero, and the largest radius is 6.6.
///
/// n = m 2^e with m from sqrt(1/2) to sqrt(2): the bits of sqrt(1/2) are subtracted from those of
/// n. ln m = 2 artanh(s) for s = (m - 1) / (m + 1), by its series up to s^9. As |s| < 0.172, the
/// remainder is below 1e-9.
#[inline(always)]
fn radius(word: u32) -> f32 {
    const ROOT_HALF: i32 = std::f32::consts::FRAC_1_SQRT_2.to_bits() as i32;
    let bits = (((word >> 1) | 1) as i32 as f32).to_bits() as i32 - ROOT_HALF;
    let exponent = ((bits >> 23) - 31) as f32;
    let m = f32::from_bits(((bits & 0x7F_FFFF) + ROOT_HALF) as u32);
    let s = (m - 1.0) / (m + 1.0);
    let x = s * s;
    let series = s + s * x * (1.0 / 3.0 + x * (1.0 / 5.0 + x * (1.0 / 7.0 + x * (1.0 / 9.0))));
    (-2.0 * std::f32::consts::LN_2 * exponent - 4.0 * series).sqrt()
}

/// Sine and cosine of the angle in the upper 24 bits, from -1/2 turn to 1/2.
///
/// Subtracting the nearest quarter turn is exact, and leaves at most pi/4 for Taylor series. The
/// sine's series up to x^9 is off by 2e-9, the cosine's up to x^8 by 3e-8.
#[inline(always)]
fn sine_cosine(word: u32) -> (f32, f32) {
    const QUARTER: i32 = 1 << 22;
    let turn = (word >> 8) as i32 - 2 * QUARTER;
    let quarters = (turn + QUARTER / 2) >> 22;
    let angle = (turn - quarters * QUARTER) as f32 * (std::f32::consts::TAU * UNIT);
    let x = angle * angle;
    let sine = angle
        + angle
            * x
            * (-1.0 / 6.0 + x * (1.0 / 120.0 + x * (-1.0 / 5040.0 + x * (1.0 / 362_880.0))));
    let cosine = 1.0 + x * (-0.5 + x * (1.0 / 24.0 + x * (-1.0 / 720.0 + x * (1.0 / 40_320.0))));
    let (a, b) = if quarters & 1 == 0 { (sine, cosine) } else { (cosine, sine) };
    // The second bit of a count of quarters is a sign: the sine's of `quarters`, the cosine's of
    // the next.
    let signed =
        |value: f32, quarters: i32| f32::from_bits(value.to_bits() ^ (quarters as u32 & 2) << 30);
    (signed(a, quarters), signed(b, quarters + 1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::level::Level;

    /// Answers of the generator's authors (Random123, `kat_vectors`): all zeros, all ones, digits
    /// of pi.
    #[test]
    fn known_answers() {
        let answers = [
            ([0; 4], [0; 2], [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8]),
            ([!0; 4], [!0; 2], [0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd]),
            (
                [0x243f_6a88, 0x85a3_08d3, 0x1319_8a2e, 0x0370_7344],
                [0xa409_3822, 0x299f_31d0],
                [0xd16c_fe09, 0x94fd_cceb, 0x5001_e420, 0x2412_6ea1],
            ),
        ];
        for (counter, key, words) in answers {
            assert_eq!(philox(counter, &round_keys(key)), words);
        }
    }

    #[test]
    fn levels_agree_bit_for_bit() {
        for law in [Law::Uniform, Law::Normal, Law::Dropout { probability: 0.3, keep: 2.0 }] {
            let draw = |level| {
                let mut numbers = vec![f32::NAN; 1001];
                fill(level, [5, 7], u64::from(u32::MAX) - 100, law, &mut numbers);
                numbers.into_iter().map(f32::to_bits).collect::<Vec<_>>()
            };
            for level in Level::all() {
                assert_eq!(draw(level), draw(Level::PORTABLE), "{law:?} {level:?}");
            }
        }
    }

    /// Compares with double precision: relative for the radius, absolute for the angle. Half a unit
    /// in the last place is 6e-8.
    #[test]
    fn radius_and_angle_are_accurate() {
        let words = (0..1 << 20).map(|i| i << 12 | i).chain((0..2000).flat_map(|i| [i, !i]));
        let mut worst = [0.0_f64; 2];
        for word in words {
            let exact =
                (-2.0 * (f64::from(((word >> 1 | 1) as i32) as f32) / 2_f64.powi(31)).ln()).sqrt();
            let error = if exact == 0.0 {
                f64::from(radius(word))
            } else {
                f64::from(radius(word)) / exact - 1.0
            };
            worst[0] = worst[0].max(error.abs());
            let (sine, cosine) = sine_cosine(word);
            let angle = (f64::from(word >> 8) / 2_f64.powi(24) - 0.5) * std::f64::consts::TAU;
            worst[1] = worst[1]
                .max((f64::from(sine) - angle.sin()).abs())
                .max((f64::from(cosine) - angle.cos()).abs());
        }
        assert!(worst[0] < 2e-7 && worst[1] < 1.2e-7, "{worst:?}");
    }
}
