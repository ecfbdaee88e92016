//! Adam (Kingma, Ba 2015), with epsilon where PyTorch had it before version 1.3.

use tch::Tensor;

use crate::{
    compute::{AdamRates, Place, Rate},
    lanes::{Lanes, Named},
    trial::state::{Misfit, State},
};

const BETA1: f64 = 0.9;
const BETA2: f64 = 0.999;
const EPSILON: f64 = 1e-8;

/// Step t: m = b1 m + (1 - b1) g; v = b2 v + (1 - b2) g^2; w -= lr sqrt(1 - b2^t) / (1 - b1^t) * m / (sqrt(v) + eps).
/// Epsilon is added before the bias correction; today's PyTorch adds it after. For K lanes.
#[derive(Debug)]
pub struct Adam {
    learning_rate: f64,
    /// m / (1 - b1) of each parameter: so scaled, a gradient is added without a temporary tensor.
    momenta: Vec<Tensor>,
    /// v / (1 - b2) of each parameter.
    squares: Vec<Tensor>,
    place: Place,
}

impl Adam {
    /// An optimiser of these parameters, each with a leading dimension of lanes.
    pub fn new(parameters: &[Named], learning_rate: f64, place: Place) -> Self {
        let zeros =
            || parameters.iter().map(|(_, parameter)| parameter.detach().zeros_like()).collect();
        Self { learning_rate, momenta: zeros(), squares: zeros(), place }
    }

    /// Keeps what training changes in a lane of it, beside the number of steps.
    pub(crate) fn keep_lane(&self, lane: i64, state: &mut State) {
        state.set_listed("adam.momentum", &of_lane(&self.momenta, lane));
        state.set_listed("adam.square", &of_lane(&self.squares, lane));
    }

    /// Goes on where [`Self::keep_lane`] left off.
    pub(crate) fn restore_lane(&mut self, lane: i64, state: &State) -> Result<(), Misfit> {
        state.restore_listed("adam.momentum", &of_lane(&self.momenta, lane))?;
        state.restore_listed("adam.square", &of_lane(&self.squares, lane))
    }

    /// The numbers of some steps, one after the other; `counts`: t of each lane, for each of them. On their way to a GPU
    /// they wait for all that it has yet to do, so they go there together.
    pub fn rates(&self, counts: &[Vec<u32>]) -> Vec<AdamRates> {
        // With M = m / (1 - b1) and V = v / (1 - b2), the step is -rate * M / (sqrt(V) + eps / sqrt(1 - b2)).
        let root = (1.0 - BETA2).sqrt();
        let rate = |&count: &u32| {
            let [correction1, correction2] =
                [BETA1, BETA2].map(|beta| 1.0 - beta.powf(count.into()));
            (self.learning_rate * correction2.sqrt() * (1.0 - BETA1) / (root * correction1)) as f32
        };
        let host: Vec<Vec<f32>> =
            counts.iter().map(|lanes| lanes.iter().map(rate).collect()).collect();
        let rates = Rate::each(host, self.place.device).into_iter();
        rates
            .map(|rate| AdamRates { rate, beta1: BETA1, beta2: BETA2, epsilon: EPSILON / root })
            .collect()
    }

    /// One step of these parameters, in place, down these gradients, one for each of them, with its [`Self::rates`].
    pub fn step(&mut self, parameters: &mut [Named], gradients: &[Tensor], rates: &AdamRates) {
        let states = self.momenta.iter_mut().zip(&mut self.squares);
        for (((_, parameter), gradient), (momentum, square)) in
            parameters.iter_mut().zip(gradients).zip(states)
        {
            self.place.compute.adam(rates, parameter, momentum, square, gradient);
        }
    }
}

impl Lanes for Adam {
    fn tensors_mut(&mut self) -> Vec<&mut Tensor> {
        self.momenta.iter_mut().chain(&mut self.squares).collect()
    }
}

fn of_lane(tensors: &[Tensor], lane: i64) -> Vec<Tensor> {
    tensors.iter().map(|tensor| tensor.narrow(0, lane, 1)).collect()
}
