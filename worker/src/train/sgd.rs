//! Stochastic gradient descent as `torch.optim.SGD` defines it, with momentum and weight decay,
//! without dampening.

use std::rc::Rc;

use tch::Tensor;

use crate::{
    compute::{Backend, Rate, SgdRates},
    lanes::{Model, Named, impl_lanes, named},
};

/// The hyperparameters of one trial.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// Step size.
    pub learning_rate: f64,
    /// Share of the last step that is added to the next one.
    pub momentum: f64,
    /// Coefficient of weight decay.
    pub weight_decay: f64,
}

/// SGD for K lanes: g = gradient + weight_decay * w; u = momentum * u + g; w -= learning_rate * u.
#[derive(Debug)]
pub struct Sgd {
    rates: Rc<SgdRates>,
    /// learning_rate * u of each parameter. So scaled, gradients and weights are added without
    /// temporary tensors.
    velocities: Vec<Tensor>,
    backend: Backend,
}

impl Sgd {
    /// An optimiser of these parameters, which have a leading dimension of lanes.
    pub fn new(parameters: &[Named], settings: &[Settings], backend: Backend) -> Self {
        let velocities = parameters.iter().map(|(_, parameter)| parameter.zeros_like()).collect();
        Self { rates: Rc::new(rates(settings, backend)), velocities, backend }
    }

    /// Sets the hyperparameters after lanes have changed.
    pub fn set(&mut self, settings: &[Settings]) {
        self.rates = Rc::new(rates(settings, self.backend));
    }

    /// Changes the parameters in place by one step. There is a gradient for each parameter.
    pub fn step(&mut self, parameters: &mut [Named], gradients: &[Tensor]) {
        let with = gradients.iter().zip(&mut self.velocities);
        for ((_, parameter), (gradient, velocity)) in parameters.iter_mut().zip(with) {
            self.backend.compute.sgd(&self.rates, [parameter, velocity], gradient);
        }
    }
}

impl Model for Sgd {
    const NAME: &'static str = "momentum";

    fn parameters(&self) -> Vec<Named> {
        let velocities = self.velocities.iter().enumerate();
        velocities.map(|(index, velocity)| named(index.to_string(), velocity)).collect()
    }
}

// The hyperparameters stay: `Sgd::set` follows.
impl_lanes!(Sgd { velocities } rates backend);

fn rates(settings: &[Settings], backend: Backend) -> SgdRates {
    let rate = |of: fn(&Settings) -> f64| {
        Rate::new(settings.iter().map(|settings| of(settings) as f32).collect(), backend.device)
    };
    SgdRates {
        learning_rate: rate(|s| s.learning_rate),
        momentum: rate(|s| s.momentum),
        decay: rate(|s| s.learning_rate * s.weight_decay),
    }
}
