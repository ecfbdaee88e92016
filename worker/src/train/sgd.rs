//! Stochastic gradient descent as `torch.optim.SGD` defines it, with momentum and weight decay, without dampening.

use tch::{Device, Tensor, no_grad_guard};

use crate::{
    kernel::optimisers,
    memory::{in_order_of, with_slices},
    model::layers::Named,
};

/// g = gradient + weight_decay * w; u = momentum * u + g; w -= learning_rate * u.
#[derive(Debug)]
pub struct Sgd {
    /// On the CPU.
    kernel: optimisers::Sgd,
    momentum: f64,
    /// Learning rate and learning rate times weight decay, as tensors: one value per trial when trials share a
    /// computation.
    learning_rate: Tensor,
    decay: Option<Tensor>,
    parameters: Vec<Tensor>,
    /// learning_rate * u of each parameter: so scaled, gradients and weights are added without temporary tensors.
    velocities: Vec<Tensor>,
}

impl Sgd {
    /// An optimiser over these parameters, whose tensors it changes in place.
    pub fn new(parameters: Vec<Named>, learning_rate: f64, momentum: f64, weight_decay: f64) -> Self {
        let parameters: Vec<Tensor> = parameters.into_iter().map(|(_, tensor)| tensor).collect();
        let scalar = |x: f64| Tensor::from_slice(&[x as f32]).squeeze().to_device(parameters[0].device());
        let kernel = optimisers::Sgd {
            learning_rate: learning_rate as f32,
            momentum: momentum as f32,
            decay: (learning_rate * weight_decay) as f32,
        };
        Self {
            kernel,
            momentum,
            learning_rate: scalar(learning_rate),
            decay: (weight_decay > 0.0).then(|| scalar(learning_rate * weight_decay)),
            velocities: parameters.iter().map(|p| p.detach().zeros_like()).collect(),
            parameters,
        }
    }

    /// What training changes in it.
    pub(crate) fn state(&self) -> &[Tensor] {
        &self.velocities
    }

    /// What it changes.
    pub fn parameters(&self) -> &[Tensor] {
        &self.parameters
    }

    /// One step down these gradients, one for each parameter.
    pub fn step(&mut self, gradients: &[Tensor]) {
        let _guard = no_grad_guard();
        for ((parameter, gradient), velocity) in self.parameters.iter_mut().zip(gradients).zip(&mut self.velocities) {
            if parameter.device() == Device::Cpu {
                let gradient = in_order_of(gradient, parameter);
                with_slices([&gradient], [parameter, velocity], |[gradient], [parameter, velocity]| {
                    self.kernel.step(parameter, velocity, gradient);
                });
                continue;
            }
            let _ = velocity.g_mul_scalar_(self.momentum).addcmul_(gradient, &self.learning_rate);
            if let Some(decay) = &self.decay {
                let _ = velocity.addcmul_(parameter, decay);
            }
            let _ = parameter.g_sub_(velocity);
        }
    }
}
