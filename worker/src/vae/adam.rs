//! Adam (Kingma, Ba 2015), with epsilon where PyTorch had it before version 1.3.

use tch::Tensor;

use crate::{
    compute::{AdamRates, Backend, Rate},
    lanes::{Model, Named, impl_lanes, named},
};

const BETA1: f64 = 0.9;
const BETA2: f64 = 0.999;
const EPSILON: f64 = 1e-8;

/// Adam for K lanes. Step t: m = b1 m + (1 - b1) g; v = b2 v + (1 - b2) g^2; w -= lr sqrt(1 - b2^t)
/// / (1 - b1^t) * m / (sqrt(v) + eps).
///
/// Epsilon is added before the bias correction; today's PyTorch adds it after.
#[derive(Debug)]
pub struct Adam {
    learning_rate: f64,
    /// m / (1 - b1) of each parameter. So scaled, a gradient is added without a temporary tensor.
    momenta: Vec<Tensor>,
    /// v / (1 - b2) of each parameter.
    squares: Vec<Tensor>,
    backend: Backend,
}

impl Adam {
    /// An optimiser of these parameters, which have a leading dimension of lanes.
    pub fn new(parameters: &[Named], learning_rate: f64, backend: Backend) -> Self {
        let zeros =
            || parameters.iter().map(|(_, parameter)| parameter.detach().zeros_like()).collect();
        Self { learning_rate, momenta: zeros(), squares: zeros(), backend }
    }

    /// The rates of consecutive steps. `counts` has t of each lane, for each step. Copies to a GPU
    /// wait for its work, so they go there together.
    pub fn rates(&self, counts: &[Vec<u32>]) -> Vec<AdamRates> {
        // With M = m / (1 - b1) and V = v / (1 - b2), the step is -rate * M / (sqrt(V) + eps /
        // sqrt(1 - b2)).
        let root = (1.0 - BETA2).sqrt();
        let rate = |&count: &u32| {
            let [correction1, correction2] =
                [BETA1, BETA2].map(|beta| 1.0 - beta.powf(count.into()));
            (self.learning_rate * correction2.sqrt() * (1.0 - BETA1) / (root * correction1)) as f32
        };
        let host: Vec<Vec<f32>> =
            counts.iter().map(|lanes| lanes.iter().map(rate).collect()).collect();
        let rates = Rate::each(host, self.backend.device).into_iter();
        rates
            .map(|rate| AdamRates { rate, beta1: BETA1, beta2: BETA2, epsilon: EPSILON / root })
            .collect()
    }

    /// Changes the parameters in place by one step, with its [`Self::rates`]. There is a gradient
    /// for each parameter.
    pub fn step(&mut self, parameters: &mut [Named], gradients: &[Tensor], rates: &AdamRates) {
        let states = self.momenta.iter_mut().zip(&mut self.squares);
        for (((_, parameter), gradient), (momentum, square)) in
            parameters.iter_mut().zip(gradients).zip(states)
        {
            self.backend.compute.adam(rates, [parameter, momentum, square], gradient);
        }
    }
}

impl Model for Adam {
    const NAME: &'static str = "adam";

    /// The moments. Beside them only the number of steps changes.
    fn parameters(&self) -> Vec<Named> {
        let moments = [("momentum", &self.momenta), ("square", &self.squares)];
        let all = moments.into_iter().flat_map(|(name, tensors)| {
            let tensors = tensors.iter().enumerate();
            tensors.map(move |(index, tensor)| named(format!("{name}.{index}"), tensor))
        });
        all.collect()
    }
}

impl_lanes!(Adam { momenta, squares } learning_rate backend);
