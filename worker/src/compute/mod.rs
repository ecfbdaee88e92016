//! What differs between devices, behind one interface: the operations that take the time, and their gradients. Kernels of
//! our own do them on the CPU, torch's operations on a GPU; all else is written once.
//!
//! Everything has a leading dimension of K lanes: independent trials that are computed together. Nothing passes from lane
//! to lane, not even what is not a number.

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

/// The operations.
pub trait Compute: fmt::Debug + Sync {
    /// Convolution with 5x5 filters, stride 1, without padding; max-pooling of 2 x 2 pixels, rounded down; ReLU, if
    /// wanted. x: `[K, N, H, W, inputs]` -> `[K, N, P, Q, outputs]`, P = (H - 4) / 2, Q = (W - 4) / 2.
    fn conv_pool(&self, layer: &Layer, x: &Tensor, relu: bool) -> Pooled;

    /// Its gradients from that of its output.
    fn conv_pool_gradients(
        &self,
        layer: &Layer,
        pass: &ConvPass,
        of_output: &Tensor,
    ) -> LayerGradients;

    /// x: `[K, N, inputs]`, weight: `[K, outputs, inputs]`, bias: `[K, outputs]` -> `[K, N, outputs]`.
    fn linear(&self, x: &Tensor, weight: &Tensor, bias: &Tensor) -> Tensor;

    /// a: `[K, rows, depth]`, b: `[K, depth, columns]` -> `[K, rows, columns]`.
    fn product(&self, a: &Tensor, b: &Tensor) -> Tensor;

    /// The product of a^T and b. a: `[K, depth, rows]`, b: `[K, depth, columns]` -> `[K, rows, columns]`.
    fn transposed_product(&self, a: &Tensor, b: &Tensor) -> Tensor;

    /// Batch norm; its running statistics move in [`NormMode::Train`]. x: `[K, rows, channels]`.
    fn batch_norm(&self, norm: &BatchNorm, x: &Tensor, mode: NormMode) -> Normed;

    /// Gradients of scale, shift and x from that of the output.
    fn batch_norm_gradients(
        &self,
        norm: &BatchNorm,
        normed: &Normed,
        of_output: &Tensor,
    ) -> [Tensor; 3];

    /// Cross-entropy of pixels x in 0..1 and their logits, summed over each lane, `[K]`; and its gradient by the logits, times
    /// `share`. Both: `[K, N, pixels]`.
    fn cross_entropy(&self, logits: &Tensor, x: &Tensor, share: f64) -> (Tensor, Tensor);

    /// u = momentum * u + learning_rate * gradient + decay * w; w -= u.
    fn sgd(
        &self,
        rates: &SgdRates,
        parameter: &mut Tensor,
        velocity: &mut Tensor,
        gradient: &Tensor,
    );

    /// m = beta1 * m + gradient; v = beta2 * v + gradient^2; w -= rate * m / (sqrt(v) + epsilon).
    fn adam(
        &self,
        rates: &AdamRates,
        parameter: &mut Tensor,
        momentum: &mut Tensor,
        square: &mut Tensor,
        gradient: &Tensor,
    );

    /// Test images that each of `lanes` lanes passes through a classifier at once.
    fn images_at_once(&self, lanes: usize) -> usize;

    /// Training images and samples that are put together at once for each of `lanes` lanes.
    fn inputs_at_once(&self, lanes: usize) -> usize;

    /// Where random numbers are made, for tensors on that device.
    fn noise(&self, device: Device) -> At;
}

/// A device, and who computes there.
#[derive(Debug, Clone, Copy)]
pub struct Place {
    /// Where tensors lie.
    pub device: Device,
    /// Who computes with them.
    pub compute: &'static dyn Compute,
}

impl From<Device> for Place {
    fn from(device: Device) -> Self {
        let compute: &dyn Compute = if device == Device::Cpu { &Kernels } else { &Torch };
        Self { device, compute }
    }
}

impl Place {
    /// Where random numbers are made.
    pub fn noise(&self) -> At {
        self.compute.noise(self.device)
    }
}

/// What a convolution with pooling gives.
#[derive(Debug)]
pub struct Pooled {
    /// `[K, N, P, Q, outputs]`.
    pub output: Tensor,
    /// What its gradients need.
    pub trace: PoolTrace,
}

/// What the gradients of a convolution with pooling need besides its input and its output.
#[derive(Debug)]
pub enum PoolTrace {
    /// Which of its four pixels each maximum is.
    Choice(Vec<u8>),
    /// Of the single operations.
    Columns {
        /// The convolution's inputs, a row for each pixel of its output: `[K, N * h * w, 25 * inputs]`.
        columns: Tensor,
        /// Its output, `[K, N, h, w, outputs]`.
        convolved: Tensor,
        /// Places of the maxima, `[K * N, outputs, P, Q]`.
        indices: Tensor,
    },
}

/// A pass forward through a convolution with pooling.
#[derive(Debug)]
pub struct ConvPass {
    /// `[K, N, H, W, inputs]`.
    pub input: Tensor,
    /// What it gave.
    pub pooled: Pooled,
    /// Whether ReLU followed.
    pub relu: bool,
    /// Whether somebody wants the gradient of the input.
    pub of_input: bool,
}

/// Gradients of a layer.
#[derive(Debug)]
pub struct LayerGradients {
    /// As the weight.
    pub weight: Tensor,
    /// As the bias.
    pub bias: Tensor,
    /// As the input, if it is wanted.
    pub input: Option<Tensor>,
}

/// What batch norm gives.
#[derive(Debug)]
pub struct Normed {
    /// `[K, rows, channels]`.
    pub output: Tensor,
    /// The output before scale and shift, `[K, rows, channels]`.
    pub normalised: Tensor,
    /// 1 / sqrt(variance + epsilon), `[K, channels]`.
    pub inverse_deviation: Tensor,
    /// How it was normalised.
    pub mode: NormMode,
}

/// The numbers of SGD for each lane, on the host and as tensors of one dimension.
#[derive(Debug)]
pub struct SgdRates {
    /// Learning rates.
    pub learning_rate: Rate,
    /// Momenta.
    pub momentum: Rate,
    /// Learning rates times weight decays.
    pub decay: Rate,
}

/// The numbers of Adam for each lane.
#[derive(Debug)]
pub struct AdamRates {
    /// The factor of the step, `[K]`, with the bias corrections.
    pub rate: Rate,
    /// Of the momenta.
    pub beta1: f64,
    /// Of the squares.
    pub beta2: f64,
    /// Added to the roots of the squares.
    pub epsilon: f64,
}

/// One number for each lane.
#[derive(Debug)]
pub struct Rate {
    /// On the host.
    pub host: Vec<f32>,
    /// `[K]`, on the device.
    pub tensor: Tensor,
}

impl Rate {
    /// These numbers, also on the device.
    pub fn new(host: Vec<f32>, device: Device) -> Self {
        Self { tensor: Tensor::from_slice(&host).to_device(device), host }
    }

    /// Numbers of some steps, with one copy to the device.
    pub fn each(steps: Vec<Vec<f32>>, device: Device) -> Vec<Self> {
        let all =
            Tensor::from_slice(&steps.concat()).view([steps.len() as i64, -1]).to_device(device);
        (0..).zip(steps).map(|(step, host)| Self { tensor: all.get(step), host }).collect()
    }

    /// As a factor of a tensor of so many dimensions.
    fn along(&self, dimensions: usize) -> Tensor {
        let mut size = vec![1; dimensions];
        size[0] = -1;
        self.tensor.view(&size[..])
    }
}
