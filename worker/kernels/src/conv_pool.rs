//! Convolution with 5x5 filters, without padding; bias; max-pooling of 2x2 pixels; and ReLU, if
//! wanted. As one operation, they never write the convolution's result, the network's largest
//! tensor, to memory.
//!
//! All images have the channels last. Ties, zeros of ReLU and NaN are treated as torch treats them.

mod backward;
mod forward;

use self::{
    backward::{Backward, backward},
    forward::{Forward, forward},
};
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
    /// Height and width of an output image, P and Q. Odd last rows and columns of the convolution
    /// are dropped.
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

    /// Values in a row of a filter. They are contiguous in memory, as are the pixels that they
    /// meet.
    pub(super) fn filter_row(&self) -> usize {
        SIDE * self.inputs
    }

    /// Computes the output, `[N, P, Q, O]`, from input `[N, H, W, I]`, filters `[O, 5, 5, I]` and
    /// bias `[O]`. `choice`, of the output's size, gets the pixel that each maximum is, 2 * row +
    /// column. [`Self::backward`] needs it.
    ///
    /// # Panics
    /// If a slice does not have its size.
    pub fn forward(
        &self,
        level: Level,
        input: &[f32],
        filters: &[f32],
        bias: &[f32],
        output: &mut [f32],
        choice: &mut [u8],
    ) {
        let lens = [input.len(), output.len(), choice.len(), filters.len(), bias.len()];
        let (of_output, of_filters) = (self.output_len(), self.filters_len());
        assert_eq!(lens, [self.input_len(), of_output, of_output, of_filters, self.outputs]);
        forward(level, Forward { sizes: *self, input, filters, bias, output, choice });
    }

    /// Computes the gradients of filters and bias, and of the input if wanted, from that of the
    /// output.
    ///
    /// # Panics
    /// If a slice does not have its size, an image 2^32 values, or the output 2^16 channels.
    pub fn backward(&self, level: Level, from: Passed<'_>, gradient: &[f32], to: Gradients<'_>) {
        let (of_output, of_filters) = (self.output_len(), self.filters_len());
        let lens = [from.input.len(), from.output.len(), from.choice.len(), gradient.len()];
        assert_eq!(lens, [self.input_len(), of_output, of_output, of_output]);
        let lens = [from.filters.len(), to.filters.len(), to.bias.len()];
        assert_eq!(lens, [of_filters, of_filters, self.outputs]);
        assert!(to.input.as_ref().is_none_or(|input| input.len() == self.input_len()));
        let largest = of_filters.max(self.height * self.row());
        assert!(u32::try_from(largest).is_ok() && self.outputs <= usize::from(u16::MAX));
        backward(level, Backward { sizes: *self, from, gradient, to });
    }
}

/// Inputs and results of a forward pass.
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

/// Where gradients are written. Earlier values are overwritten.
#[derive(Debug)]
pub struct Gradients<'a> {
    /// `[O, 5, 5, I]`.
    pub filters: &'a mut [f32],
    /// `[O]`.
    pub bias: &'a mut [f32],
    /// `[N, H, W, I]`, if wanted.
    pub input: Option<&'a mut [f32]>,
}
