//! What a classifier is made of: operations, one after the other, each with its gradients written out. Sizes: K lanes, N
//! images each.

use tch::{Kind, Tensor};

use super::layers::{BatchNorm, Layer, Named, NormMode};
use crate::compute::{Compute, ConvPass, LayerGradients, Normed};

/// One operation, with what it learns.
#[derive(Debug)]
pub(super) enum Op {
    /// 5x5 convolution, 2x2 max-pooling, ReLU if wanted: `[K, N, H, W, C]` -> `[K, N, P, Q, outputs]`.
    ConvPool { names: LayerNames, layer: Layer, relu: bool },
    /// Fully connected layer, ReLU if wanted: `[K, N, ...]`, in all `inputs` values each -> `[K, N, outputs]`.
    Linear { names: LayerNames, layer: Layer, relu: bool, inputs: Inputs },
    /// Two fully connected layers with nothing between them, computed as the one linear map that they are, a small one.
    TwoLinear { names: [LayerNames; 2], first: Layer, second: Layer, inputs: Inputs },
    /// Over all but lanes and channels.
    BatchNorm { names: NormNames, norm: BatchNorm },
    /// Factors of all values of a channel, or of each value.
    Dropout(Site),
}

/// Names of weight and bias.
pub(super) type LayerNames = [&'static str; 2];

/// Names of scale, shift, running mean and running variance.
pub(super) type NormNames = [&'static str; 4];

/// What the inputs of a fully connected layer are, which matters to PyTorch's order of its weights.
#[derive(Debug, Clone, Copy)]
pub(super) enum Inputs {
    /// Just numbers.
    Values,
    /// An image of (height, width), channels last; PyTorch has the channels first.
    Flattened((i64, i64)),
    /// The same, of a layer that is a convolution over the whole image.
    Image((i64, i64)),
}

/// Where dropout acts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Site {
    /// On the channels of the second convolution.
    Channels,
    /// On the outputs of the first fully connected layer.
    Hidden,
}

/// The factors of one forward pass with dropout: 0, or 1 / (1 - probability); 1 in rows without dropout.
#[derive(Debug)]
pub struct DropoutMasks {
    /// Of the channels of the second convolution, `[K, N, 20]`.
    pub channels: Tensor,
    /// Of the first fully connected layer, `[K, N, 50]`.
    pub hidden: Tensor,
}

/// What a pass forward leaves behind for the gradients.
#[derive(Debug)]
pub(super) enum Trace {
    ConvPool(ConvPass),
    Linear { x: Tensor, output: Tensor },
    TwoLinear { x: Tensor, weight: Tensor },
    BatchNorm(Normed),
    Factors(Tensor),
    Nothing,
}

/// How a pass forward is meant.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pass<'a> {
    pub(super) mode: NormMode,
    pub(super) masks: Option<&'a DropoutMasks>,
}

/// `[K, N, ...]` -> `[K, N, values]`.
fn rows(x: &Tensor) -> Tensor {
    x.flatten(2, -1)
}

/// `[K, N, ..., channels]` -> `[K, N * ..., channels]`.
fn channels(x: &Tensor) -> Tensor {
    x.flatten(1, -2)
}

impl Op {
    /// `first`: nothing before it has gradients.
    pub(super) fn forward(&self, compute: &dyn Compute, x: Tensor, pass: Pass<'_>, first: bool) -> (Tensor, Trace) {
        match self {
            Self::ConvPool { layer, relu, .. } => {
                let pooled = compute.conv_pool(layer, &x, *relu);
                let output = pooled.output.shallow_clone();
                (output, Trace::ConvPool(ConvPass { input: x, pooled, relu: *relu, of_input: !first }))
            }
            Self::Linear { layer, relu, .. } => {
                let mut output = compute.linear(&rows(&x), &layer.weight, &layer.bias);
                if *relu {
                    output = output.relu_();
                }
                (output.shallow_clone(), Trace::Linear { x, output })
            }
            Self::TwoLinear { first, second, .. } => {
                let weight = compute.product(&second.weight, &first.weight); // [K, outputs, inputs]
                let bias = second.weight.bmm(&first.bias.unsqueeze(-1)).squeeze_dim(-1) + &second.bias;
                (compute.linear(&rows(&x), &weight, &bias), Trace::TwoLinear { x, weight })
            }
            Self::BatchNorm { norm, .. } => {
                let normed = compute.batch_norm(norm, &channels(&x), pass.mode);
                (normed.output.view_as(&x), Trace::BatchNorm(normed))
            }
            Self::Dropout(site) => {
                let Some(masks) = pass.masks else { return (x, Trace::Nothing) };
                let factors = match site {
                    // [K, N, 1, 1, channels]
                    Site::Channels => masks.channels.unsqueeze(2).unsqueeze(2),
                    Site::Hidden => masks.hidden.shallow_clone(),
                };
                (x * &factors, Trace::Factors(factors))
            }
        }
    }

    /// Gradients of what it learns, added to `gradients` in the order of [`Self::parameters`], and of its input, from that
    /// of its output, of whatever shape.
    pub(super) fn backward(
        &self,
        compute: &dyn Compute,
        trace: &Trace,
        of_output: &Tensor,
        gradients: &mut [Option<Tensor>],
    ) -> Option<Tensor> {
        let mut add = |index: usize, gradient: Tensor| {
            let sum: &mut Option<Tensor> = &mut gradients[index];
            *sum = Some(match sum.take() {
                Some(sum) => sum + gradient,
                None => gradient,
            });
        };
        match (self, trace) {
            (Self::ConvPool { layer, .. }, Trace::ConvPool(pass)) => {
                let of_output = of_output.view_as(&pass.pooled.output);
                let LayerGradients { weight, bias, input } = compute.conv_pool_gradients(layer, pass, &of_output);
                add(0, weight);
                add(1, bias);
                input
            }
            (Self::Linear { layer, relu, .. }, Trace::Linear { x, output }) => {
                let of_output = match relu {
                    true => output.threshold_backward(of_output, 0.0),
                    false => of_output.shallow_clone(),
                };
                add(0, compute.transposed_product(&of_output, &rows(x)));
                add(1, sum(&of_output));
                Some(compute.product(&of_output, &layer.weight).view_as(x))
            }
            (Self::TwoLinear { first, second, .. }, Trace::TwoLinear { x, weight }) => {
                // Of the joined weight and bias; from them to the layers.
                let of_weight = compute.transposed_product(of_output, &rows(x)); // [K, outputs, inputs]
                let of_bias = sum(of_output); // [K, outputs]
                let column = of_bias.unsqueeze(-1);
                add(0, compute.transposed_product(&second.weight, &of_weight));
                add(1, second.weight.transpose(1, 2).bmm(&column).squeeze_dim(-1));
                let none = first.bias.zeros_like();
                add(2, compute.linear(&of_weight, &first.weight, &none) + column.bmm(&first.bias.unsqueeze(1)));
                add(3, of_bias);
                Some(compute.product(of_output, weight).view_as(x))
            }
            (Self::BatchNorm { norm, .. }, Trace::BatchNorm(normed)) => {
                let of_output = of_output.view_as(&normed.output);
                let [scale, shift, input] = compute.batch_norm_gradients(norm, normed, &of_output);
                add(0, scale);
                add(1, shift);
                Some(input)
            }
            (Self::Dropout(_), Trace::Factors(factors)) => Some(of_output * factors),
            (Self::Dropout(_), Trace::Nothing) => Some(of_output.shallow_clone()),
            _ => panic!("a trace is of the network that left it"),
        }
    }

    /// The same one, not a copy.
    pub(super) fn shallow_clone(&self) -> Self {
        match self {
            Self::ConvPool { names, layer, relu } => {
                Self::ConvPool { names: *names, layer: layer.shallow_clone(), relu: *relu }
            }
            Self::Linear { names, layer, relu, inputs } => {
                Self::Linear { names: *names, layer: layer.shallow_clone(), relu: *relu, inputs: *inputs }
            }
            Self::TwoLinear { names, first, second, inputs } => {
                let (first, second) = (first.shallow_clone(), second.shallow_clone());
                Self::TwoLinear { names: *names, first, second, inputs: *inputs }
            }
            Self::BatchNorm { names, norm } => Self::BatchNorm { names: *names, norm: norm.shallow_clone() },
            Self::Dropout(site) => Self::Dropout(*site),
        }
    }

    /// Layers with their names.
    fn layers(&self) -> Vec<(LayerNames, &Layer)> {
        match self {
            Self::ConvPool { names, layer, .. } | Self::Linear { names, layer, .. } => vec![(*names, layer)],
            Self::TwoLinear { names, first, second, .. } => vec![(names[0], first), (names[1], second)],
            Self::BatchNorm { .. } | Self::Dropout(_) => Vec::new(),
        }
    }

    /// What it learns.
    pub(super) fn parameters(&self) -> Vec<Named> {
        let layers = self.layers().into_iter().flat_map(|([weight, bias], layer)| {
            [(weight, layer.weight.shallow_clone()), (bias, layer.bias.shallow_clone())]
        });
        let norm = match self {
            Self::BatchNorm { names: [scale, shift, ..], norm } => {
                vec![(*scale, norm.scale.shallow_clone()), (*shift, norm.shift.shallow_clone())]
            }
            _ => Vec::new(),
        };
        layers.chain(norm).collect()
    }

    /// What training changes besides.
    pub(super) fn buffers(&self) -> Vec<Named> {
        match self {
            Self::BatchNorm { names: [.., mean, var], norm } => {
                vec![(*mean, norm.running_mean.shallow_clone()), (*var, norm.running_var.shallow_clone())]
            }
            _ => Vec::new(),
        }
    }

    /// Parameters and buffers.
    pub(super) fn tensors_mut(&mut self) -> Vec<&mut Tensor> {
        match self {
            Self::ConvPool { layer, .. } | Self::Linear { layer, .. } => vec![&mut layer.weight, &mut layer.bias],
            Self::TwoLinear { first, second, .. } => {
                vec![&mut first.weight, &mut first.bias, &mut second.weight, &mut second.bias]
            }
            Self::BatchNorm { norm, .. } => {
                vec![&mut norm.scale, &mut norm.shift, &mut norm.running_mean, &mut norm.running_var]
            }
            Self::Dropout(_) => Vec::new(),
        }
    }

    /// One lane of a tensor in the order of [`Self::parameters`], such as a gradient, as PyTorch orders it: filters
    /// `[outputs, inputs, height, width]`, weights of an image's layer likewise. It shares its storage.
    pub(super) fn as_pytorch(&self, index: usize, tensor: &Tensor, lane: i64) -> Tensor {
        let tensor = tensor.select(0, lane);
        match (self, index) {
            (Self::ConvPool { .. }, 0) => tensor.permute([0, 3, 1, 2]),
            (Self::Linear { inputs, .. } | Self::TwoLinear { inputs, .. }, 0) => match inputs {
                Inputs::Values => tensor,
                Inputs::Flattened((height, width)) | Inputs::Image((height, width)) => {
                    tensor.view([tensor.size()[0], *height, *width, -1]).permute([0, 3, 1, 2])
                }
            },
            _ => tensor,
        }
    }

    /// Whether PyTorch's weight has one dimension for all its inputs, though they are an image.
    pub(super) fn is_flattened(&self, index: usize) -> bool {
        matches!(self, Self::Linear { inputs: Inputs::Flattened(_), .. }) && index == 0
    }
}

/// Over the rows: `[K, N, outputs]` -> `[K, outputs]`.
fn sum(x: &Tensor) -> Tensor {
    x.sum_dim_intlist([1_i64].as_slice(), false, Kind::Float)
}
