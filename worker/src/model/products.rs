//! The products of fully connected layers, forward and backward: kernels on the CPU, torch's own elsewhere. Autograd knows
//! nothing of them on the CPU.

use tch::{Device, Kind, Tensor};

use super::layers::Layer;
use crate::{kernel::products, memory::with_slices};

impl Layer {
    /// x: `[N, inputs]` -> `[N, outputs]`. No gradient of it may be asked for.
    pub(crate) fn product(&self, x: &Tensor) -> Tensor {
        if x.device() != Device::Cpu {
            return self.linear(x);
        }
        let mut y = Tensor::empty([x.size()[0], self.bias.size()[0]], (Kind::Float, Device::Cpu));
        with_slices([&x.contiguous(), &self.weight, &self.bias], [&mut y], |[x, weight, bias], [y]| {
            products::forward(x, weight, bias, y);
        });
        y
    }

    /// Gradient of x from that of y: `[N, outputs]` -> `[N, inputs]`.
    pub(crate) fn gradient_of_input(&self, of_output: &Tensor) -> Tensor {
        if of_output.device() != Device::Cpu {
            return of_output.matmul(&self.weight);
        }
        let rows = of_output.size()[0];
        let mut of_input = Tensor::empty([rows, self.weight.size()[1]], (Kind::Float, Device::Cpu));
        with_slices([&of_output.contiguous(), &self.weight], [&mut of_input], |[of_output, weight], [of_input]| {
            products::product(of_output, weight, rows as usize, of_input);
        });
        of_input
    }

    /// Gradients of weight and bias from that of y, `[N, outputs]`, and x, `[N, inputs]`.
    pub(crate) fn gradients_of_parameters(&self, of_output: &Tensor, x: &Tensor) -> (Tensor, Tensor) {
        let of_bias = of_output.sum_dim_intlist([0_i64].as_slice(), false, Kind::Float);
        if x.device() != Device::Cpu {
            return (of_output.tr().matmul(x), of_bias);
        }
        let outputs = of_output.size()[1];
        let mut of_weight = Tensor::empty([outputs, x.size()[1]], (Kind::Float, Device::Cpu));
        with_slices([&of_output.contiguous(), &x.contiguous()], [&mut of_weight], |[of_output, x], [of_weight]| {
            products::transposed_product(of_output, x, outputs as usize, of_weight);
        });
        (of_weight, of_bias)
    }
}
