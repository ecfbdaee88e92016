//! The layers that all models share: convolution, fully connected layer and batch norm, as plain tensors with their
//! initialisation.

use swfn_shared::trial::BatchNormScale;
use tch::{Device, Tensor};

use crate::rng::Stream;

/// A name and a tensor: what optimisers, checkpoints and tests see of a model. The tensor shares its storage with the
/// model's.
pub type Named = (&'static str, Tensor);

/// What a model must know of its images. All have one channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InputShape {
    /// Rows of pixels.
    pub height: i64,
    /// Columns of pixels.
    pub width: i64,
    /// Number of classes.
    pub classes: i64,
}

impl InputShape {
    /// Height and width after `conv 5x5, max-pool 2`, twice: 4 x 4 for 28 x 28.
    pub fn after_two_convolutions(&self) -> (i64, i64) {
        let once = |side: i64| (side - 4) / 2;
        (once(once(self.height)), once(once(self.width)))
    }
}

/// Weight and bias of a convolution or of a fully connected layer.
#[derive(Debug)]
pub struct Layer {
    /// `[outputs, inputs]` or `[outputs, inputs, height, width]`.
    pub weight: Tensor,
    /// `[outputs]`.
    pub bias: Tensor,
}

impl Layer {
    /// Weight and bias uniform in +-1/sqrt(fan_in), the default of PyTorch.
    pub fn uniform(stream: &mut Stream, shape: &[i64], device: Device) -> Self {
        let bound = 1.0 / (fan_in(shape) as f32).sqrt();
        let weight = stream.uniform(-bound, bound, count(shape));
        let bias = stream.uniform(-bound, bound, count(&shape[..1]));
        Self { weight: parameter(&weight, shape, device), bias: parameter(&bias, &shape[..1], device) }
    }

    /// Weight ~ N(0, 2 / fan_in) (He et al. 2015), bias 0.
    pub fn he(stream: &mut Stream, shape: &[i64], device: Device) -> Self {
        let deviation = (2.0 / fan_in(shape) as f32).sqrt();
        let weight: Vec<f32> = stream.normal(count(shape)).into_iter().map(|x| x * deviation).collect();
        Self {
            weight: parameter(&weight, shape, device),
            bias: parameter(&vec![0.0; count(&shape[..1])], &shape[..1], device),
        }
    }

    /// x: `[N, inputs]` -> `[N, outputs]`.
    pub fn linear(&self, x: &Tensor) -> Tensor {
        x.linear(&self.weight, Some(&self.bias))
    }

    /// The linear map of this layer after `first`, as one layer, from the inputs of `first` to the outputs of this one.
    pub fn after(&self, first: &Self) -> Self {
        Self { weight: self.weight.matmul(&first.weight), bias: self.weight.mv(&first.bias) + &self.bias }
    }

    /// Convolution with stride 1, without padding. x: `[N, inputs, H, W]` -> `[N, outputs, H - h + 1, W - w + 1]`.
    pub fn conv(&self, x: &Tensor) -> Tensor {
        x.conv2d(&self.weight, Some(&self.bias), [1, 1], [0, 0], [1, 1], 1)
    }
}

/// Images as input of a convolution: `[N, H, W]` -> `[N, 1, H, W]`, the channels last in memory.
pub fn with_channel(images: &Tensor) -> Tensor {
    images.unsqueeze(-1).permute([0, 3, 1, 2])
}

/// Max-pooling of 2 x 2 pixels: `[N, C, H, W]` -> `[N, C, H / 2, W / 2]`, rounded down.
pub fn max_pool(x: &Tensor) -> Tensor {
    x.max_pool2d([2, 2], [2, 2], [0, 0], [1, 1], false)
}

/// Which statistics batch norm normalises with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NormMode {
    /// Those of the input; they move the running statistics.
    Train,
    /// Those of the input; the running statistics stay as they are.
    TrainNoUpdate,
    /// The running statistics.
    Eval,
}

/// Filters of 4 x 4 pixels without a bias, for [`halve`] or [`double`]: weight ~ N(0, 2 / fan_in) (He et al. 2015).
/// `fan_in`: the number of inputs of one output, which `shape` does not tell of transposed convolutions.
pub fn he_filters(stream: &mut Stream, shape: [i64; 4], fan_in: i64, device: Device) -> Tensor {
    let deviation = (2.0 / fan_in as f32).sqrt();
    let weight: Vec<f32> = stream.normal(count(&shape)).into_iter().map(|x| x * deviation).collect();
    parameter(&weight, &shape, device)
}

/// A bias, `[outputs]`, of zeros.
pub fn zero_bias(outputs: i64, device: Device) -> Tensor {
    parameter(&vec![0.0; count(&[outputs])], &[outputs], device)
}

/// Convolution with filters of 4 x 4 pixels, stride 2, padding 1. x: `[N, inputs, H, W]`, weight: `[outputs, inputs, 4,
/// 4]` -> `[N, outputs, H / 2, W / 2]`, rounded down.
pub fn halve(x: &Tensor, weight: &Tensor) -> Tensor {
    x.conv2d::<&Tensor>(weight, None, [2, 2], [1, 1], [1, 1], 1)
}

/// The mirror of [`halve`]: the transposed convolution of the same filters, stride and padding. x: `[N, inputs, H / 2,
/// W / 2]`, rounded down, weight: `[inputs, outputs, 4, 4]` -> `[N, outputs, H, W]`, where `size` is (H, W). Without
/// output padding it gives twice the sides of its input; where H or W is odd, one more row or column.
pub fn double(x: &Tensor, weight: &Tensor, bias: Option<&Tensor>, size: (i64, i64)) -> Tensor {
    x.conv_transpose2d(weight, bias, [2, 2], [1, 1], [size.0 % 2, size.1 % 2], 1, [1, 1])
}

/// Batch norm (Ioffe, Szegedy 2015) with PyTorch's defaults.
#[derive(Debug)]
pub struct BatchNorm {
    /// Gamma, `[channels]`.
    pub scale: Tensor,
    /// Beta, `[channels]`.
    pub shift: Tensor,
    /// Mean of each channel that tests use, `[channels]`.
    pub running_mean: Tensor,
    /// Unbiased variance of each channel that tests use, `[channels]`.
    pub running_var: Tensor,
}

impl BatchNorm {
    /// Share of a new batch in the running statistics.
    const MOMENTUM: f64 = 0.1;
    /// Added to variances.
    const EPSILON: f64 = 1e-5;

    /// Shift 0, running mean 0, running variance 1.
    pub fn new(scale: BatchNormScale, stream: &mut Stream, channels: i64, device: Device) -> Self {
        let scale = match scale {
            BatchNormScale::Uniform => stream.uniform(0.0, 1.0, count(&[channels])),
            BatchNormScale::Ones => vec![1.0; count(&[channels])],
        };
        let kind = (tch::Kind::Float, device);
        Self {
            scale: parameter(&scale, &[channels], device),
            shift: parameter(&vec![0.0; scale.len()], &[channels], device),
            running_mean: Tensor::zeros([channels], kind),
            running_var: Tensor::ones([channels], kind),
        }
    }

    /// x: `[N, channels, ...]`.
    pub fn forward(&self, x: &Tensor, mode: NormMode) -> Tensor {
        let (scale, shift) = (Some(&self.scale), Some(&self.shift));
        let (mean, var) = match mode {
            NormMode::Train | NormMode::Eval => (Some(&self.running_mean), Some(&self.running_var)),
            NormMode::TrainNoUpdate => (None, None),
        };
        x.batch_norm(scale, shift, mean, var, mode != NormMode::Eval, Self::MOMENTUM, Self::EPSILON, true)
    }
}

/// A leaf of the autograd graph with these values. The filters of convolutions lie in memory with the channels last,
/// which makes torch compute them, and all that follows from them, in that order: a third faster on CPUs.
fn parameter(values: &[f32], shape: &[i64], device: Device) -> Tensor {
    let tensor = Tensor::from_slice(values).view(shape);
    let tensor = match shape {
        [_, _, _, _] => tensor.permute([0, 2, 3, 1]).contiguous().permute([0, 3, 1, 2]),
        _ => tensor,
    };
    tensor.to_device(device).set_requires_grad(true)
}

/// Number of inputs of one output.
fn fan_in(shape: &[i64]) -> i64 {
    shape[1..].iter().product()
}

fn count(shape: &[i64]) -> usize {
    usize::try_from(shape.iter().product::<i64>()).expect("sizes are not negative")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Purpose;

    fn values(tensor: &Tensor) -> Vec<f64> {
        Vec::try_from(tensor.detach().to_kind(tch::Kind::Double).flatten(0, -1)).unwrap()
    }

    /// Mean, and mean of squares.
    fn moments(tensor: &Tensor) -> (f64, f64) {
        let values = values(tensor);
        let mean = |f: fn(&f64) -> f64| values.iter().map(f).sum::<f64>() / values.len() as f64;
        (mean(|x| *x), mean(|x| x * x))
    }

    #[test]
    fn initial_weights_have_the_published_distributions() {
        let stream = &mut Stream::new(0, Purpose::ClassifierInit);
        // 10,000 weights each: the standard errors are below 1 % of the deviation and 1.5 % of the variance.
        let layer = Layer::uniform(stream, &[100, 4, 5, 5], Device::Cpu);
        let ((mean, square), bound) = (moments(&layer.weight), 0.1);
        assert!(mean.abs() < 0.04 * bound && (square / (bound * bound / 3.0) - 1.0).abs() < 0.06, "{mean} {square}");
        assert!(values(&layer.weight).iter().chain(&values(&layer.bias)).all(|x| x.abs() <= bound + 1e-7));
        assert!(values(&layer.bias).iter().any(|x| x.abs() > bound / 2.0));

        let layer = Layer::he(stream, &[100, 100], Device::Cpu);
        let ((mean, square), variance) = (moments(&layer.weight), 0.02);
        assert!(mean.abs() < 0.006 && (square / variance - 1.0).abs() < 0.06, "{mean} {square}");
        assert!(values(&layer.bias).iter().all(|&x| x == 0.0));

        let norm = |scale| BatchNorm::new(scale, &mut Stream::new(0, Purpose::BatchNormInit), 500, Device::Cpu);
        let (mean, _) = moments(&norm(BatchNormScale::Uniform).scale);
        assert!((mean - 0.5).abs() < 0.06, "{mean}");
        assert_eq!(moments(&norm(BatchNormScale::Ones).scale), (1.0, 1.0));
    }
}
