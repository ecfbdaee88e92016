//! One interface for all that differs between devices: the operations that take the time, and their
//! gradients. Our own kernels do them on the CPU, torch's operations on a GPU.
//!
//! Everything has a leading dimension of K lanes: independent trials that are computed together.
//! Nothing passes from lane to lane, not even NaN.

pub(crate) mod convolution;
pub(crate) mod kernels;
#[cfg(test)]
mod kernels_tests;
#[cfg(test)]
mod kernels_timings;

use std::fmt;

use tch::{Device, Kind, Reduction, Tensor, no_grad_guard};

pub use self::kernels::Kernels;
use crate::{
    layers::{BatchNorm, NormMode},
    noise::At,
};

/// Number of images of all lanes that torch tests at once: the columns of the second convolution
/// then take a gigabyte.
const TEST_IMAGES: usize = 8192;

/// Number of images and samples of all lanes that are assembled at once on a GPU: 200 MB of 28 x 28
/// pixels.
const TRAINING_IMAGES: usize = 65_536;

/// The operations of one kind of device: those of torch, unless it has its own.
pub trait Compute: fmt::Debug + Sync {
    /// Whether the kernels' convolution with pooling replaces the single operations.
    fn has_conv_pool(&self) -> bool {
        false
    }

    /// A fully connected layer. x: `[K, N, inputs]`, weight: `[K, outputs, inputs]`, bias:
    /// `[K, outputs]` -> `[K, N, outputs]`.
    fn linear(&self, x: &Tensor, weight: &Tensor, bias: &Tensor) -> Tensor {
        convolution::linear(x, weight, bias)
    }

    /// The product of a and b. a: `[K, rows, depth]`, b: `[K, depth, columns]` ->
    /// `[K, rows, columns]`.
    fn product(&self, a: &Tensor, b: &Tensor) -> Tensor {
        a.bmm(b)
    }

    /// The product of a^T and b. a: `[K, depth, rows]`, b: `[K, depth, columns]` ->
    /// `[K, rows, columns]`.
    fn transposed_product(&self, a: &Tensor, b: &Tensor) -> Tensor {
        a.transpose(1, 2).bmm(b)
    }

    /// Batch norm, which moves its running statistics in [`NormMode::Train`]. x:
    /// `[K, rows, channels]`.
    fn batch_norm(&self, norm: &BatchNorm, x: &Tensor, mode: NormMode) -> Normed {
        // [K, channels]
        let mean_of = |x: &Tensor| x.mean_dim([1_i64].as_slice(), false, Kind::Float);
        let (centred, variance) = match mode {
            NormMode::Eval => {
                (x - norm.running_mean.unsqueeze(1), norm.running_var.shallow_clone())
            }
            NormMode::Train | NormMode::TrainNoUpdate => {
                let mean = mean_of(x);
                let centred = x - mean.unsqueeze(1);
                let variance = mean_of(&centred.square());
                if mode == NormMode::Train {
                    norm.move_running(&mean, &variance, x.size()[1]);
                }
                (centred, variance)
            }
        };
        let inverse_deviation = (variance + BatchNorm::EPSILON).rsqrt(); // [K, channels]
        let normalised = centred * inverse_deviation.unsqueeze(1);
        let output = norm.shift.unsqueeze(1).addcmul(&normalised, &norm.scale.unsqueeze(1));
        Normed { output, normalised, inverse_deviation, mode }
    }

    /// Gradients of scale, shift and x from that of the output.
    fn batch_norm_gradients(
        &self,
        norm: &BatchNorm,
        normed: &Normed,
        of_output: &Tensor,
    ) -> [Tensor; 3] {
        // [K, channels]
        let sum = |x: &Tensor| x.sum_dim_intlist([1_i64].as_slice(), false, Kind::Float);
        let (of_scale, of_shift) = (sum(&(of_output * &normed.normalised)), sum(of_output));
        let factor = (&norm.scale * &normed.inverse_deviation).unsqueeze(1); // [K, 1, channels]
        let of_input = match normed.mode {
            NormMode::Eval => of_output * factor,
            NormMode::Train | NormMode::TrainNoUpdate => {
                let share = 1.0 / of_output.size()[1] as f64;
                let (scale, shift) = (of_scale.unsqueeze(1) * share, of_shift.unsqueeze(1) * share);
                (of_output - shift - &normed.normalised * scale) * factor
            }
        };
        [of_scale, of_shift, of_input]
    }

    /// Cross-entropy of pixels x in 0..1 and their logits, summed over each lane, `[K]`; and its
    /// gradient by the logits, times `share`. x, logits: `[K, N, pixels]`.
    fn cross_entropy(&self, logits: &Tensor, x: &Tensor, share: f64) -> (Tensor, Tensor) {
        // The sigmoid is part of the cross-entropy: the same value, computed more exactly.
        let losses =
            logits.binary_cross_entropy_with_logits::<&Tensor>(x, None, None, Reduction::None);
        let sum = losses.sum_dim_intlist([1_i64, 2].as_slice(), false, Kind::Float);
        (sum, logits.sigmoid().g_sub_(x).g_mul_scalar_(share))
    }

    /// A step of SGD, which changes w and u: u = momentum * u + learning_rate * gradient + decay *
    /// w; w -= u.
    fn sgd(&self, rates: &SgdRates, changed: [&mut Tensor; 2], gradient: &Tensor) {
        let _guard = no_grad_guard();
        let [parameter, velocity] = changed;
        let along = parameter.dim();
        let _ = velocity
            .g_mul_(&rates.momentum.along(along))
            .addcmul_(gradient, &rates.learning_rate.along(along));
        if rates.decay.host.iter().any(|decay| *decay > 0.0) {
            let _ = velocity.addcmul_(parameter, &rates.decay.along(along));
        }
        let _ = parameter.g_sub_(velocity);
    }

    /// A step of Adam, which changes w, m and v: m = beta1 * m + gradient; v = beta2 * v +
    /// gradient^2; w -= rate * m / (sqrt(v) + epsilon).
    fn adam(&self, rates: &AdamRates, changed: [&mut Tensor; 3], gradient: &Tensor) {
        let _guard = no_grad_guard();
        let [parameter, momentum, square] = changed;
        let _ = momentum.g_mul_scalar_(rates.beta1).g_add_(gradient);
        let _ = square.g_mul_scalar_(rates.beta2).addcmul_(gradient, gradient);
        let denominator = square.sqrt().g_add_scalar_(rates.epsilon);
        let step = (&*momentum / denominator).g_mul_(&rates.rate.along(parameter.dim()));
        let _ = parameter.g_sub_(&step);
    }

    /// Number of test images that each of `lanes` lanes passes through a classifier at once.
    fn images_at_once(&self, lanes: usize) -> usize {
        (TEST_IMAGES / lanes).max(1)
    }

    /// Number of training images and samples that are assembled at once for each of `lanes` lanes.
    fn inputs_at_once(&self, lanes: usize) -> usize {
        (TRAINING_IMAGES / lanes).max(1)
    }

    /// Where random numbers for tensors on that device are computed.
    fn noise(&self, device: Device) -> At {
        At::Torch(device)
    }
}

/// The operations by torch, for GPUs, and on any device for comparison.
#[derive(Debug)]
pub struct Torch;

impl Compute for Torch {}

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

/// Adds a gradient to the sum of those before it.
pub(crate) fn add(sum: &mut Option<Tensor>, gradient: Tensor) {
    *sum = Some(match sum.take() {
        Some(sum) => sum + gradient,
        None => gradient,
    });
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
