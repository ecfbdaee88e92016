//! Convolution with 5x5 filters, without padding; bias; max-pooling of 2x2 pixels; and ReLU, if wanted: as one operation,
//! so that the result of the convolution, the largest tensor of the network, is never written to memory.
//!
//! All images have the channels last. Ties, zeros of ReLU and what is not a number are treated as torch treats them.

mod backward;
mod forward;

use self::{backward::Backward, forward::Forward};
use crate::level::Level;

/// Side of the filters.
pub(super) const SIDE: usize = 5;

/// Sizes of one such operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConvPool {
    /// N.
    pub images: usize,
    /// Rows of an input image, H.
    pub height: usize,
    /// Columns of an input image, W.
    pub width: usize,
    /// Channels of an input image, I.
    pub inputs: usize,
    /// Channels of an output image, O.
    pub outputs: usize,
    /// Whether ReLU follows.
    pub relu: bool,
}

impl ConvPool {
    /// Height and width of an output image, P and Q: odd last rows and columns of the convolution are dropped.
    pub fn pooled(&self) -> (usize, usize) {
        ((self.height + 1 - SIDE) / 2, (self.width + 1 - SIDE) / 2)
    }

    /// Values in all output images.
    pub fn output_len(&self) -> usize {
        self.images * self.places() * self.outputs
    }

    /// Values in all input images.
    pub fn input_len(&self) -> usize {
        self.images * self.height * self.row()
    }

    /// Values in all filters.
    pub fn filters_len(&self) -> usize {
        self.outputs * SIDE * self.filter_row()
    }

    /// Pixels of an output image.
    pub(super) fn places(&self) -> usize {
        let (rows, columns) = self.pooled();
        rows * columns
    }

    /// Values in a row of an input image.
    pub(super) fn row(&self) -> usize {
        self.width * self.inputs
    }

    /// Values in a row of a filter: in memory they lie side by side, as do the values of an image that they meet.
    pub(super) fn filter_row(&self) -> usize {
        SIDE * self.inputs
    }

    /// input: `[N, H, W, I]`, filters: `[O, 5, 5, I]`, bias: `[O]` -> output: `[N, P, Q, O]`, and `choice`, of the same
    /// size: which of its four pixels each maximum is, 2 * row + column, which [`Self::backward`] needs.
    pub fn forward(
        &self,
        input: &[f32],
        filters: &[f32],
        bias: &[f32],
        output: &mut [f32],
        choice: &mut [u8],
    ) {
        self.forward_at(Level::best(), input, filters, bias, output, choice);
    }

    /// The same with these instructions.
    pub fn forward_at(
        &self,
        level: Level,
        input: &[f32],
        filters: &[f32],
        bias: &[f32],
        output: &mut [f32],
        choice: &mut [u8],
    ) {
        level.run(Forward::new(*self, input, filters, bias, output, choice));
    }

    /// Gradients of filters and bias, and of the input, if wanted, from that of the output.
    pub fn backward(&self, from: Passed<'_>, gradient: &[f32], to: Gradients<'_>) {
        self.backward_at(Level::best(), from, gradient, to);
    }

    /// The same with these instructions.
    pub fn backward_at(&self, level: Level, from: Passed<'_>, gradient: &[f32], to: Gradients<'_>) {
        level.run(Backward::new(*self, from, gradient, to));
    }
}

/// What a pass forward was given, and gave.
#[derive(Debug, Clone, Copy)]
pub struct Passed<'a> {
    /// `[N, H, W, I]`.
    pub input: &'a [f32],
    /// `[O, 5, 5, I]`.
    pub filters: &'a [f32],
    /// `[N, P, Q, O]`.
    pub output: &'a [f32],
    /// `[N, P, Q, O]`.
    pub choice: &'a [u8],
}

/// Where gradients go; whatever was there is overwritten.
#[derive(Debug)]
pub struct Gradients<'a> {
    /// `[O, 5, 5, I]`.
    pub filters: &'a mut [f32],
    /// `[O]`.
    pub bias: &'a mut [f32],
    /// `[N, H, W, I]`, if wanted.
    pub input: Option<&'a mut [f32]>,
}
