//! Operations of a classifier, each with its gradients written out. Sizes: K lanes, N images each.

use tch::{Kind, Tensor};

use crate::{
    compute::{self, Compute, LayerGradients, Normed, convolution, kernels},
    lanes::{Lanes, Map, Named, impl_lanes},
    layers::{BatchNorm, Layer, NormMode},
};

/// One operation, with its parameters.
#[derive(Debug)]
pub(super) enum Op {
    /// Convolution: `[K, N, H, W, C]` -> `[K, N, h, w, outputs]`.
    Conv(Learnt),
    /// 2x2 max-pooling: `[K, N, H, W, C]` -> `[K, N, H / 2, W / 2, C]`.
    Pool,
    Relu,
    /// 5x5 convolution, 2x2 max-pooling, ReLU if wanted, as one: `[K, N, H, W, C]` ->
    /// `[K, N, P, Q, outputs]`.
    ConvPool {
        learnt: Learnt,
        relu: bool,
    },
    /// Fully connected layer, ReLU if wanted: `[K, N, ...]` -> `[K, N, outputs]`.
    Linear {
        learnt: Learnt,
        relu: bool,
    },
    /// Two fully connected layers with nothing between them, computed as one small linear map.
    TwoLinear([Learnt; 2]),
    /// Batch norm over everything but lanes and channels.
    BatchNorm {
        name: String,
        norm: BatchNorm,
    },
    /// Dropout of channels or of single values. `site` is the index of its masks.
    Dropout {
        site: usize,
        width: i64,
    },
}

/// Weight and bias of a layer, and how PyTorch names and orders them.
#[derive(Debug)]
pub(super) struct Learnt {
    /// The layer's name in PyTorch.
    pub(super) name: String,
    pub(super) layer: Layer,
    pub(super) inputs: Inputs,
}

/// The kind of a layer's inputs, on which PyTorch's order of the weights depends.
#[derive(Debug, Clone, Copy)]
pub(super) enum Inputs {
    /// The pixels that a filter covers, channels last. PyTorch has the channels first.
    Pixels,
    /// Numbers without an order of dimensions.
    Values,
    /// An image of (height, width), channels last. PyTorch flattens it with the channels first.
    Flattened((i64, i64)),
    /// The image that a convolution covers as a whole, ordered as above.
    Image((i64, i64)),
}

/// Memory of an operation's forward pass for its gradients.
#[derive(Debug)]
pub(super) enum Trace {
    Conv { size: Vec<i64>, columns: Tensor, of_input: bool },
    Pool { x: Tensor, indices: Tensor },
    Relu(Tensor),
    ConvPool { x: Tensor, output: Tensor, choice: Vec<u8>, of_input: bool },
    Linear { x: Tensor, output: Tensor },
    TwoLinear { x: Tensor, weight: Tensor },
    BatchNorm { size: Vec<i64>, normed: Normed },
    Factors(Tensor),
    Nothing,
}

/// `[K, N, ...]` -> `[K, N, values]`.
fn rows(x: &Tensor) -> Tensor {
    x.flatten(2, -1)
}

/// `[K, N, ..., channels]` -> `[K, N * ..., channels]`.
fn channels(x: &Tensor) -> Tensor {
    x.flatten(1, -2)
}

impl Inputs {
    /// A weight of one lane in PyTorch's order, `[outputs, inputs, height, width]` where the inputs
    /// are pixels. It shares its storage.
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
    /// Computes the output. In the `first` operation, the input needs no gradient. `masks` are
    /// those of dropout, see [`StepInput`](super::network::StepInput).
    pub(super) fn forward(
        &self,
        compute: &dyn Compute,
        x: Tensor,
        mode: NormMode,
        masks: &[Tensor],
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
                let (output, choice) = kernels::conv_pool(&learnt.layer, &x, *relu);
                (output.shallow_clone(), Trace::ConvPool { x, output, choice, of_input: !first })
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
                let normed = compute.batch_norm(norm, &channels(&x), mode);
                (normed.output.view_as(&x), Trace::BatchNorm { size: x.size(), normed })
            }
            Self::Dropout { site, .. } => {
                let Some(mask) = masks.get(*site) else { return (x, Trace::Nothing) };
                let factors = match x.dim() {
                    5 => mask.unsqueeze(2).unsqueeze(2), // of images: [K, N, 1, 1, channels]
                    _ => mask.shallow_clone(),
                };
                (x * &factors, Trace::Factors(factors))
            }
        }
    }

    /// Adds the gradients of the parameters to `gradients`, in the order of [`Self::parameters`],
    /// and returns that of the input, if it is needed. `of_output` is the gradient of the output.
    pub(super) fn backward(
        &self,
        compute: &dyn Compute,
        trace: &Trace,
        of_output: &Tensor,
        gradients: &mut [Option<Tensor>],
    ) -> Option<Tensor> {
        let mut add = |index: usize, gradient| compute::add(&mut gradients[index], gradient);
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
            (Self::ConvPool { learnt, relu }, Trace::ConvPool { x, output, choice, of_input }) => {
                let (layer, made) = (&learnt.layer, (output, &choice[..]));
                add_both(kernels::conv_pool_gradients(layer, *relu, x, made, of_output, *of_input))
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
                // First the gradients of the joined weight and bias, then those of the layers. [K,
                // outputs, inputs]
                let of_weight = compute.transposed_product(of_output, &rows(x));
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
            _ => panic!("the trace is of another network"),
        }
    }

    /// Its layers with parameters.
    fn learnt(&self) -> &[Learnt] {
        match self {
            Self::Conv(learnt) | Self::ConvPool { learnt, .. } | Self::Linear { learnt, .. } => {
                std::slice::from_ref(learnt)
            }
            Self::TwoLinear(both) => both,
            Self::BatchNorm { .. } | Self::Dropout { .. } | Self::Pool | Self::Relu => &[],
        }
    }

    /// Its parameters, named as in PyTorch.
    pub(super) fn parameters(&self) -> Vec<Named> {
        match self {
            Self::BatchNorm { name, norm } => norm.parameters(name),
            _ => self.learnt().iter().flat_map(|learnt| learnt.layer.named(&learnt.name)).collect(),
        }
    }

    /// Its running statistics, named as in PyTorch.
    pub(super) fn buffers(&self) -> Vec<Named> {
        match self {
            Self::BatchNorm { name, norm } => norm.buffers(name),
            _ => Vec::new(),
        }
    }

    /// One lane of the parameter `index` of [`Self::parameters`], or of its gradient, in PyTorch's
    /// order of dimensions. It shares its storage.
    pub(super) fn as_pytorch(&self, index: usize, tensor: &Tensor, lane: i64) -> Tensor {
        let tensor = tensor.select(0, lane);
        match self.learnt().get(index / 2) {
            Some(learnt) if index.is_multiple_of(2) => learnt.inputs.as_pytorch(tensor),
            _ => tensor,
        }
    }

    /// Whether PyTorch's weight has one dimension for inputs that are an image.
    pub(super) fn is_flattened(&self, index: usize) -> bool {
        let learnt = self.learnt().get(index / 2);
        index.is_multiple_of(2)
            && learnt.is_some_and(|learnt| matches!(learnt.inputs, Inputs::Flattened(_)))
    }
}

impl Lanes for Op {
    fn map(&self, f: &mut Map<'_>) -> Self {
        match self {
            Self::Conv(learnt) => Self::Conv(learnt.map(f)),
            Self::Pool => Self::Pool,
            Self::Relu => Self::Relu,
            Self::ConvPool { learnt, relu } => {
                Self::ConvPool { learnt: learnt.map(f), relu: *relu }
            }
            Self::Linear { learnt, relu } => Self::Linear { learnt: learnt.map(f), relu: *relu },
            Self::TwoLinear(both) => Self::TwoLinear(Lanes::map(both, f)),
            Self::BatchNorm { name, norm } => {
                Self::BatchNorm { name: name.clone(), norm: norm.map(f) }
            }
            Self::Dropout { site, width } => Self::Dropout { site: *site, width: *width },
        }
    }
}

impl_lanes!(Learnt { layer } name inputs);

/// Sum over the rows: `[K, N, outputs]` -> `[K, outputs]`.
fn sum(x: &Tensor) -> Tensor {
    x.sum_dim_intlist([1_i64].as_slice(), false, Kind::Float)
}
