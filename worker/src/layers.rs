//! The layers that all models share: convolution, fully connected layer and batch norm, as plain
//! tensors with their initialisation. Each is K layers of the same shape, one for each lane.

/// The statistics with which batch norm normalises.
pub use swfn_shared::trial::SampleBatchNorm as NormMode;
use swfn_shared::{image::ImageShape, trial::BatchNormScale};
use tch::{Device, Tensor};

use crate::{
    lanes::{Named, impl_lanes, named},
    rng::Stream,
};

/// The shape of a model's input, and its number of classes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InputShape {
    /// Shape of an image.
    pub image: ImageShape,
    /// Number of classes.
    pub classes: i64,
}

/// Weights and biases of K convolutions or fully connected layers.
#[derive(Debug)]
pub struct Layer {
    /// `[K, outputs, inputs]` or, channels last, `[K, outputs, height, width, inputs]`.
    pub weight: Tensor,
    /// `[K, outputs]`.
    pub bias: Tensor,
}

impl Layer {
    /// Weight and bias uniform in ±1/sqrt(fan_in), the default of PyTorch. `shape`: that of one
    /// lane's weight. There is a lane for each stream.
    pub(crate) fn uniform(streams: &mut [Stream], shape: &[i64], device: Device) -> Self {
        let bound = 1.0 / (fan_in(shape) as f32).sqrt();
        Self::draw(streams, shape, device, |stream| {
            let weight = stream.uniform(-bound, bound, count(shape));
            (weight, stream.uniform(-bound, bound, count(&shape[..1])))
        })
    }

    /// Weight ~ N(0, 2 / fan_in) (He et al. 2015), bias 0.
    pub(crate) fn he(streams: &mut [Stream], shape: &[i64], device: Device) -> Self {
        Self::draw(streams, shape, device, |stream| {
            (he(stream, count(shape), fan_in(shape)), vec![0.0; count(&shape[..1])])
        })
    }

    /// Weight and bias, as PyTorch names them in a layer of that name.
    pub(crate) fn named(&self, layer: &str) -> Vec<Named> {
        vec![
            named(format!("{layer}.weight"), &self.weight),
            named(format!("{layer}.bias"), &self.bias),
        ]
    }

    fn draw(
        streams: &mut [Stream],
        shape: &[i64],
        device: Device,
        draw: impl FnMut(&mut Stream) -> (Vec<f32>, Vec<f32>),
    ) -> Self {
        let (weights, biases): (Vec<_>, Vec<_>) = streams.iter_mut().map(draw).unzip();
        Self {
            weight: stacked(&weights, shape, device),
            bias: stacked(&biases, &shape[..1], device),
        }
    }
}

impl_lanes!(Layer { weight, bias });

/// `count` weights ~ N(0, 2 / fan_in) (He et al. 2015).
pub(crate) fn he(stream: &mut Stream, count: usize, fan_in: i64) -> Vec<f32> {
    let deviation = (2.0 / fan_in as f32).sqrt();
    stream.normal(count).into_iter().map(|x| x * deviation).collect()
}

/// K batch norms (Ioffe, Szegedy 2015) with PyTorch's defaults.
#[derive(Debug)]
pub struct BatchNorm {
    /// Gamma, `[K, channels]`.
    pub scale: Tensor,
    /// Beta, `[K, channels]`.
    pub shift: Tensor,
    /// Mean of each channel for evaluation, `[K, channels]`.
    pub running_mean: Tensor,
    /// Unbiased variance of each channel for evaluation, `[K, channels]`.
    pub running_var: Tensor,
}

impl BatchNorm {
    /// Share of a new batch in the running statistics.
    pub const MOMENTUM: f64 = 0.1;
    /// Added to variances.
    pub const EPSILON: f64 = 1e-5;

    /// Shift 0, running mean 0, running variance 1; a lane for each stream.
    pub(crate) fn new(
        scale: BatchNormScale,
        streams: &mut [Stream],
        channels: i64,
        device: Device,
    ) -> Self {
        let draw = |stream: &mut Stream| match scale {
            BatchNormScale::Uniform => stream.uniform(0.0, 1.0, count(&[channels])),
            BatchNormScale::Ones => vec![1.0; count(&[channels])],
        };
        let scales: Vec<_> = streams.iter_mut().map(draw).collect();
        let scale = stacked(&scales, &[channels], device);
        let (shift, running_mean, running_var) =
            (scale.zeros_like(), scale.zeros_like(), scale.ones_like());
        Self { scale, shift, running_mean, running_var }
    }

    /// Scale and shift, as PyTorch names them in a layer of that name.
    pub(crate) fn parameters(&self, layer: &str) -> Vec<Named> {
        vec![
            named(format!("{layer}.weight"), &self.scale),
            named(format!("{layer}.bias"), &self.shift),
        ]
    }

    /// The running statistics, as PyTorch names them in a layer of that name.
    pub(crate) fn buffers(&self, layer: &str) -> Vec<Named> {
        vec![
            named(format!("{layer}.running_mean"), &self.running_mean),
            named(format!("{layer}.running_var"), &self.running_var),
        ]
    }

    /// Moves the running statistics towards those of `rows` values of each channel. `mean`,
    /// `variance`: `[K, channels]`; the variance is divided by the number of rows.
    pub(crate) fn move_running(&self, mean: &Tensor, variance: &Tensor, rows: i64) {
        let unbiased = variance * (rows as f64 / (rows - 1) as f64);
        for (running, new) in [(&self.running_mean, mean), (&self.running_var, &unbiased)] {
            let _ = running.shallow_clone().lerp_(new, Self::MOMENTUM);
        }
    }
}

impl_lanes!(BatchNorm { scale, shift, running_mean, running_var });

/// Values of each lane as one tensor, `[K, shape]`.
pub(crate) fn stacked(values: &[Vec<f32>], shape: &[i64], device: Device) -> Tensor {
    let mut size = vec![-1];
    size.extend(shape);
    Tensor::from_slice(&values.concat()).view(&size[..]).to_device(device)
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
        let stream = &mut [Stream::new(0, Purpose::CLASSIFIER_INIT)];
        // With 10,000 weights the standard errors are below 1 % of the deviation and 1.5 % of the
        // variance.
        let layer = Layer::uniform(stream, &[100, 5, 5, 4], Device::Cpu);
        let ((mean, square), bound) = (moments(&layer.weight), 0.1);
        assert!(
            mean.abs() < 0.04 * bound && (square / (bound * bound / 3.0) - 1.0).abs() < 0.06,
            "{mean} {square}"
        );
        assert!(
            values(&layer.weight)
                .iter()
                .chain(&values(&layer.bias))
                .all(|x| x.abs() <= bound + 1e-7)
        );
        assert!(values(&layer.bias).iter().any(|x| x.abs() > bound / 2.0));

        let layer = Layer::he(stream, &[100, 100], Device::Cpu);
        let ((mean, square), variance) = (moments(&layer.weight), 0.02);
        assert!(mean.abs() < 0.006 && (square / variance - 1.0).abs() < 0.06, "{mean} {square}");
        assert!(values(&layer.bias).iter().all(|&x| x == 0.0));

        let norm = |scale| {
            BatchNorm::new(scale, &mut [Stream::new(0, Purpose::BATCH_NORM_INIT)], 500, Device::Cpu)
        };
        let (mean, _) = moments(&norm(BatchNormScale::Uniform).scale);
        assert!((mean - 0.5).abs() < 0.06, "{mean}");
        assert_eq!(moments(&norm(BatchNormScale::Ones).scale), (1.0, 1.0));
    }
}
