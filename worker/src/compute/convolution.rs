//! Convolutions and max-pooling by torch's operations, on any device.
//!
//! A convolution is a product of matrices for each lane. Its inputs are laid out, a row for each
//! pixel of the output. All lanes are one batched product, forward and backward, because grouped
//! convolutions have no fast gradients.

use tch::{Kind, Tensor};

use super::LayerGradients;
use crate::layers::Layer;

/// Convolution with stride 1, without padding, by filters `[K, outputs, side, side, inputs]`. x:
/// `[K, N, H, W, inputs]` -> `[K, N, h, w, outputs]`; and for the gradients its inputs, a row for
/// each pixel of the output, `[K, N * h * w, side * side * inputs]`.
pub(crate) fn convolve(layer: &Layer, x: &Tensor) -> (Tensor, Tensor) {
    let (k, n, height, width, inputs) = x.size5().expect("convolutions get images");
    let (outputs, side) = (layer.weight.size()[1], layer.weight.size()[2]);
    let (h, w) = (height - side + 1, width - side + 1);
    let windows = x.unfold(2, side, 1).unfold(3, side, 1); // [K, N, h, w, inputs, side, side]
    let columns =
        windows.permute([0, 1, 2, 3, 5, 6, 4]).reshape([k, n * h * w, side * side * inputs]);
    let weight = layer.weight.view([k, outputs, -1]);
    (linear(&columns, &weight, &layer.bias).view([k, n, h, w, outputs]), columns)
}

/// Gradients of [`convolve`] from that of its output. `size` is that of x.
pub(crate) fn convolve_gradients(
    layer: &Layer,
    size: &[i64],
    columns: &Tensor,
    of_output: &Tensor,
    of_input: bool,
) -> LayerGradients {
    let &[k, n, height, width, inputs] = size else { panic!("convolutions get images") };
    let (outputs, side) = (layer.weight.size()[1], layer.weight.size()[2]);
    let (h, w) = (height - side + 1, width - side + 1);
    let of_output = of_output.reshape([k, n * h * w, outputs]);
    let weight = of_output.transpose(1, 2).bmm(columns).view_as(&layer.weight);
    let bias = of_output.sum_dim_intlist([1_i64].as_slice(), false, Kind::Float);
    let input = of_input.then(|| {
        // Each pixel of the output contributes to side x side pixels of the input: the way back
        // from the windows, in two operations. With an addition for each of the 25 pixels of a 5x5
        // filter it would take a hundred calls, and a GPU waits for calls.
        let of_columns = of_output.bmm(&layer.weight.view([k, outputs, -1]));
        let of_windows =
            of_columns.view(&[k, n, h, w, side, side, inputs][..]).permute([0, 1, 2, 3, 6, 4, 5]);
        let of_rows =
            Tensor::unfold_backward(&of_windows, [k, n, h, width, inputs, side], 3, side, 1);
        Tensor::unfold_backward(&of_rows, [k, n, height, width, inputs], 2, side, 1)
    });
    LayerGradients { weight, bias, input }
}

/// Max-pooling of 2 x 2 pixels, rounded down. x: `[K, N, H, W, C]` -> `[K, N, P, Q, C]`; and the
/// indices of the maxima, `[K * N, C, P, Q]`.
pub(crate) fn pool(x: &Tensor) -> (Tensor, Tensor) {
    let (k, n, height, width, channels) = x.size5().expect("pooling gets images");
    let (pooled, indices) =
        channels_first(x).max_pool2d_with_indices([2, 2], [2, 2], [0, 0], [1, 1], false);
    let pooled =
        pooled.permute([0, 2, 3, 1]).contiguous().view([k, n, height / 2, width / 2, channels]);
    (pooled, indices)
}

/// Gradient of [`pool`] from that of its output.
pub(crate) fn pool_gradients(x: &Tensor, indices: &Tensor, of_output: &Tensor) -> Tensor {
    let of_output = channels_first(of_output);
    let of_x = channels_first(x).max_pool2d_with_indices_backward(
        &of_output,
        [2, 2],
        [2, 2],
        [0, 0],
        [1, 1],
        false,
        indices,
    );
    of_x.permute([0, 2, 3, 1]).reshape(x.size())
}

/// `[K, N, H, W, C]` -> `[K * N, C, H, W]`.
fn channels_first(x: &Tensor) -> Tensor {
    x.flatten(0, 1).permute([0, 3, 1, 2])
}

/// x: `[K, N, inputs]`, weight: `[K, outputs, inputs]`, bias: `[K, outputs]` -> `[K, N, outputs]`.
pub(super) fn linear(x: &Tensor, weight: &Tensor, bias: &Tensor) -> Tensor {
    bias.unsqueeze(1).baddbmm(x, &weight.transpose(1, 2), 1, 1)
}
