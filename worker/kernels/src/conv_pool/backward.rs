//! The backward pass. One of the four pixels that compete for a maximum has a gradient, which saves
//! three quarters of the multiplications. Lanes run along the rows of filters and images, which are
//! contiguous in memory.

#![allow(unsafe_code, reason = "see lanes")]

use super::{ConvPool, Gradients, Passed, SIDE};
use crate::{lanes::Lanes, level::vectorised};

/// Most vectors of a row that are summed at once.
const MOST_VECTORS: usize = 8;

/// See [`ConvPool::backward`].
pub(super) struct Backward<'a> {
    pub(super) sizes: ConvPool,
    pub(super) from: Passed<'a>,
    pub(super) gradient: &'a [f32],
    pub(super) to: Gradients<'a>,
}

/// A factor, and the start of the row that it multiplies.
#[derive(Debug, Clone, Copy, Default)]
struct Term {
    factor: f32,
    start: u32,
}

/// The gradient of one image's output, in the two orders in which it is summed, without zeros.
struct Terms {
    /// The gradient of ReLU's input, `[P, Q, O]`.
    gradient: Vec<f32>,
    /// Terms of each channel, with room for all pixels: where in the image the filter met it.
    of_channels: Vec<Term>,
    /// Number of terms of each channel.
    channels: Vec<usize>,
    /// Sum of each channel.
    bias: Vec<f64>,
    /// Terms of each pixel and choice, with room for all channels: where the filter starts.
    of_places: Vec<Term>,
    /// Number of terms of each pixel: 16 bits for each choice, so that all four stay in a register.
    places: Vec<u64>,
}

impl Backward<'_> {
    /// Sorts the gradient of an image's output.
    #[inline(always)]
    fn sort(&mut self, image: usize, terms: &mut Terms) {
        let ConvPool { outputs, inputs, relu, .. } = self.sizes;
        let (places, (_, columns), row) =
            (self.sizes.places(), self.sizes.pooled(), self.sizes.row());
        let filter = SIDE * self.sizes.filter_row();
        let all = image * places * outputs..(image + 1) * places * outputs;
        let (gradient, output) = (&self.gradient[all.clone()], &self.from.output[all.clone()]);
        let choice = &self.from.choice[all];
        // Each loop does one thing, so that the compiler vectorises the first two. The others have
        // no branch that depends on the numbers: it would be mispredicted.
        for ((masked, gradient), output) in terms.gradient.iter_mut().zip(gradient).zip(output) {
            *masked = if relu && *output <= 0.0 { 0.0 } else { *gradient };
        }
        terms.bias.fill(0.0);
        for gradient in terms.gradient.chunks_exact(outputs) {
            terms
                .bias
                .iter_mut()
                .zip(gradient)
                .for_each(|(sum, gradient)| *sum += f64::from(*gradient));
        }
        terms.channels.fill(0);
        for (place, (gradient, choice)) in pixels(&terms.gradient, choice, outputs).enumerate() {
            let corner = 2 * (place / columns) * row + 2 * (place % columns) * inputs;
            let starts = [0, inputs, row, row + inputs].map(|offset| (corner + offset) as u32);
            let of_channels = terms.of_channels.chunks_exact_mut(places).zip(&mut terms.channels);
            for ((&factor, choice), (of_channel, count)) in
                gradient.iter().zip(choice).zip(of_channels)
            {
                of_channel[*count] = Term { factor, start: starts[usize::from(choice & 3)] };
                *count += usize::from(factor != 0.0);
            }
        }
        if self.to.input.is_none() {
            return;
        }
        let of_places = terms.of_places.chunks_exact_mut(4 * outputs).zip(&mut terms.places);
        for ((gradient, choice), (of_place, counts)) in
            pixels(&terms.gradient, choice, outputs).zip(of_places)
        {
            *counts = 0;
            for (channel, (&factor, choice)) in gradient.iter().zip(choice).enumerate() {
                let choice = usize::from(choice & 3);
                of_place[choice * outputs + count_of(*counts, choice)] =
                    Term { factor, start: (channel * filter) as u32 };
                *counts += u64::from(factor != 0.0) << (16 * choice);
            }
        }
    }
}

/// Gradient and choice of each pixel.
#[inline(always)]
fn pixels<'a>(
    gradient: &'a [f32],
    choice: &'a [u8],
    outputs: usize,
) -> impl Iterator<Item = (&'a [f32], &'a [u8])> {
    gradient.chunks_exact(outputs).zip(choice.chunks_exact(outputs))
}

/// One of four counts.
#[inline(always)]
fn count_of(counts: u64, choice: usize) -> usize {
    usize::from((counts >> (16 * choice)) as u16)
}

vectorised! {
    pub(super) fn backward(work: Backward<'_>) {
        let mut work = work;
        let sizes = work.sizes;
        let (outputs, inputs, places) = (sizes.outputs, sizes.inputs, sizes.places());
        let ((_, columns), row, filter_row) = (sizes.pooled(), sizes.row(), sizes.filter_row());
        let image_len = sizes.height * row;
        let mut terms = Terms {
            gradient: vec![0.0; outputs * places],
            of_channels: vec![Term::default(); outputs * places],
            channels: vec![0; outputs],
            bias: vec![0.0; outputs],
            of_places: vec![
                Term::default();
                if work.to.input.is_some() { 4 * outputs * places } else { 0 }
            ],
            places: vec![0; places],
        };
        work.to.filters.fill(0.0);
        work.to.bias.fill(0.0);
        if let Some(input) = &mut work.to.input {
            input.fill(0.0);
        }
        // Short rows of a filter are summed several at once, so that enough sums are in flight.
        let vectors = filter_row.div_ceil(V::COUNT);
        let rows = if vectors == 1 || (V::MANY_REGISTERS && vectors <= 4) { SIDE } else { 1 };
        for image in 0..sizes.images {
            work.sort(image, &mut terms);
            work.to.bias.iter_mut().zip(&terms.bias).for_each(|(sum, term)| *sum += *term as f32);
            let input = &work.from.input[image * image_len..(image + 1) * image_len];
            for channel in 0..outputs {
                let of_channel = &terms.of_channels[channel * places..][..terms.channels[channel]];
                for y in (0..SIDE).step_by(rows) {
                    let to = &mut work.to.filters[(channel * SIDE + y) * filter_row..]
                        [..rows * filter_row];
                    // SAFETY: V is that of the level; where a filter met the image, all its rows
                    // are in it.
                    unsafe {
                        add_rows::<V>(
                            of_channel,
                            input.as_ptr().add(y * row),
                            row,
                            to.as_mut_ptr(),
                            filter_row,
                            rows,
                            filter_row,
                        );
                    }
                }
            }
            let Some(to) = &mut work.to.input else { continue };
            let to = &mut to[image * image_len..(image + 1) * image_len];
            for y in (0..SIDE).step_by(rows) {
                let filters = &work.from.filters[y * filter_row..];
                for place in 0..places {
                    for choice in 0..4 {
                        let count = count_of(terms.places[place], choice);
                        let of_place = &terms.of_places[(4 * place + choice) * outputs..][..count];
                        let corner = (2 * (place / columns) + choice / 2 + y) * row;
                        let to = &mut to[corner + (2 * (place % columns) + choice % 2) * inputs..];
                        // SAFETY: V is that of the level; filters start at multiples of their
                        // size, and where they met the image, all their rows are in it.
                        unsafe {
                            add_rows::<V>(
                                of_place,
                                filters.as_ptr(),
                                filter_row,
                                to.as_mut_ptr(),
                                row,
                                rows,
                                filter_row,
                            );
                        }
                    }
                }
            }
        }
    }
}

/// to[r * to_step + i] += sum of factor * from[start + r * from_step + i] over all terms, for r <
/// rows and i < width. `rows` is 1, or 5 where `width` has at most four vectors.
///
/// # Safety
/// The processor has the instructions of V; all of these indices are within what the pointers point
/// to.
#[inline(always)]
unsafe fn add_rows<V: Lanes>(
    terms: &[Term],
    from: *const f32,
    from_step: usize,
    to: *mut f32,
    to_step: usize,
    rows: usize,
    width: usize,
) {
    if terms.is_empty() {
        return;
    }
    let vectors = width.div_ceil(V::COUNT);
    let steps = (from_step, to_step);
    // SAFETY: as that of this function.
    unsafe {
        match (rows, vectors) {
            (SIDE, 1) => add::<V, SIDE, 1>(terms, from, to, steps, width),
            (SIDE, 2) => add::<V, SIDE, 2>(terms, from, to, steps, width),
            (SIDE, 3) => add::<V, SIDE, 3>(terms, from, to, steps, width),
            (SIDE, 4) => add::<V, SIDE, 4>(terms, from, to, steps, width),
            _ => {
                let parts = vectors.div_ceil(MOST_VECTORS);
                let (mut start, mut left) = (0, vectors);
                for part in 0..parts {
                    let vectors = left.div_ceil(parts - part);
                    left -= vectors;
                    let end = width.min(start + vectors * V::COUNT);
                    let (from, to, width) = (from.add(start), to.add(start), end - start);
                    start = end;
                    match vectors {
                        1 => add::<V, 1, 1>(terms, from, to, steps, width),
                        2 => add::<V, 1, 2>(terms, from, to, steps, width),
                        3 => add::<V, 1, 3>(terms, from, to, steps, width),
                        4 => add::<V, 1, 4>(terms, from, to, steps, width),
                        5 => add::<V, 1, 5>(terms, from, to, steps, width),
                        6 => add::<V, 1, 6>(terms, from, to, steps, width),
                        7 => add::<V, 1, 7>(terms, from, to, steps, width),
                        _ => add::<V, 1, MOST_VECTORS>(terms, from, to, steps, width),
                    }
                }
            }
        }
    }
}

/// [`add_rows`] for ROWS rows of VECTORS vectors, of which the last may be partial.
///
/// # Safety
/// As that of [`add_rows`].
#[inline(always)]
unsafe fn add<V: Lanes, const ROWS: usize, const VECTORS: usize>(
    terms: &[Term],
    from: *const f32,
    to: *mut f32,
    (from_step, to_step): (usize, usize),
    width: usize,
) {
    let last = VECTORS - 1;
    // SAFETY: as that of this function; the mask keeps the last vector within the width.
    unsafe {
        let mask = V::first(width - last * V::COUNT);
        // Sums start at zero, not at what is there: so sums over many images stay exact for longer.
        let mut sums = [[V::splat(0.0); VECTORS]; ROWS];
        for term in terms {
            let factor = V::splat(term.factor);
            let from = from.add(term.start as usize);
            for (row, sums) in sums.iter_mut().enumerate() {
                for (vector, sum) in sums.iter_mut().enumerate() {
                    *sum = factor.mul_add(
                        load(from.add(row * from_step + vector * V::COUNT), vector == last, mask),
                        *sum,
                    );
                }
            }
        }
        for (row, sums) in sums.into_iter().enumerate() {
            for (vector, sum) in sums.into_iter().enumerate() {
                let to = to.add(row * to_step + vector * V::COUNT);
                let sum = V::splat(1.0).mul_add(load(to, vector == last, mask), sum);
                if vector == last { sum.store_masked(to, mask) } else { sum.store(to) }
            }
        }
    }
}

/// # Safety
/// As that of [`add`].
#[inline(always)]
unsafe fn load<V: Lanes>(from: *const f32, partial: bool, mask: V::Mask) -> V {
    // SAFETY: as that of this function. A closure might not be inlined.
    unsafe { if partial { V::load_masked(from, mask) } else { V::load(from) } }
}
