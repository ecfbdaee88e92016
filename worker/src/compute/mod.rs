//! One interface for all that differs between devices: the operations that take the time, and their
//! gradients. Our own kernels do them on the CPU, torch's operations on a GPU.
//!
//! Everything has a leading dimension of K lanes: independent trials that are computed together.
//! Nothing passes from lane to lane, not even NaN.

pub(crate) mod convolution;
mod kernels;
#[cfg(test)]
mod kernels_tests;
#[cfg(test)]
mod kernels_timings;
mod torch;

use std::fmt;

use tch::{Device, Tensor};

use crate::{
    layers::{BatchNorm, Layer, NormMode},
    noise::At,
};
pub use {kernels::Kernels, torch::Torch};

/// Side of the filters of [`Compute::conv_pool`].
pub(crate) const CONV_POOL_SIDE: i64 = 5;

/// The operations of one kind of device.
pub trait Compute: fmt::Debug + Sync {
    /// Convolution with 5x5 filters, stride 1, without padding; max-pooling of 2 x 2 pixels,
    /// rounded down; ReLU, if wanted. x: `[K, N, H, W, inputs]` -> `[K, N, P, Q, outputs]`, P = (H
    /// - 4) / 2, Q = (W - 4) / 2.
    fn conv_pool(&self, layer: &Layer, x: &Tensor, relu: bool) -> Pooled;

    /// Gradients of [`Self::conv_pool`] from that of its output.
    fn conv_pool_gradients(
        &self,
        layer: &Layer,
        pass: &ConvPass,
        of_output: &Tensor,
    ) -> LayerGradients;

    /// A fully connected layer. x: `[K, N, inputs]`, weight: `[K, outputs, inputs]`, bias:
    /// `[K, outputs]` -> `[K, N, outputs]`.
    fn linear(&self, x: &Tensor, weight: &Tensor, bias: &Tensor) -> Tensor;

    /// The product of a and b. a: `[K, rows, depth]`, b: `[K, depth, columns]` ->
    /// `[K, rows, columns]`.
    fn product(&self, a: &Tensor, b: &Tensor) -> Tensor;

    /// The product of a^T and b. a: `[K, depth, rows]`, b: `[K, depth, columns]` ->
    /// `[K, rows, columns]`.
    fn transposed_product(&self, a: &Tensor, b: &Tensor) -> Tensor;

    /// Batch norm, which moves its running statistics in [`NormMode::Train`]. x:
    /// `[K, rows, channels]`.
    fn batch_norm(&self, norm: &BatchNorm, x: &Tensor, mode: NormMode) -> Normed;

    /// Gradients of scale, shift and x from that of the output.
    fn batch_norm_gradients(
        &self,
        norm: &BatchNorm,
        normed: &Normed,
        of_output: &Tensor,
    ) -> [Tensor; 3];

    /// Cross-entropy of pixels x in 0..1 and their logits, summed over each lane, `[K]`; and its
    /// gradient by the logits, times `share`. x, logits: `[K, N, pixels]`.
    fn cross_entropy(&self, logits: &Tensor, x: &Tensor, share: f64) -> (Tensor, Tensor);

    /// A step of SGD, which changes w and u: u = momentum * u + learning_rate * gradient + decay *
    /// w; w -= u.
    fn sgd(&self, rates: &SgdRates, changed: [&mut Tensor; 2], gradient: &Tensor);

    /// A step of Adam, which changes w, m and v: m = beta1 * m + gradient; v = beta2 * v +
    /// gradient^2; w -= rate * m / (sqrt(v) + epsilon).
    fn adam(&self, rates: &AdamRates, changed: [&mut Tensor; 3], gradient: &Tensor);

    /// Number of test images that each of `lanes` lanes passes through a classifier at once.
    fn images_at_once(&self, lanes: usize) -> usize;

    /// Number of training images and samples that are assembled at once for each of `lanes` lanes.
    fn inputs_at_once(&self, lanes: usize) -> usize;

    /// Where random numbers for tensors on that device are computed.
    fn noise(&self, device: Device) -> At;
}

/// A device, and the operations that compute there.
#[derive(Debug, Clone, Copy)]
pub struct Backend {
    /// The device of all tensors.
    pub device: Device,
    /// The operations.
    pub compute: &'static dyn Compute,
}

impl From<Device> for Backend {
    fn from(device: Device) -> Self {
        let compute: &dyn Compute = if device == Device::Cpu { &Kernels } else { &Torch };
        Self { device, compute }
    }
}

impl Backend {
    /// Where random numbers are computed.
    pub fn noise(&self) -> At {
        self.compute.noise(self.device)
    }
}

/// Result of a convolution with pooling.
#[derive(Debug)]
pub struct Pooled {
    /// `[K, N, P, Q, outputs]`.
    pub output: Tensor,
    /// Memory for the gradients.
    pub trace: PoolTrace,
}

/// Memory of a convolution with pooling for its gradients, besides input and output.
#[derive(Debug)]
pub enum PoolTrace {
    /// The kernels': which of its four pixels each maximum is.
    Choice(Vec<u8>),
    /// Torch's, of the single operations.
    Columns {
        /// The convolution's inputs, a row per pixel of its output: `[K, N * h * w, 25 * inputs]`.
        columns: Tensor,
        /// The convolution's output, `[K, N, h, w, outputs]`.
        convolved: Tensor,
        /// Indices of the maxima, `[K * N, outputs, P, Q]`.
        indices: Tensor,
    },
}

/// A forward pass through a convolution with pooling.
#[derive(Debug)]
pub struct ConvPass {
    /// `[K, N, H, W, inputs]`.
    pub input: Tensor,
    /// Output, and memory for the gradients.
    pub pooled: Pooled,
    /// Whether ReLU followed.
    pub relu: bool,
    /// Whether the gradient of the input is needed.
    pub of_input: bool,
}

/// Gradients of a layer.
#[derive(Debug)]
pub struct LayerGradients {
    /// Shaped as the weight.
    pub weight: Tensor,
    /// Shaped as the bias.
    pub bias: Tensor,
    /// Shaped as the input, if it is needed.
    pub input: Option<Tensor>,
}

/// Result of batch norm.
#[derive(Debug)]
pub struct Normed {
    /// `[K, rows, channels]`.
    pub output: Tensor,
    /// The output before scale and shift, `[K, rows, channels]`.
    pub normalised: Tensor,
    /// 1 / sqrt(variance + epsilon), `[K, channels]`.
    pub inverse_deviation: Tensor,
    /// The statistics that it used.
    pub mode: NormMode,
}

/// The hyperparameters of SGD for each lane.
#[derive(Debug)]
pub struct SgdRates {
    /// Learning rates.
    pub learning_rate: Rate,
    /// Momenta.
    pub momentum: Rate,
    /// Learning rates times weight decays.
    pub decay: Rate,
}

/// The hyperparameters of Adam.
#[derive(Debug)]
pub struct AdamRates {
    /// Factor of the step, with the bias corrections.
    pub rate: Rate,
    /// Factor of the momenta.
    pub beta1: f64,
    /// Factor of the squares.
    pub beta2: f64,
    /// Added to the roots of the squares.
    pub epsilon: f64,
}

/// A number for each lane.
#[derive(Debug)]
pub struct Rate {
    /// The numbers on the host.
    pub host: Vec<f32>,
    /// The numbers on the device, `[K]`.
    pub tensor: Tensor,
}

impl Rate {
    /// Copies these numbers to the device.
    pub fn new(host: Vec<f32>, device: Device) -> Self {
        Self { tensor: Tensor::from_slice(&host).to_device(device), host }
    }

    /// The numbers of several steps, with one copy to the device.
    pub fn each(steps: Vec<Vec<f32>>, device: Device) -> Vec<Self> {
        let all =
            Tensor::from_slice(&steps.concat()).view([steps.len() as i64, -1]).to_device(device);
        (0..).zip(steps).map(|(step, host)| Self { tensor: all.get(step), host }).collect()
    }

    /// As a factor for a tensor of so many dimensions.
    fn along(&self, dimensions: usize) -> Tensor {
        let mut size = vec![1; dimensions];
        size[0] = -1;
        self.tensor.view(&size[..])
    }
}
