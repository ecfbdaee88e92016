//! Batch norm of rows of channels. The compiler vectorises these loops.

#![allow(unsafe_code, reason = "the trait of work for vectors; nothing here is unsafe by itself")]

use crate::{
    lanes::Lanes,
    level::{Level, Work},
};

/// Number of rows that are summed in single precision; sums of blocks are doubles.
const BLOCK: usize = 32;

/// Mean and variance of each channel. x: `[rows, channels]`. The variance divides by the number of
/// rows.
pub fn statistics(x: &[f32], mean: &mut [f32], variance: &mut [f32]) {
    Level::best().run(Statistics { x, mean, variance });
}

/// normalised = (x - mean) * inverse_deviation; output = normalised * scale + shift.
pub fn forward(
    x: &[f32],
    [mean, inverse_deviation, scale, shift]: [&[f32]; 4],
    normalised: &mut [f32],
    output: &mut [f32],
) {
    Level::best().run(Forward { x, mean, inverse_deviation, scale, shift, normalised, output });
}

/// Gradients of scale and shift, summed over the rows: of_scale = sum of of_output * normalised,
/// of_shift = sum of of_output.
pub fn of_parameters(
    of_output: &[f32],
    normalised: &[f32],
    of_scale: &mut [f32],
    of_shift: &mut [f32],
) {
    Level::best().run(OfParameters { of_output, normalised, of_scale, of_shift });
}

/// of_x = (of_output - mean_shift - normalised * mean_scale) * factor.
pub fn of_input(
    of_output: &[f32],
    normalised: &[f32],
    [mean_scale, mean_shift, factor]: [&[f32]; 3],
    of_x: &mut [f32],
) {
    Level::best().run(OfInput { of_output, normalised, mean_scale, mean_shift, factor, of_x });
}

struct Statistics<'a> {
    x: &'a [f32],
    mean: &'a mut [f32],
    variance: &'a mut [f32],
}

struct Forward<'a> {
    x: &'a [f32],
    mean: &'a [f32],
    inverse_deviation: &'a [f32],
    scale: &'a [f32],
    shift: &'a [f32],
    normalised: &'a mut [f32],
    output: &'a mut [f32],
}

struct OfParameters<'a> {
    of_output: &'a [f32],
    normalised: &'a [f32],
    of_scale: &'a mut [f32],
    of_shift: &'a mut [f32],
}

struct OfInput<'a> {
    of_output: &'a [f32],
    normalised: &'a [f32],
    mean_scale: &'a [f32],
    mean_shift: &'a [f32],
    factor: &'a [f32],
    of_x: &'a mut [f32],
}

/// Sums over all rows, times `factor`. `add` adds one row to the sums of a block.
#[inline(always)]
fn sums(rows: usize, factor: f64, to: &mut [f32], mut add: impl FnMut(usize, &mut [f32])) {
    let mut whole = vec![0.0_f64; to.len()];
    let mut row = 0;
    while row < rows {
        let end = rows.min(row + BLOCK);
        to.fill(0.0);
        (row..end).for_each(|row| add(row, to));
        for (whole, block) in whole.iter_mut().zip(&*to) {
            *whole += f64::from(*block);
        }
        row = end;
    }
    for (to, whole) in to.iter_mut().zip(whole) {
        *to = (whole * factor) as f32;
    }
}

impl Work for Statistics<'_> {
    #[inline(always)]
    unsafe fn run<V: Lanes>(self) {
        let Self { x, mean, variance } = self;
        let channels = mean.len();
        let rows = x.len() / channels;
        let row = |index: usize| &x[index * channels..(index + 1) * channels];
        let share = 1.0 / rows as f64;
        sums(rows, share, mean, |index, sums| {
            for (sum, x) in sums.iter_mut().zip(row(index)) {
                *sum += x;
            }
        });
        sums(rows, share, variance, |index, sums| {
            for ((sum, x), mean) in sums.iter_mut().zip(row(index)).zip(&*mean) {
                *sum += (x - mean) * (x - mean);
            }
        });
    }
}

impl Work for Forward<'_> {
    #[inline(always)]
    unsafe fn run<V: Lanes>(self) {
        let Self { x, mean, inverse_deviation, scale, shift, normalised, output } = self;
        let channels = mean.len();
        assert!(
            inverse_deviation.len() == channels
                && scale.len() == channels
                && shift.len() == channels
        );
        let rows = x.chunks_exact(channels);
        let to = normalised.chunks_exact_mut(channels).zip(output.chunks_exact_mut(channels));
        for (x, (normalised, output)) in rows.zip(to) {
            for c in 0..channels {
                normalised[c] = (x[c] - mean[c]) * inverse_deviation[c];
                output[c] = normalised[c] * scale[c] + shift[c];
            }
        }
    }
}

impl Work for OfParameters<'_> {
    #[inline(always)]
    unsafe fn run<V: Lanes>(self) {
        let Self { of_output, normalised, of_scale, of_shift } = self;
        let channels = of_scale.len();
        let row = |index: usize| index * channels..(index + 1) * channels;
        let rows = of_output.len() / channels;
        sums(rows, 1.0, of_shift, |index, sums| {
            for (sum, of_output) in sums.iter_mut().zip(&of_output[row(index)]) {
                *sum += of_output;
            }
        });
        sums(rows, 1.0, of_scale, |index, sums| {
            let values = of_output[row(index)].iter().zip(&normalised[row(index)]);
            for (sum, (of_output, normalised)) in sums.iter_mut().zip(values) {
                *sum += of_output * normalised;
            }
        });
    }
}

impl Work for OfInput<'_> {
    #[inline(always)]
    unsafe fn run<V: Lanes>(self) {
        let Self { of_output, normalised, mean_scale, mean_shift, factor, of_x } = self;
        let channels = factor.len();
        assert!(mean_scale.len() == channels && mean_shift.len() == channels);
        let rows = of_output.chunks_exact(channels).zip(normalised.chunks_exact(channels));
        for (of_x, (of_output, normalised)) in of_x.chunks_exact_mut(channels).zip(rows) {
            for c in 0..channels {
                of_x[c] =
                    (of_output[c] - mean_shift[c] - normalised[c] * mean_scale[c]) * factor[c];
            }
        }
    }
}
