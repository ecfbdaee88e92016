//! The operations by our own kernels, on the CPU. They go lane by lane, since computing lanes
//! together gains nothing there.

use std::ops::Range;

use swfn_kernels::{
    Level, batch_norm,
    conv_pool::{ConvPool, Gradients, Passed},
    cross_entropy::cross_entropy,
    optimisers, products,
};
use tch::{Device, Kind, Tensor};

use super::{AdamRates, Compute, LayerGradients, Normed, SgdRates};
use crate::{
    layers::{BatchNorm, Layer, NormMode},
    memory::with_slices,
    noise::At,
};

/// The operations on the CPU.
#[derive(Debug)]
pub struct Kernels;

/// Number of test images at once: their activations fit a CPU's cache.
const TEST_IMAGES: usize = 50;

/// Number of training images at once: they stay in a CPU's cache until they are used.
const TRAINING_IMAGES: usize = 1024;

fn empty(size: &[i64]) -> Tensor {
    Tensor::empty(size, (Kind::Float, Device::Cpu))
}

/// The part of `len` values that belongs to a lane.
fn part(len: usize, lanes: usize, lane: usize) -> Range<usize> {
    let len = len / lanes;
    lane * len..(lane + 1) * len
}

/// Does `work` for each lane, with its number and its parts of all tensors.
fn each_lane<const R: usize, const W: usize>(
    lanes: usize,
    read: [&Tensor; R],
    write: [&mut Tensor; W],
    mut work: impl FnMut(usize, [&[f32]; R], [&mut [f32]; W]),
) {
    let read = read.map(Tensor::contiguous);
    with_slices(read.each_ref(), write, |read, mut write| {
        for k in 0..lanes {
            let read = read.map(|all| &all[part(all.len(), lanes, k)]);
            let write = write.each_mut().map(|all| {
                let part = part(all.len(), lanes, k);
                &mut all[part]
            });
            work(k, read, write);
        }
    });
}

/// The number of lanes.
fn lanes(x: &Tensor) -> usize {
    x.size()[0] as usize
}

/// A product of matrices in each lane, with so many rows: `[K, rows, columns]`.
fn product(a: &Tensor, transposed: bool, b: &Tensor, rows: i64) -> Tensor {
    let mut to = empty(&[a.size()[0], rows, b.size()[2]]);
    each_lane(lanes(a), [a, b], [&mut to], |_, [a, b], [to]| {
        products::product(Level::best(), a, transposed, b, rows as usize, to);
    });
    to
}

/// Sizes of the operation in each lane.
fn sizes(x: &Tensor, layer: &Layer, relu: bool) -> ConvPool {
    let (_, images, height, width, inputs) = x.size5().expect("convolutions get images");
    let [images, height, width, inputs, outputs] =
        [images, height, width, inputs, layer.bias.size()[1]].map(|size| size as usize);
    ConvPool { images, height, width, inputs, outputs, relu }
}

/// Side of the filters of [`conv_pool`].
pub(crate) const CONV_POOL_SIDE: i64 = 5;

/// Convolution with 5x5 filters, stride 1, without padding; max-pooling of 2 x 2 pixels, rounded
/// down; ReLU, if wanted. x: `[K, N, H, W, inputs]` -> `[K, N, P, Q, outputs]`, P = (H - 4) / 2, Q
/// = (W - 4) / 2; and for the gradients which of its four pixels each maximum is.
pub(crate) fn conv_pool(layer: &Layer, x: &Tensor, relu: bool) -> (Tensor, Vec<u8>) {
    let (lanes, sizes) = (lanes(x), sizes(x, layer, relu));
    let (rows, columns) = sizes.pooled();
    let mut output =
        empty(&[lanes, sizes.images, rows, columns, sizes.outputs].map(|size| size as i64));
    let mut choice = vec![0; lanes * sizes.output_len()];
    let from = [x, &layer.weight, &layer.bias];
    each_lane(lanes, from, [&mut output], |k, [x, filters, bias], [output]| {
        let choice = &mut choice[part(lanes * sizes.output_len(), lanes, k)];
        sizes.forward(Level::best(), x, filters, bias, output, choice);
    });
    (output, choice)
}

/// Gradients of [`conv_pool`] from that of its output.
pub(crate) fn conv_pool_gradients(
    layer: &Layer,
    relu: bool,
    x: &Tensor,
    (output, choice): (&Tensor, &[u8]),
    of_output: &Tensor,
    of_input: bool,
) -> LayerGradients {
    let (lanes, sizes) = (lanes(x), sizes(x, layer, relu));
    let (mut weight, mut bias) = (layer.weight.empty_like(), layer.bias.empty_like());
    let mut input = empty(&if of_input { x.size() } else { vec![0] });
    let from = [x, &layer.weight, output, of_output];
    let to = [&mut weight, &mut bias, &mut input];
    each_lane(lanes, from, to, |k, [input, filters, output, gradient], to| {
        let choice = &choice[part(choice.len(), lanes, k)];
        let [of_filters, of_bias, to_input] = to;
        let input_too = of_input.then_some(to_input);
        let to = Gradients { filters: of_filters, bias: of_bias, input: input_too };
        let from = Passed { input, filters, output, choice };
        sizes.backward(Level::best(), from, gradient, to);
    });
    LayerGradients { weight, bias, input: of_input.then_some(input) }
}

impl Compute for Kernels {
    fn has_conv_pool(&self) -> bool {
        true
    }

    fn linear(&self, x: &Tensor, weight: &Tensor, bias: &Tensor) -> Tensor {
        let mut y = empty(&[x.size()[0], x.size()[1], weight.size()[1]]);
        each_lane(lanes(x), [x, weight, bias], [&mut y], |_, [x, weight, bias], [y]| {
            products::forward(Level::best(), x, weight, bias, y);
        });
        y
    }

    fn product(&self, a: &Tensor, b: &Tensor) -> Tensor {
        product(a, false, b, a.size()[1])
    }

    fn transposed_product(&self, a: &Tensor, b: &Tensor) -> Tensor {
        product(a, true, b, a.size()[2])
    }

    fn batch_norm(&self, norm: &BatchNorm, x: &Tensor, mode: NormMode) -> Normed {
        let (x, lanes) = (x.contiguous(), lanes(x));
        let (mean, variance) = match mode {
            NormMode::Eval => (norm.running_mean.shallow_clone(), norm.running_var.shallow_clone()),
            NormMode::Train | NormMode::TrainNoUpdate => {
                let (mut mean, mut variance) =
                    (norm.running_mean.empty_like(), norm.running_var.empty_like());
                let to = [&mut mean, &mut variance];
                each_lane(lanes, [&x], to, |_, [x], [mean, variance]| {
                    batch_norm::statistics(Level::best(), x, mean, variance);
                });
                if mode == NormMode::Train {
                    norm.move_running(&mean, &variance, x.size()[1]);
                }
                (mean, variance)
            }
        };
        let inverse_deviation = (variance + BatchNorm::EPSILON).rsqrt();
        let (mut normalised, mut output) = (x.empty_like(), x.empty_like());
        let from = [&x, &mean, &inverse_deviation, &norm.scale, &norm.shift];
        let to = [&mut normalised, &mut output];
        each_lane(lanes, from, to, |_, [x, of_channels @ ..], [normalised, output]| {
            batch_norm::forward(Level::best(), x, of_channels, normalised, output);
        });
        Normed { output, normalised, inverse_deviation, mode }
    }

    fn batch_norm_gradients(
        &self,
        norm: &BatchNorm,
        normed: &Normed,
        of_output: &Tensor,
    ) -> [Tensor; 3] {
        let (of_output, normalised) = (of_output.contiguous(), &normed.normalised);
        let lanes = lanes(&of_output);
        let (mut of_scale, mut of_shift) = (norm.scale.empty_like(), norm.shift.empty_like());
        let (from, to) = ([&of_output, normalised], [&mut of_scale, &mut of_shift]);
        each_lane(lanes, from, to, |_, [of_output, normalised], [of_scale, of_shift]| {
            batch_norm::of_parameters(Level::best(), of_output, normalised, of_scale, of_shift);
        });
        let share = match normed.mode {
            NormMode::Eval => 0.0, // the statistics do not depend on the input
            NormMode::Train | NormMode::TrainNoUpdate => 1.0 / of_output.size()[1] as f64,
        };
        let (mean_scale, mean_shift) = (&of_scale * share, &of_shift * share);
        let factor = &norm.scale * &normed.inverse_deviation;
        let mut of_input = of_output.empty_like();
        let from = [&of_output, normalised, &mean_scale, &mean_shift, &factor];
        each_lane(lanes, from, [&mut of_input], |_, from, [of_input]| {
            let [of_output, normalised, of_channels @ ..] = from;
            batch_norm::of_input(Level::best(), of_output, normalised, of_channels, of_input);
        });
        [of_scale, of_shift, of_input]
    }

    fn cross_entropy(&self, logits: &Tensor, x: &Tensor, share: f64) -> (Tensor, Tensor) {
        let (mut of_logits, mut sums) = (empty(&logits.size()), vec![0.0; lanes(logits)]);
        each_lane(lanes(logits), [logits, x], [&mut of_logits], |k, [logits, x], [of_logits]| {
            sums[k] = cross_entropy(Level::best(), logits, x, share as f32, of_logits) as f32;
        });
        (Tensor::from_slice(&sums), of_logits)
    }

    fn sgd(&self, rates: &SgdRates, changed: [&mut Tensor; 2], gradient: &Tensor) {
        each_lane(rates.decay.host.len(), [gradient], changed, |k, [gradient], changed| {
            let [parameter, velocity] = changed;
            let SgdRates { learning_rate, momentum, decay } = rates;
            let rates = [learning_rate, momentum, decay].map(|rate| rate.host[k]);
            optimisers::sgd(Level::best(), rates, parameter, velocity, gradient);
        });
    }

    fn adam(&self, rates: &AdamRates, changed: [&mut Tensor; 3], gradient: &Tensor) {
        each_lane(rates.rate.host.len(), [gradient], changed, |k, [gradient], changed| {
            let [parameter, momentum, square] = changed;
            let [beta1, beta2, epsilon] =
                [rates.beta1, rates.beta2, rates.epsilon].map(|rate| rate as f32);
            let rates = [rates.rate.host[k], beta1, beta2, epsilon];
            optimisers::adam(Level::best(), rates, parameter, momentum, square, gradient);
        });
    }

    fn images_at_once(&self, _: usize) -> usize {
        TEST_IMAGES
    }

    fn inputs_at_once(&self, _: usize) -> usize {
        TRAINING_IMAGES
    }

    fn noise(&self, _: Device) -> At {
        At::Loop
    }
}
