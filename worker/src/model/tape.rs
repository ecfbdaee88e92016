//! Convolution, max-pooling and ReLU as one operation, fully connected layer and ReLU as another, and the gradients of
//! networks that contain them.
//!
//! On a GPU they are operations of torch, and the gradients are autograd's. On the CPU they are kernels, which autograd
//! does not know: a kernel's result is a leaf of the graph, and the tape remembers what its gradients follow from. From a
//! loss back to the parameters autograd and kernels then take turns.

use tch::{Device, Kind, Tensor, no_grad_guard};

use super::layers::{Layer, max_pool};
use crate::{
    kernel::conv_pool::{ConvPool, Gradients, Passed},
    memory::with_slices,
};

/// What passes forward leave behind for the gradients. Empty where autograd knows everything.
#[derive(Debug, Default)]
pub struct Tape {
    passes: Vec<Pass>,
}

/// One use of a kernel.
#[derive(Debug)]
struct Pass {
    layer: Layer,
    /// Part of autograd's graph or, as images are, not. Of convolutions `[N, I, H, W]`, channels last in memory.
    input: Tensor,
    /// A leaf. Of convolutions `[N, O, P, Q]`, channels last in memory.
    output: Tensor,
    kernel: Kernel,
}

#[derive(Debug)]
enum Kernel {
    ConvPool {
        sizes: ConvPool,
        choice: Vec<u8>,
    },
    /// `rows`: the input, `[N, inputs]`.
    Linear {
        rows: Tensor,
        relu: bool,
    },
}

impl Layer {
    /// Convolution with 5x5 filters, stride 1, without padding; max-pooling of 2 x 2 pixels; ReLU, if wanted. x: `[N,
    /// inputs, H, W]` -> `[N, outputs, (H - 4) / 2, (W - 4) / 2]`, rounded down. Without a tape no gradient of it may be
    /// asked for.
    pub fn conv_pool(&self, x: &Tensor, relu: bool, tape: Option<&mut Tape>) -> Tensor {
        if x.device() != Device::Cpu {
            let x = max_pool(&self.conv(x));
            return if relu { x.relu() } else { x };
        }
        let input = x.permute([0, 2, 3, 1]).contiguous(); // [N, H, W, I]
        let (images, height, width, inputs) = input.size4().expect("convolutions get images");
        let outputs = self.bias.size()[0];
        let [images, height, width, inputs, outputs] = [images, height, width, inputs, outputs].map(|x| x as usize);
        let sizes = ConvPool { images, height, width, inputs, outputs, relu };
        let (rows, columns) = sizes.pooled();
        let size = [images, rows, columns, outputs].map(|x| x as i64);
        let mut output = Tensor::empty(size, (Kind::Float, Device::Cpu));
        let mut choice = vec![0; sizes.output_len()];
        with_slices([&input, &self.weight, &self.bias], [&mut output], |[input, filters, bias], [output]| {
            sizes.forward(input, filters, bias, output, &mut choice);
        });
        let output = output.permute([0, 3, 1, 2]); // [N, O, P, Q]
        let Some(tape) = tape else { return output };
        tape.record(self, input.permute([0, 3, 1, 2]), output, Kernel::ConvPool { sizes, choice })
    }

    /// Fully connected layer and ReLU, if wanted. x: `[N, ...]`, in all `inputs` values each -> `[N, outputs]`. Without a
    /// tape no gradient of it may be asked for.
    pub fn connect(&self, x: &Tensor, relu: bool, tape: Option<&mut Tape>) -> Tensor {
        if x.device() != Device::Cpu {
            let x = self.linear(&x.flatten(1, -1));
            return if relu { x.relu() } else { x };
        }
        let _guard = no_grad_guard();
        let rows = x.flatten(1, -1);
        let mut y = self.product(&rows);
        let output = if relu { y.relu_() } else { y };
        let Some(tape) = tape else { return output };
        tape.record(self, x.shallow_clone(), output, Kernel::Linear { rows, relu })
    }
}

impl Pass {
    /// Gradients of weight, bias and, if it has one, input, from that of the output.
    fn gradients(&self, of_output: &Tensor) -> (Tensor, Tensor, Option<Tensor>) {
        let wanted = self.input.requires_grad();
        match &self.kernel {
            Kernel::ConvPool { sizes, choice } => {
                let of_output = of_output.permute([0, 2, 3, 1]).contiguous();
                let empty = |x: &Tensor| x.detach().empty_like();
                let (mut of_weight, mut of_bias) = (empty(&self.layer.weight), empty(&self.layer.bias));
                let mut of_input = empty(&self.input);
                let from = [&self.input, &self.layer.weight, &self.output, &of_output];
                let to = [&mut of_weight, &mut of_bias, &mut of_input];
                with_slices(from, to, |[input, filters, output, gradient], [of_weight, of_bias, of_input]| {
                    let from = Passed { input, filters, output, choice };
                    let to = Gradients { filters: of_weight, bias: of_bias, input: wanted.then_some(of_input) };
                    sizes.backward(from, gradient, to);
                });
                (of_weight, of_bias, wanted.then_some(of_input))
            }
            Kernel::Linear { rows, relu } => {
                let of_output = match relu {
                    true => self.output.threshold_backward(of_output, 0.0),
                    false => of_output.shallow_clone(),
                };
                let (of_weight, of_bias) = self.layer.gradients_of_parameters(&of_output, rows);
                let of_input = wanted.then(|| self.layer.gradient_of_input(&of_output).view_as(&self.input));
                (of_weight, of_bias, of_input)
            }
        }
    }
}

impl Tape {
    /// Makes the output a leaf and remembers where it comes from.
    fn record(&mut self, layer: &Layer, input: Tensor, output: Tensor, kernel: Kernel) -> Tensor {
        let layer = Layer { weight: layer.weight.shallow_clone(), bias: layer.bias.shallow_clone() };
        let output = output.set_requires_grad(true);
        self.passes.push(Pass { layer, input, output: output.shallow_clone(), kernel });
        output
    }

    /// Gradients of a loss with respect to parameters, each of which it must depend on.
    pub fn gradients(&self, loss: &Tensor, parameters: &[Tensor]) -> Vec<Tensor> {
        if self.passes.is_empty() {
            return Tensor::run_backward(&[loss], parameters, false, false);
        }
        let mut of_parameters: Vec<Option<Tensor>> = parameters.iter().map(|_| None).collect();
        let mut of_outputs: Vec<Option<Tensor>> = self.passes.iter().map(|_| None).collect();
        self.autograd(loss, parameters, &mut of_parameters, &mut of_outputs);
        for (index, pass) in self.passes.iter().enumerate().rev() {
            let Some(of_output) = of_outputs[index].take() else { continue };
            let _guard = no_grad_guard();
            let (of_weight, of_bias, of_input) = pass.gradients(&of_output);
            for (parameter, gradient) in [(&pass.layer.weight, of_weight), (&pass.layer.bias, of_bias)] {
                let same = parameters.iter().position(|other| other.data_ptr() == parameter.data_ptr());
                add(&mut of_parameters[same.expect("layers hold parameters")], gradient);
            }
            let Some(of_input) = of_input else { continue };
            let before = self.passes[..index].iter().position(|p| p.output.data_ptr() == pass.input.data_ptr());
            match before {
                Some(before) => add(&mut of_outputs[before], of_input),
                None => {
                    // The gradient of this product, summed, is what the input's own gradient leads to.
                    let product = tch::with_grad(|| &pass.input * of_input);
                    self.autograd(&product, parameters, &mut of_parameters, &mut of_outputs);
                }
            }
        }
        of_parameters.into_iter().map(|gradient| gradient.expect("the loss depends on all parameters")).collect()
    }

    /// Adds what autograd knows of the gradient of `loss`, summed.
    fn autograd(
        &self,
        loss: &Tensor,
        parameters: &[Tensor],
        of_parameters: &mut [Option<Tensor>],
        of_outputs: &mut [Option<Tensor>],
    ) {
        let outputs = self.passes.iter().map(|pass| &pass.output);
        let all: Vec<&Tensor> = parameters.iter().chain(outputs).collect();
        let gradients = Tensor::run_backward(&[loss], &all, false, false);
        // What the loss does not depend on, but through a kernel, has none.
        for (sum, gradient) in of_parameters.iter_mut().chain(of_outputs).zip(gradients) {
            if gradient.defined() {
                add(sum, gradient);
            }
        }
    }
}

fn add(sum: &mut Option<Tensor>, gradient: Tensor) {
    *sum = Some(match sum.take() {
        Some(sum) => sum + gradient,
        None => gradient,
    });
}
