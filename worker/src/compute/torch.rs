//! The operations by torch, for GPUs, and on any device for comparison.

use tch::{Device, Kind, Reduction, Tensor, no_grad_guard};

use super::{
    AdamRates, Compute, ConvPass, LayerGradients, Normed, PoolTrace, Pooled, SgdRates, convolution,
};
use crate::{
    layers::{BatchNorm, Layer, NormMode},
    noise::At,
};

/// The operations by torch.
#[derive(Debug)]
pub struct Torch;

/// Number of images of all lanes that are tested at once: the columns of the second convolution
/// then take a gigabyte.
const TEST_IMAGES: usize = 8192;

/// Number of images and samples of all lanes that are assembled at once: 200 MB of 28 x 28 pixels.
const TRAINING_IMAGES: usize = 65_536;

impl Compute for Torch {
    fn conv_pool(&self, layer: &Layer, x: &Tensor, relu: bool) -> Pooled {
        let (convolved, columns) = convolution::convolve(layer, x);
        let (pooled, indices) = convolution::pool(&convolved);
        let output = if relu { pooled.relu() } else { pooled };
        Pooled { output, trace: PoolTrace::Columns { columns, convolved, indices } }
    }

    fn conv_pool_gradients(
        &self,
        layer: &Layer,
        pass: &ConvPass,
        of_output: &Tensor,
    ) -> LayerGradients {
        let PoolTrace::Columns { columns, convolved, indices } = &pass.pooled.trace else {
            panic!("the forward pass was computed by the same operations");
        };
        let of_output = match pass.relu {
            true => pass.pooled.output.threshold_backward(of_output, 0.0),
            false => of_output.shallow_clone(),
        };
        let of_convolved = convolution::pool_gradients(convolved, indices, &of_output);
        convolution::convolve_gradients(
            layer,
            &pass.input.size(),
            columns,
            &of_convolved,
            pass.of_input,
        )
    }

    fn linear(&self, x: &Tensor, weight: &Tensor, bias: &Tensor) -> Tensor {
        convolution::linear(x, weight, bias)
    }

    fn product(&self, a: &Tensor, b: &Tensor) -> Tensor {
        a.bmm(b)
    }

    fn transposed_product(&self, a: &Tensor, b: &Tensor) -> Tensor {
        a.transpose(1, 2).bmm(b)
    }

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

    fn cross_entropy(&self, logits: &Tensor, x: &Tensor, share: f64) -> (Tensor, Tensor) {
        // The sigmoid is part of the cross-entropy: the same value, computed more exactly.
        let losses =
            logits.binary_cross_entropy_with_logits::<&Tensor>(x, None, None, Reduction::None);
        let sum = losses.sum_dim_intlist([1_i64, 2].as_slice(), false, Kind::Float);
        (sum, logits.sigmoid().g_sub_(x).g_mul_scalar_(share))
    }

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

    fn adam(&self, rates: &AdamRates, changed: [&mut Tensor; 3], gradient: &Tensor) {
        let _guard = no_grad_guard();
        let [parameter, momentum, square] = changed;
        let _ = momentum.g_mul_scalar_(rates.beta1).g_add_(gradient);
        let _ = square.g_mul_scalar_(rates.beta2).addcmul_(gradient, gradient);
        let denominator = square.sqrt().g_add_scalar_(rates.epsilon);
        let step = (&*momentum / denominator).g_mul_(&rates.rate.along(parameter.dim()));
        let _ = parameter.g_sub_(&step);
    }

    fn images_at_once(&self, lanes: usize) -> usize {
        (TEST_IMAGES / lanes).max(1)
    }

    fn inputs_at_once(&self, lanes: usize) -> usize {
        (TRAINING_IMAGES / lanes).max(1)
    }

    fn noise(&self, device: Device) -> At {
        At::Torch(device)
    }
}
