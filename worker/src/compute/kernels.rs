//! The operations by our own kernels, on the CPU: lane by lane, since nothing is gained there by computing lanes together.

use swfn_kernels::{
    batch_norm,
    conv_pool::{ConvPool, Gradients, Passed},
    cross_entropy::cross_entropy,
    optimisers, products,
};
use tch::{Device, Kind, Tensor};

use super::{AdamRates, Compute, ConvPass, LayerGradients, Normed, PoolTrace, Pooled, SgdRates};
use crate::{
    layers::{BatchNorm, Layer, NormMode},
    memory::with_slices,
    noise::At,
};

/// See the module.
#[derive(Debug)]
pub struct Kernels;

/// Test images at once: the activations of so many fit a CPU's cache.
const TEST_IMAGES: usize = 50;

/// Training images at once: they should stay in a CPU's cache until they are used.
const TRAINING_IMAGES: usize = 1024;

fn empty(size: &[i64]) -> Tensor {
    Tensor::empty(size, (Kind::Float, Device::Cpu))
}

/// Slices of equal length, one for each lane.
fn lane<T>(all: &[T], lanes: usize, lane: usize) -> &[T] {
    let len = all.len() / lanes;
    &all[lane * len..(lane + 1) * len]
}

fn lane_mut<T>(all: &mut [T], lanes: usize, lane: usize) -> &mut [T] {
    let len = all.len() / lanes;
    &mut all[lane * len..(lane + 1) * len]
}

/// A product of matrices in each lane, with so many rows: `[K, rows, columns]`.
fn by_lane(
    product: fn(&[f32], &[f32], usize, &mut [f32]),
    a: &Tensor,
    b: &Tensor,
    rows: i64,
) -> Tensor {
    let (lanes, columns) = (a.size()[0], b.size()[2]);
    let mut to = empty(&[lanes, rows, columns]);
    let lanes = lanes as usize;
    with_slices([&a.contiguous(), &b.contiguous()], [&mut to], |[a, b], [to]| {
        for k in 0..lanes {
            product(lane(a, lanes, k), lane(b, lanes, k), rows as usize, lane_mut(to, lanes, k));
        }
    });
    to
}

/// Number of lanes, and sizes of the operation in each.
fn sizes(x: &Tensor, layer: &Layer, relu: bool) -> (usize, ConvPool) {
    let (lanes, images, height, width, inputs) = x.size5().expect("convolutions get images");
    let outputs = layer.bias.size()[1];
    let [lanes, images, height, width, inputs, outputs] =
        [lanes, images, height, width, inputs, outputs].map(|size| size as usize);
    (lanes, ConvPool { images, height, width, inputs, outputs, relu })
}

impl Compute for Kernels {
    fn conv_pool(&self, layer: &Layer, x: &Tensor, relu: bool) -> Pooled {
        let (lanes, sizes) = sizes(x, layer, relu);
        let (rows, columns) = sizes.pooled();
        let mut output =
            empty(&[lanes, sizes.images, rows, columns, sizes.outputs].map(|size| size as i64));
        let mut choice = vec![0; lanes * sizes.output_len()];
        let from = [&x.contiguous(), &layer.weight, &layer.bias];
        with_slices(from, [&mut output], |[x, filters, bias], [output]| {
            for k in 0..lanes {
                let [x, filters, bias] = [x, filters, bias].map(|all| lane(all, lanes, k));
                sizes.forward(
                    x,
                    filters,
                    bias,
                    lane_mut(output, lanes, k),
                    lane_mut(&mut choice, lanes, k),
                );
            }
        });
        Pooled { output, trace: PoolTrace::Choice(choice) }
    }

    fn conv_pool_gradients(
        &self,
        layer: &Layer,
        pass: &ConvPass,
        of_output: &Tensor,
    ) -> LayerGradients {
        let PoolTrace::Choice(choice) = &pass.pooled.trace else {
            panic!("passes forward and backward are computed in the same way");
        };
        let (lanes, sizes) = sizes(&pass.input, layer, pass.relu);
        let (mut of_weight, mut of_bias) = (layer.weight.empty_like(), layer.bias.empty_like());
        let mut of_input = empty(&if pass.of_input { pass.input.size() } else { vec![0] });
        let from =
            [&pass.input.contiguous(), &layer.weight, &pass.pooled.output, &of_output.contiguous()];
        let to = [&mut of_weight, &mut of_bias, &mut of_input];
        with_slices(
            from,
            to,
            |[input, filters, output, gradient], [of_weight, of_bias, of_input]| {
                for k in 0..lanes {
                    let [input, filters, output, gradient] =
                        [input, filters, output, gradient].map(|all| lane(all, lanes, k));
                    let from = Passed { input, filters, output, choice: lane(choice, lanes, k) };
                    let to = Gradients {
                        filters: lane_mut(of_weight, lanes, k),
                        bias: lane_mut(of_bias, lanes, k),
                        input: pass.of_input.then(|| lane_mut(of_input, lanes, k)),
                    };
                    sizes.backward(from, gradient, to);
                }
            },
        );
        LayerGradients {
            weight: of_weight,
            bias: of_bias,
            input: pass.of_input.then_some(of_input),
        }
    }

    fn linear(&self, x: &Tensor, weight: &Tensor, bias: &Tensor) -> Tensor {
        let (lanes, rows, outputs) = (x.size()[0], x.size()[1], weight.size()[1]);
        let mut y = empty(&[lanes, rows, outputs]);
        let lanes = lanes as usize;
        with_slices(
            [&x.contiguous(), &weight.contiguous(), bias],
            [&mut y],
            |[x, weight, bias], [y]| {
                for k in 0..lanes {
                    let [x, weight, bias] = [x, weight, bias].map(|all| lane(all, lanes, k));
                    products::forward(x, weight, bias, lane_mut(y, lanes, k));
                }
            },
        );
        y
    }

    fn product(&self, a: &Tensor, b: &Tensor) -> Tensor {
        by_lane(products::product, a, b, a.size()[1])
    }

    fn transposed_product(&self, a: &Tensor, b: &Tensor) -> Tensor {
        by_lane(products::transposed_product, a, b, a.size()[2])
    }

    fn batch_norm(&self, norm: &BatchNorm, x: &Tensor, mode: NormMode) -> Normed {
        let x = x.contiguous();
        let lanes = x.size()[0] as usize;
        let (mean, variance) = match mode {
            NormMode::Eval => (norm.running_mean.shallow_clone(), norm.running_var.shallow_clone()),
            NormMode::Train | NormMode::TrainNoUpdate => {
                let (mut mean, mut variance) =
                    (norm.running_mean.empty_like(), norm.running_var.empty_like());
                with_slices([&x], [&mut mean, &mut variance], |[x], [mean, variance]| {
                    for k in 0..lanes {
                        let to = (lane_mut(mean, lanes, k), lane_mut(variance, lanes, k));
                        batch_norm::statistics(lane(x, lanes, k), to.0, to.1);
                    }
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
        with_slices(
            from,
            [&mut normalised, &mut output],
            |[x, of_channels @ ..], [normalised, output]| {
                for k in 0..lanes {
                    let of_channels = of_channels.map(|all| lane(all, lanes, k));
                    let to = (lane_mut(normalised, lanes, k), lane_mut(output, lanes, k));
                    batch_norm::forward(lane(x, lanes, k), of_channels, to.0, to.1);
                }
            },
        );
        Normed { output, normalised, inverse_deviation, mode }
    }

    fn batch_norm_gradients(
        &self,
        norm: &BatchNorm,
        normed: &Normed,
        of_output: &Tensor,
    ) -> [Tensor; 3] {
        let (of_output, normalised) = (of_output.contiguous(), &normed.normalised);
        let lanes = of_output.size()[0] as usize;
        let (mut of_scale, mut of_shift) = (norm.scale.empty_like(), norm.shift.empty_like());
        with_slices(
            [&of_output, normalised],
            [&mut of_scale, &mut of_shift],
            |[g, normalised], [scale, shift]| {
                for k in 0..lanes {
                    let to = (lane_mut(scale, lanes, k), lane_mut(shift, lanes, k));
                    batch_norm::of_parameters(
                        lane(g, lanes, k),
                        lane(normalised, lanes, k),
                        to.0,
                        to.1,
                    );
                }
            },
        );
        let share = match normed.mode {
            NormMode::Eval => 0.0, // the statistics do not depend on the input
            NormMode::Train | NormMode::TrainNoUpdate => 1.0 / of_output.size()[1] as f64,
        };
        let (mean_scale, mean_shift) = (&of_scale * share, &of_shift * share);
        let factor = &norm.scale * &normed.inverse_deviation;
        let mut of_input = of_output.empty_like();
        let from = [&of_output, normalised, &mean_scale, &mean_shift, &factor];
        with_slices(from, [&mut of_input], |[g, normalised, of_channels @ ..], [of_input]| {
            for k in 0..lanes {
                let of_channels = of_channels.map(|all| lane(all, lanes, k));
                let (g, normalised) = (lane(g, lanes, k), lane(normalised, lanes, k));
                batch_norm::of_input(g, normalised, of_channels, lane_mut(of_input, lanes, k));
            }
        });
        [of_scale, of_shift, of_input]
    }

    fn cross_entropy(&self, logits: &Tensor, x: &Tensor, share: f64) -> (Tensor, Tensor) {
        let lanes = logits.size()[0] as usize;
        let mut of_logits = empty(&logits.size());
        let from = [&logits.contiguous(), &x.contiguous()];
        let sums: Vec<_> = with_slices(from, [&mut of_logits], |[logits, x], [of_logits]| {
            let of_lane = |k| {
                let to = lane_mut(of_logits, lanes, k);
                cross_entropy(lane(logits, lanes, k), lane(x, lanes, k), share as f32, to) as f32
            };
            (0..lanes).map(of_lane).collect()
        });
        (Tensor::from_slice(&sums), of_logits)
    }

    fn sgd(
        &self,
        rates: &SgdRates,
        parameter: &mut Tensor,
        velocity: &mut Tensor,
        gradient: &Tensor,
    ) {
        let lanes = rates.decay.host.len();
        with_slices(
            [&gradient.contiguous()],
            [parameter, velocity],
            |[gradient], [parameter, velocity]| {
                for k in 0..lanes {
                    let kernel = optimisers::Sgd {
                        learning_rate: rates.learning_rate.host[k],
                        momentum: rates.momentum.host[k],
                        decay: rates.decay.host[k],
                    };
                    let (w, u) = (lane_mut(parameter, lanes, k), lane_mut(velocity, lanes, k));
                    kernel.step(w, u, lane(gradient, lanes, k));
                }
            },
        );
    }

    fn adam(
        &self,
        rates: &AdamRates,
        parameter: &mut Tensor,
        momentum: &mut Tensor,
        square: &mut Tensor,
        gradient: &Tensor,
    ) {
        let lanes = rates.rate.host.len();
        let to = [parameter, momentum, square];
        with_slices([&gradient.contiguous()], to, |[gradient], [parameter, momentum, square]| {
            for k in 0..lanes {
                let kernel = optimisers::Adam {
                    rate: rates.rate.host[k],
                    beta1: rates.beta1 as f32,
                    beta2: rates.beta2 as f32,
                    epsilon: rates.epsilon as f32,
                };
                let (m, v) = (lane_mut(momentum, lanes, k), lane_mut(square, lanes, k));
                kernel.step(lane_mut(parameter, lanes, k), m, v, lane(gradient, lanes, k));
            }
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
