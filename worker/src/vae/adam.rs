//! Adam (Kingma, Ba 2015), with epsilon where PyTorch had it before version 1.3.

use tch::{Device, Tensor, no_grad_guard};

use crate::{
    kernel::optimisers,
    memory::{in_order_of, with_slices},
    model::layers::Named,
    train::state::{Misfit, State},
};

const BETA1: f64 = 0.9;
const BETA2: f64 = 0.999;
const EPSILON: f64 = 1e-8;

/// Step t: m = b1 m + (1 - b1) g; v = b2 v + (1 - b2) g^2; w -= lr sqrt(1 - b2^t) / (1 - b1^t) * m / (sqrt(v) + eps).
/// Epsilon is added before the bias correction; today's PyTorch adds it after.
#[derive(Debug)]
pub struct Adam {
    learning_rate: f64,
    steps: i32,
    parameters: Vec<Tensor>,
    /// m / (1 - b1) of each parameter: so scaled, a gradient is added without a temporary tensor.
    momenta: Vec<Tensor>,
    /// v / (1 - b2) of each parameter.
    squares: Vec<Tensor>,
}

impl Adam {
    /// An optimiser over these parameters, whose tensors it changes in place.
    pub fn new(parameters: Vec<Named>, learning_rate: f64) -> Self {
        let parameters: Vec<Tensor> = parameters.into_iter().map(|(_, tensor)| tensor).collect();
        let zeros = || parameters.iter().map(|p| p.detach().zeros_like()).collect();
        Self { learning_rate, steps: 0, momenta: zeros(), squares: zeros(), parameters }
    }

    /// Keeps what training changes in it.
    pub(crate) fn keep(&self, state: &mut State) {
        state.set("adam.steps", self.steps.unsigned_abs().into());
        state.set_listed("adam.momentum", &self.momenta);
        state.set_listed("adam.square", &self.squares);
    }

    /// Goes on where [`Self::keep`] left off.
    pub(crate) fn restore(&mut self, state: &State) -> Result<(), Misfit> {
        self.steps = i32::try_from(state.number("adam.steps")?).map_err(|_| Misfit::of("adam.steps"))?;
        state.restore_listed("adam.momentum", &self.momenta)?;
        state.restore_listed("adam.square", &self.squares)
    }

    /// What it changes.
    pub fn parameters(&self) -> &[Tensor] {
        &self.parameters
    }

    /// One step down these gradients, one for each parameter.
    pub fn step(&mut self, gradients: &[Tensor]) {
        let _guard = no_grad_guard();
        self.steps += 1;
        let correction1 = 1.0 - BETA1.powi(self.steps);
        let correction2 = 1.0 - BETA2.powi(self.steps);
        // With M = m / (1 - b1) and V = v / (1 - b2), the step is -M / ((sqrt(V) + eps / sqrt(1 - b2)) * factor).
        let root = (1.0 - BETA2).sqrt();
        let factor = root * correction1 / (self.learning_rate * correction2.sqrt() * (1.0 - BETA1));
        let kernel = optimisers::Adam {
            rate: (1.0 / factor) as f32,
            beta1: BETA1 as f32,
            beta2: BETA2 as f32,
            epsilon: (EPSILON / root) as f32,
        };
        let states = self.momenta.iter_mut().zip(&mut self.squares);
        for ((parameter, gradient), (momentum, square)) in self.parameters.iter_mut().zip(gradients).zip(states) {
            if parameter.device() == Device::Cpu {
                let (gradient, state) = (in_order_of(gradient, parameter), [parameter, momentum, square]);
                with_slices([&gradient], state, |[gradient], [parameter, momentum, square]| {
                    kernel.step(parameter, momentum, square, gradient);
                });
                continue;
            }
            let _ = momentum.g_mul_scalar_(BETA1).g_add_(gradient);
            let _ = square.g_mul_scalar_(BETA2).addcmul_(gradient, gradient);
            let denominator = square.sqrt().g_add_scalar_(EPSILON / root).g_mul_scalar_(-factor);
            let _ = parameter.addcdiv_(momentum, &denominator);
        }
    }
}
