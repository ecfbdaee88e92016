//! Batch norm of rows of channels. The compiler vectorises these loops.

use crate::level::vectorised;

/// Number of rows that are summed in single precision; sums of blocks are doubles.
const BLOCK: usize = 32;

vectorised! {
    /// Mean and variance of each channel. x: `[rows, channels]`. The variance divides by the number
    /// of rows.
    pub fn statistics(x: &[f32], mean: &mut [f32], variance: &mut [f32]) {
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

    /// normalised = (x - mean) * inverse_deviation; output = normalised * scale + shift.
    /// `of_channels` are [mean, inverse_deviation, scale, shift].
    pub fn forward(
        x: &[f32],
        of_channels: [&[f32]; 4],
        normalised: &mut [f32],
        output: &mut [f32],
    ) {
        let [mean, inverse_deviation, scale, shift] = of_channels;
        let channels = mean.len();
        assert!(of_channels.iter().all(|numbers| numbers.len() == channels));
        let rows = x.chunks_exact(channels);
        let to = normalised.chunks_exact_mut(channels).zip(output.chunks_exact_mut(channels));
        for (x, (normalised, output)) in rows.zip(to) {
            for c in 0..channels {
                normalised[c] = (x[c] - mean[c]) * inverse_deviation[c];
                output[c] = normalised[c] * scale[c] + shift[c];
            }
        }
    }

    /// Gradients of scale and shift, summed over the rows: of_scale = sum of of_output *
    /// normalised, of_shift = sum of of_output.
    pub fn of_parameters(
        of_output: &[f32],
        normalised: &[f32],
        of_scale: &mut [f32],
        of_shift: &mut [f32],
    ) {
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

    /// of_x = (of_output - mean_shift - normalised * mean_scale) * factor. `of_channels` are
    /// [mean_scale, mean_shift, factor].
    pub fn of_input(
        of_output: &[f32],
        normalised: &[f32],
        of_channels: [&[f32]; 3],
        of_x: &mut [f32],
    ) {
        let [mean_scale, mean_shift, factor] = of_channels;
        let channels = factor.len();
        assert!(of_channels.iter().all(|numbers| numbers.len() == channels));
        let rows = of_output.chunks_exact(channels).zip(normalised.chunks_exact(channels));
        for (of_x, (of_output, normalised)) in of_x.chunks_exact_mut(channels).zip(rows) {
            for c in 0..channels {
                of_x[c] =
                    (of_output[c] - mean_shift[c] - normalised[c] * mean_scale[c]) * factor[c];
            }
        }
    }
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
