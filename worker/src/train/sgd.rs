//! Stochastic gradient descent as `torch.optim.SGD` defines it, with momentum and weight decay, without dampening.

use tch::Tensor;

use crate::{
    compute::{Place, Rate, SgdRates},
    lanes::{Lanes, Named},
};

/// The numbers of one trial.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// Step size.
    pub learning_rate: f64,
    /// Share of the last step that is made again.
    pub momentum: f64,
    /// Weight decay.
    pub weight_decay: f64,
}

/// g = gradient + weight_decay * w; u = momentum * u + g; w -= learning_rate * u. For K lanes.
#[derive(Debug)]
pub struct Sgd {
    rates: SgdRates,
    /// learning_rate * u of each parameter: so scaled, gradients and weights are added without temporary tensors.
    velocities: Vec<Tensor>,
    place: Place,
}

impl Sgd {
    /// An optimiser of these parameters, each with a leading dimension of lanes.
    pub fn new(parameters: &[Named], settings: &[Settings], place: Place) -> Self {
        let velocities = parameters.iter().map(|(_, parameter)| parameter.zeros_like()).collect();
        Self { rates: rates(settings, place), velocities, place }
    }

    /// Goes on with these numbers, for lanes that have changed.
    pub fn set(&mut self, settings: &[Settings]) {
        self.rates = rates(settings, self.place);
    }

    /// What training changes in it.
    pub(crate) fn state(&self) -> &[Tensor] {
        &self.velocities
    }

    /// One step of these parameters, in place, down these gradients, one for each of them.
    pub fn step(&mut self, parameters: &mut [Named], gradients: &[Tensor]) {
        let with = gradients.iter().zip(&mut self.velocities);
        for ((_, parameter), (gradient, velocity)) in parameters.iter_mut().zip(with) {
            self.place.compute.sgd(&self.rates, parameter, velocity, gradient);
        }
    }
}

impl Lanes for Sgd {
    fn tensors_mut(&mut self) -> Vec<&mut Tensor> {
        self.velocities.iter_mut().collect()
    }
}

fn rates(settings: &[Settings], place: Place) -> SgdRates {
    let rate = |of: fn(&Settings) -> f64| {
        Rate::new(settings.iter().map(|settings| of(settings) as f32).collect(), place.device)
    };
    SgdRates {
        learning_rate: rate(|s| s.learning_rate),
        momentum: rate(|s| s.momentum),
        decay: rate(|s| s.learning_rate * s.weight_decay),
    }
}
