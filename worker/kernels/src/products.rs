//! Products of matrices for fully connected layers with few rows. Torch's library does not use
//! AVX-512 on every processor that has it.

#![allow(unsafe_code, reason = "see lanes")]

use crate::{lanes::Lanes, level::vectorised};

vectorised! {
    /// y = x w^T + bias. x: `[rows, inputs]`, w: `[outputs, inputs]`, y: `[rows, outputs]`, all row
    /// by row.
    pub fn forward(x: &[f32], w: &[f32], bias: &[f32], y: &mut [f32]) {
        let outputs = bias.len();
        let (inputs, rows) = (w.len() / outputs, y.len() / outputs);
        assert_eq!((w.len(), x.len(), y.len()), (inputs * outputs, inputs * rows, rows * outputs));
        let mut work = Forward { x, w, bias, y, inputs };
        let mut output = 0;
        while output < outputs {
            let mut row = 0;
            let many = output + 4 <= outputs;
            while row < rows {
                // SAFETY: V is that of the level; rows and outputs are there.
                unsafe {
                    match (row + 4 <= rows, many) {
                        (true, true) => work.dots::<V, 4, 4>(row, output),
                        (true, false) => work.dots::<V, 4, 1>(row, output),
                        (false, true) => work.dots::<V, 1, 4>(row, output),
                        (false, false) => work.dots::<V, 1, 1>(row, output),
                    }
                }
                row += if row + 4 <= rows { 4 } else { 1 };
            }
            output += if many { 4 } else { 1 };
        }
    }
}

struct Forward<'a> {
    x: &'a [f32],
    w: &'a [f32],
    bias: &'a [f32],
    y: &'a mut [f32],
    inputs: usize,
}

impl Forward<'_> {
    /// Computes ROWS times OUTPUTS values of y. Lanes run along the inputs.
    ///
    /// # Safety
    /// The processor has the instructions of V; rows and outputs are there.
    #[inline(always)]
    unsafe fn dots<V: Lanes, const ROWS: usize, const OUTPUTS: usize>(
        &mut self,
        row: usize,
        output: usize,
    ) {
        let inputs = self.inputs;
        // SAFETY: as that of this function; the mask keeps the last vector within the inputs.
        unsafe {
            let (x, w) = (self.x.as_ptr().add(row * inputs), self.w.as_ptr().add(output * inputs));
            let mut sums = [[V::splat(0.0); OUTPUTS]; ROWS];
            let whole = inputs / V::COUNT * V::COUNT;
            let mut at = 0;
            while at < whole {
                let mut weights = [V::splat(0.0); OUTPUTS];
                for (o, weight) in weights.iter_mut().enumerate() {
                    *weight = V::load(w.add(o * inputs + at));
                }
                for (r, sums) in sums.iter_mut().enumerate() {
                    let value = V::load(x.add(r * inputs + at));
                    for (sum, weight) in sums.iter_mut().zip(weights) {
                        *sum = value.mul_add(weight, *sum);
                    }
                }
                at += V::COUNT;
            }
            if whole < inputs {
                let mask = V::first(inputs - whole);
                for (r, sums) in sums.iter_mut().enumerate() {
                    let value = V::load_masked(x.add(r * inputs + at), mask);
                    for (o, sum) in sums.iter_mut().enumerate() {
                        *sum = value.mul_add(V::load_masked(w.add(o * inputs + at), mask), *sum);
                    }
                }
            }
            for (r, sums) in sums.into_iter().enumerate() {
                for (o, sum) in sums.into_iter().enumerate() {
                    self.y[(row + r) * self.bias.len() + output + o] =
                        self.bias[output + o] + sum.sum();
                }
            }
        }
    }
}

vectorised! {
    /// a b, or a^T b if a is `transposed`. a: `[rows, depth]` or `[depth, rows]`, b:
    /// `[depth, columns]` -> `[rows, columns]`.
    pub fn product(a: &[f32], transposed: bool, b: &[f32], rows: usize, to: &mut [f32]) {
        let (depth, columns) = (a.len() / rows, to.len() / rows);
        assert_eq!((a.len(), b.len(), to.len()), (rows * depth, depth * columns, rows * columns));
        let steps = if transposed { (1, rows) } else { (depth, 1) };
        let mut work = Product { a, steps, b, to, depth, columns };
        let mut column = 0;
        while column < columns {
            let width = (2 * V::COUNT).min(columns - column);
            let mut row = 0;
            while row < rows {
                let left = rows - row;
                // SAFETY: V is that of the level; rows and columns are there.
                row += unsafe {
                    match (left, width > V::COUNT) {
                        (8.., true) if V::MANY_REGISTERS => {
                            work.block::<V, 8, 2>(row, column, width)
                        }
                        (4.., true) => work.block::<V, 4, 2>(row, column, width),
                        (_, true) => work.block::<V, 1, 2>(row, column, width),
                        (8.., false) => work.block::<V, 8, 1>(row, column, width),
                        (_, false) => work.block::<V, 1, 1>(row, column, width),
                    }
                };
            }
            column += width;
        }
    }
}

struct Product<'a> {
    a: &'a [f32],
    /// Distance from one row of a to the next, and from one column to the next.
    steps: (usize, usize),
    b: &'a [f32],
    to: &'a mut [f32],
    depth: usize,
    columns: usize,
}

impl Product<'_> {
    /// Computes ROWS rows of VECTORS vectors of the result, the last of them perhaps partial, and
    /// returns ROWS. Lanes run along the columns.
    ///
    /// # Safety
    /// The processor has the instructions of V; rows and columns are there; `width` ends in the
    /// last vector.
    #[inline(always)]
    unsafe fn block<V: Lanes, const ROWS: usize, const VECTORS: usize>(
        &mut self,
        row: usize,
        column: usize,
        width: usize,
    ) -> usize {
        let last = VECTORS - 1;
        // SAFETY: as that of this function; the mask keeps the last vector within the width.
        unsafe {
            let mask = V::first(width - last * V::COUNT);
            let mut sums = [[V::splat(0.0); VECTORS]; ROWS];
            for p in 0..self.depth {
                let b = self.b.as_ptr().add(p * self.columns + column);
                let a = self.a.as_ptr().add(row * self.steps.0 + p * self.steps.1);
                let mut values = [V::splat(0.0); VECTORS];
                for (v, value) in values.iter_mut().enumerate() {
                    let b = b.add(v * V::COUNT);
                    *value = if v == last { V::load_masked(b, mask) } else { V::load(b) };
                }
                for (r, sums) in sums.iter_mut().enumerate() {
                    let factor = V::splat(*a.add(r * self.steps.0));
                    for (sum, value) in sums.iter_mut().zip(values) {
                        *sum = factor.mul_add(value, *sum);
                    }
                }
            }
            for (r, sums) in sums.into_iter().enumerate() {
                let to = self.to.as_mut_ptr().add((row + r) * self.columns + column);
                for (v, sum) in sums.into_iter().enumerate() {
                    let to = to.add(v * V::COUNT);
                    if v == last { sum.store_masked(to, mask) } else { sum.store(to) }
                }
            }
        }
        ROWS
    }
}
