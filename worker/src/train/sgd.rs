//! Stochastic gradient descent as `torch.optim.SGD` defines it, with momentum and weight decay, without dampening.

use tch::{Tensor, no_grad_guard};

use crate::model::layers::Named;

/// g = gradient + weight_decay * w; u = momentum * u + g; w -= learning_rate * u.
#[derive(Debug)]
pub struct Sgd {
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
        Self {
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

    /// One step down the gradient of `objective`.
    pub fn minimise(&mut self, objective: &Tensor) {
        let gradients = Tensor::run_backward(&[objective], &self.parameters, false, false);
        let _guard = no_grad_guard();
        for ((parameter, gradient), velocity) in self.parameters.iter_mut().zip(&gradients).zip(&mut self.velocities) {
            let _ = velocity.g_mul_scalar_(self.momentum).addcmul_(gradient, &self.learning_rate);
            if let Some(decay) = &self.decay {
                let _ = velocity.addcmul_(parameter, decay);
            }
            let _ = parameter.g_sub_(velocity);
        }
    }
}
