//! What a classifier computes: operations, one after the other, each with its gradients written out.
//! Sizes: K lanes, N images each.

use tch::{Kind, Tensor};

use crate::{
    compute::{Compute, ConvPass, LayerGradients, Normed, convolution},
    lanes::Named,
    layers::{BatchNorm, Layer, NormMode},
};

/// One operation, with what it learns.
#[derive(Debug)]
pub(super) enum Op {
    /// Convolution: `[K, N, H, W, C]` -> `[K, N, h, w, outputs]`.
    Conv(Learnt),
    /// 2x2 max-pooling: `[K, N, H, W, C]` -> `[K, N, H / 2, W / 2, C]`.
    Pool,
    /// ReLU.
    Relu,
    /// 5x5 convolution, 2x2 max-pooling, ReLU if wanted, as one:
    /// `[K, N, H, W, C]` -> `[K, N, P, Q, outputs]`.
    ConvPool { learnt: Learnt, relu: bool },
    /// Fully connected layer, ReLU if wanted: `[K, N, ...]` -> `[K, N, outputs]`.
    Linear { learnt: Learnt, relu: bool },
    /// Two fully connected layers with nothing between them, computed as the one linear map that they
    /// are, a small one.
    TwoLinear([Learnt; 2]),
    /// Over all but lanes and channels.
    BatchNorm { name: String, norm: BatchNorm },
    /// Factors of all values of a channel, or of each value. `site`: the place of its masks.
    Dropout { site: usize, width: i64 },
}

/// Weight and bias of a layer, and what PyTorch makes of them.
#[derive(Debug)]
pub(super) struct Learnt {
    /// The layer's name in PyTorch.
    pub(super) name: String,
    pub(super) layer: Layer,
    pub(super) inputs: Inputs,
}

/// What the inputs of a layer are, which matters to PyTorch's order of its weights.
#[derive(Debug, Clone, Copy)]
pub(super) enum Inputs {
    /// The pixels that a filter covers, channels last; PyTorch has the channels first.
    Pixels,
    /// Just numbers.
    Values,
    /// An image of (height, width), channels last; PyTorch has the channels first.
    Flattened((i64, i64)),
    /// The same, of a layer that is a convolution over the whole image.
    Image((i64, i64)),
}

/// The factors of one forward pass with dropout: 0, or 1 / (1 - probability); 1 in rows without
/// dropout. A tensor for each dropout layer, `[K, N, channels or values]`.
#[derive(Debug)]
pub struct DropoutMasks(pub Vec<Tensor>);

/// What a pass forward leaves behind for the gradients.
#[derive(Debug)]
pub(super) enum Trace {
    Conv { size: Vec<i64>, columns: Tensor, of_input: bool },
    Pool { x: Tensor, indices: Tensor },
    Relu(Tensor),
    ConvPool(ConvPass),
    Linear { x: Tensor, output: Tensor },
    TwoLinear { x: Tensor, weight: Tensor },
    BatchNorm { size: Vec<i64>, normed: Normed },
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

impl DropoutMasks {
    /// Those of `count` rows from the first.
    pub(super) fn first(&self, count: i64) -> Self {
        Self(self.0.iter().map(|mask| mask.narrow(1, 0, count)).collect())
    }
}

impl Learnt {
    fn shallow_clone(&self) -> Self {
        Self { name: self.name.clone(), layer: self.layer.shallow_clone(), inputs: self.inputs }
    }
}

impl Inputs {
    /// A weight of one lane as PyTorch orders it: `[outputs, inputs, height, width]`, of an image's
    /// layer likewise. It shares its storage.
    fn as_pytorch(self, weight: Tensor) -> Tensor {
        match self {
            Self::Values => weight,
            Self::Pixels => weight.permute([0, 3, 1, 2]),
            Self::Flattened((height, width)) | Self::Image((height, width)) => {
                weight.view([weight.size()[0], height, width, -1]).permute([0, 3, 1, 2])
            }
        }
    }
}

impl Op {
    /// `first`: nothing before it has gradients.
    pub(super) fn forward(
        &self,
        compute: &dyn Compute,
        x: Tensor,
        pass: Pass<'_>,
        first: bool,
    ) -> (Tensor, Trace) {
        match self {
            Self::Conv(Learnt { layer, .. }) => {
                let (output, columns) = convolution::convolve(layer, &x);
                (output, Trace::Conv { size: x.size(), columns, of_input: !first })
            }
            Self::Pool => {
                let (output, indices) = convolution::pool(&x);
                (output, Trace::Pool { x, indices })
            }
            Self::Relu => {
                let output = x.relu();
                (output.shallow_clone(), Trace::Relu(output))
            }
            Self::ConvPool { learnt, relu } => {
                let pooled = compute.conv_pool(&learnt.layer, &x, *relu);
                let output = pooled.output.shallow_clone();
                (
                    output,
                    Trace::ConvPool(ConvPass { input: x, pooled, relu: *relu, of_input: !first }),
                )
            }
            Self::Linear { learnt: Learnt { layer, .. }, relu } => {
                let mut output = compute.linear(&rows(&x), &layer.weight, &layer.bias);
                if *relu {
                    output = output.relu_();
                }
                (output.shallow_clone(), Trace::Linear { x, output })
            }
            Self::TwoLinear([Learnt { layer: first, .. }, Learnt { layer: second, .. }]) => {
                let weight = compute.product(&second.weight, &first.weight); // [K, outputs, inputs]
                let bias =
                    second.weight.bmm(&first.bias.unsqueeze(-1)).squeeze_dim(-1) + &second.bias;
                (compute.linear(&rows(&x), &weight, &bias), Trace::TwoLinear { x, weight })
            }
            Self::BatchNorm { norm, .. } => {
                let normed = compute.batch_norm(norm, &channels(&x), pass.mode);
                (normed.output.view_as(&x), Trace::BatchNorm { size: x.size(), normed })
            }
            Self::Dropout { site, .. } => {
                let Some(masks) = pass.masks else { return (x, Trace::Nothing) };
                let mask = &masks.0[*site];
                // Of an image: [K, N, 1, 1, channels].
                let factors = if x.dim() == 5 {
                    mask.unsqueeze(2).unsqueeze(2)
                } else {
                    mask.shallow_clone()
                };
                (x * &factors, Trace::Factors(factors))
            }
        }
    }

    /// Gradients of what it learns, added to `gradients` in the order of [`Self::parameters`], and of
    /// its input, from that of its output.
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
        let mut add_both = |LayerGradients { weight, bias, input }: LayerGradients| {
            add(0, weight);
            add(1, bias);
            input
        };
        match (self, trace) {
            (Self::Conv(learnt), Trace::Conv { size, columns, of_input }) => add_both(
                convolution::convolve_gradients(&learnt.layer, size, columns, of_output, *of_input),
            ),
            (Self::Pool, Trace::Pool { x, indices }) => {
                Some(convolution::pool_gradients(x, indices, of_output))
            }
            (Self::Relu, Trace::Relu(output)) => Some(output.threshold_backward(of_output, 0.0)),
            (Self::ConvPool { learnt, .. }, Trace::ConvPool(pass)) => {
                add_both(compute.conv_pool_gradients(&learnt.layer, pass, of_output))
            }
            (Self::Linear { learnt, relu }, Trace::Linear { x, output }) => {
                let of_output = match relu {
                    true => output.threshold_backward(of_output, 0.0),
                    false => of_output.shallow_clone(),
                };
                add_both(LayerGradients {
                    weight: compute.transposed_product(&of_output, &rows(x)),
                    bias: sum(&of_output),
                    input: Some(compute.product(&of_output, &learnt.layer.weight).view_as(x)),
                })
            }
            (Self::TwoLinear([first, second]), Trace::TwoLinear { x, weight }) => {
                let (first, second) = (&first.layer, &second.layer);
                // Of the joined weight and bias; from them to the layers.
                let of_weight = compute.transposed_product(of_output, &rows(x)); // [K, outputs, inputs]
                let of_bias = sum(of_output); // [K, outputs]
                let column = of_bias.unsqueeze(-1);
                add(0, compute.transposed_product(&second.weight, &of_weight));
                add(1, second.weight.transpose(1, 2).bmm(&column).squeeze_dim(-1));
                let none = first.bias.zeros_like();
                add(
                    2,
                    compute.linear(&of_weight, &first.weight, &none)
                        + column.bmm(&first.bias.unsqueeze(1)),
                );
                add(3, of_bias);
                Some(compute.product(of_output, weight).view_as(x))
            }
            (Self::BatchNorm { norm, .. }, Trace::BatchNorm { size, normed }) => {
                let [scale, shift, input] =
                    compute.batch_norm_gradients(norm, normed, &channels(of_output));
                add(0, scale);
                add(1, shift);
                Some(input.view(&size[..]))
            }
            (Self::Dropout { .. }, Trace::Factors(factors)) => Some(of_output * factors),
            (Self::Dropout { .. }, Trace::Nothing) => Some(of_output.shallow_clone()),
            _ => panic!("a trace is of the network that left it"),
        }
    }

    /// The same one, not a copy.
    pub(super) fn shallow_clone(&self) -> Self {
        match self {
            Self::Conv(learnt) => Self::Conv(learnt.shallow_clone()),
            Self::Pool => Self::Pool,
            Self::Relu => Self::Relu,
            Self::ConvPool { learnt, relu } => {
                Self::ConvPool { learnt: learnt.shallow_clone(), relu: *relu }
            }
            Self::Linear { learnt, relu } => {
                Self::Linear { learnt: learnt.shallow_clone(), relu: *relu }
            }
            Self::TwoLinear(both) => Self::TwoLinear(both.each_ref().map(Learnt::shallow_clone)),
            Self::BatchNorm { name, norm } => {
                Self::BatchNorm { name: name.clone(), norm: norm.shallow_clone() }
            }
            Self::Dropout { site, width } => Self::Dropout { site: *site, width: *width },
        }
    }

    /// Its layers.
    fn learnt(&self) -> &[Learnt] {
        match self {
            Self::Conv(learnt) | Self::ConvPool { learnt, .. } | Self::Linear { learnt, .. } => {
                std::slice::from_ref(learnt)
            }
            Self::TwoLinear(both) => both,
            Self::BatchNorm { .. } | Self::Dropout { .. } | Self::Pool | Self::Relu => &[],
        }
    }

    /// What it learns.
    pub(super) fn parameters(&self) -> Vec<Named> {
        if let Self::BatchNorm { name, norm } = self {
            return named(name, [("weight", &norm.scale), ("bias", &norm.shift)]);
        }
        let of_layer = |Learnt { name, layer, .. }: &Learnt| {
            named(name, [("weight", &layer.weight), ("bias", &layer.bias)])
        };
        self.learnt().iter().flat_map(of_layer).collect()
    }

    /// What training changes besides.
    pub(super) fn buffers(&self) -> Vec<Named> {
        match self {
            Self::BatchNorm { name, norm } => named(
                name,
                [("running_mean", &norm.running_mean), ("running_var", &norm.running_var)],
            ),
            _ => Vec::new(),
        }
    }

    /// Parameters and buffers.
    pub(super) fn tensors_mut(&mut self) -> Vec<&mut Tensor> {
        fn both(learnt: &mut Learnt) -> [&mut Tensor; 2] {
            [&mut learnt.layer.weight, &mut learnt.layer.bias]
        }
        match self {
            Self::Conv(learnt) | Self::ConvPool { learnt, .. } | Self::Linear { learnt, .. } => {
                both(learnt).into()
            }
            Self::TwoLinear(learnt) => learnt.iter_mut().flat_map(both).collect(),
            Self::BatchNorm { norm, .. } => {
                vec![
                    &mut norm.scale,
                    &mut norm.shift,
                    &mut norm.running_mean,
                    &mut norm.running_var,
                ]
            }
            Self::Dropout { .. } | Self::Pool | Self::Relu => Vec::new(),
        }
    }

    /// One lane of a tensor in the order of [`Self::parameters`], such as a gradient, in PyTorch's
    /// order of dimensions. It shares its storage.
    pub(super) fn as_pytorch(&self, index: usize, tensor: &Tensor, lane: i64) -> Tensor {
        let tensor = tensor.select(0, lane);
        match self.learnt().get(index / 2) {
            Some(learnt) if index.is_multiple_of(2) => learnt.inputs.as_pytorch(tensor),
            _ => tensor,
        }
    }

    /// Whether PyTorch's weight has one dimension for all its inputs, though they are an image.
    pub(super) fn is_flattened(&self, index: usize) -> bool {
        let learnt = self.learnt().get(index / 2);
        index.is_multiple_of(2)
            && learnt.is_some_and(|learnt| matches!(learnt.inputs, Inputs::Flattened(_)))
    }
}

/// Tensors of a layer of that name.
fn named<const N: usize>(layer: &str, tensors: [(&str, &Tensor); N]) -> Vec<Named> {
    tensors.map(|(part, tensor)| (format!("{layer}.{part}").into(), tensor.shallow_clone())).into()
}

/// Over the rows: `[K, N, outputs]` -> `[K, outputs]`.
fn sum(x: &Tensor) -> Tensor {
    x.sum_dim_intlist([1_i64].as_slice(), false, Kind::Float)
}
