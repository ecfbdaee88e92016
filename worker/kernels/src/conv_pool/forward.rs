//! The forward pass. For each pixel of the output, the four pixels of the convolution that compete
//! for the maximum stay in registers. Lanes are channels of the output.

#![allow(unsafe_code, reason = "see lanes")]

use super::{ConvPool, SIDE};
use crate::{lanes::Lanes, level::vectorised};

/// Pixels of the convolution per pixel of the output.
const WINDOW: usize = 4;

/// See [`ConvPool::forward`].
pub(super) struct Forward<'a> {
    pub(super) sizes: ConvPool,
    pub(super) input: &'a [f32],
    pub(super) filters: &'a [f32],
    pub(super) bias: &'a [f32],
    pub(super) output: &'a mut [f32],
    pub(super) choice: &'a mut [u8],
}

vectorised! {
    pub(super) fn forward(work: Forward<'_>) {
        let mut work = work;
        let vectors = work.sizes.outputs.div_ceil(V::COUNT);
        let most = if V::MANY_REGISTERS { 2 } else { 3 };
        let groups = vectors.div_ceil(most);
        let mut packed = Vec::new();
        let mut done = 0;
        for group in 0..groups {
            let size = (vectors - done).div_ceil(groups - group);
            let first = done * V::COUNT;
            pack(&work, first, size * V::COUNT, &mut packed);
            // SAFETY: V is that of the level; `packed` is of this group.
            unsafe {
                match (size, V::MANY_REGISTERS) {
                    (1, _) => all_places::<V, 1, 2>(&mut work, &packed, first),
                    (2, true) => all_places::<V, 2, 2>(&mut work, &packed, first),
                    (2, false) => all_places::<V, 2, 1>(&mut work, &packed, first),
                    _ => all_places::<V, 3, 1>(&mut work, &packed, first),
                }
            }
            done += size;
        }
    }
}

/// Packs bias and filters of `lanes` channels from `first` on: `[1 + 25 * I, lanes]`, zero where
/// there is no channel.
#[inline(always)]
fn pack(work: &Forward<'_>, first: usize, lanes: usize, packed: &mut Vec<f32>) {
    let Forward { sizes, filters, bias, .. } = work;
    let taps = SIDE * sizes.filter_row();
    packed.clear();
    packed.resize((1 + taps) * lanes, 0.0);
    let channels = lanes.min(sizes.outputs - first);
    for (lane, filter) in filters.chunks_exact(taps).skip(first).take(channels).enumerate() {
        packed[lane] = bias[first + lane];
        for (row, value) in packed[lanes..].chunks_exact_mut(lanes).zip(filter) {
            row[lane] = *value;
        }
    }
}

/// Computes all pixels of the output, for the channels of VECTORS vectors, WINDOWS adjacent pixels
/// at a time.
///
/// # Safety
/// The processor has the instructions of V; `packed` holds the channels from `first` on.
#[inline(always)]
unsafe fn all_places<V: Lanes, const VECTORS: usize, const WINDOWS: usize>(
    work: &mut Forward<'_>,
    packed: &[f32],
    first: usize,
) {
    let sizes = work.sizes;
    let (rows, columns) = sizes.pooled();
    for image in 0..sizes.images {
        for y in 0..rows {
            let mut x = 0;
            while x < columns {
                let input = (image * sizes.height + 2 * y) * sizes.row() + 2 * x * sizes.inputs;
                let output = ((image * rows + y) * columns + x) * sizes.outputs + first;
                // SAFETY: as that of this function; x + WINDOWS, or x + 1, pixels are in the row.
                unsafe {
                    if x + WINDOWS <= columns {
                        windows::<V, VECTORS, WINDOWS>(work, packed, first, input, output);
                        x += WINDOWS;
                    } else {
                        windows::<V, VECTORS, 1>(work, packed, first, input, output);
                        x += 1;
                    }
                }
            }
        }
    }
}

/// Computes WINDOWS pixels of the output. `input` is the index of the first pixel's window,
/// `output` that of its result.
///
/// # Safety
/// As [`all_places`]; the pixels are within the image.
#[inline(always)]
unsafe fn windows<V: Lanes, const VECTORS: usize, const WINDOWS: usize>(
    work: &mut Forward<'_>,
    packed: &[f32],
    first: usize,
    input: usize,
    output: usize,
) {
    let (row, pixel, taps) = (work.sizes.row(), work.sizes.inputs, work.sizes.filter_row());
    // SAFETY: a window of 6 x 6 input pixels, and 2 more columns for each further window, are
    // within the image since the output pixels are; `packed` has a row for the bias and for each
    // tap.
    unsafe {
        let mut weights = packed.as_ptr();
        let mut sums = [[load::<V, VECTORS>(weights); WINDOW]; WINDOWS];
        let start = work.input.as_ptr().add(input);
        for y in 0..SIDE {
            let upper = start.add(y * row);
            for tap in 0..taps {
                weights = weights.add(VECTORS * V::COUNT);
                let weight = load::<V, VECTORS>(weights);
                for (window, sums) in sums.iter_mut().enumerate() {
                    let corner = upper.add(tap + 2 * window * pixel);
                    let values =
                        [corner, corner.add(pixel), corner.add(row), corner.add(row + pixel)];
                    for (sums, value) in sums.iter_mut().zip(values) {
                        let value = V::splat(*value);
                        for (sum, weight) in sums.iter_mut().zip(weight) {
                            *sum = value.mul_add(weight, *sum);
                        }
                    }
                }
            }
        }
        for (window, [a, b, c, d]) in sums.into_iter().enumerate() {
            for v in 0..VECTORS {
                let (largest, choice) = (a[v], V::no_choice());
                let (largest, choice) = largest.larger(choice, b[v], 1);
                let (largest, choice) = largest.larger(choice, c[v], 2);
                let (largest, choice) = largest.larger(choice, d[v], 3);
                let largest = if work.sizes.relu { largest.relu() } else { largest };
                let at = output + window * work.sizes.outputs + v * V::COUNT;
                let count = V::COUNT.min(work.sizes.outputs - first - v * V::COUNT);
                let (to, numbers) = (work.output.as_mut_ptr().add(at), V::numbers(choice));
                if count == V::COUNT {
                    largest.store(to);
                } else {
                    largest.store_masked(to, V::first(count));
                }
                std::ptr::copy_nonoverlapping(
                    numbers.as_ptr(),
                    work.choice.as_mut_ptr().add(at),
                    count,
                );
            }
        }
    }
}

/// Loads adjacent vectors.
///
/// # Safety
/// As [`windows`]; the floats are there.
#[inline(always)]
unsafe fn load<V: Lanes, const VECTORS: usize>(from: *const f32) -> [V; VECTORS] {
    // SAFETY: as that of this function. A closure might not be inlined.
    unsafe {
        let mut all = [V::splat(0.0); VECTORS];
        for (v, vector) in all.iter_mut().enumerate() {
            *vector = V::load(from.add(v * V::COUNT));
        }
        all
    }
}
