//! One step of an optimiser for one parameter, in one pass over memory. The compiler vectorises
//! these loops.

#![allow(unsafe_code, reason = "the trait of work for vectors; nothing here is unsafe by itself")]

use crate::{
    lanes::Lanes,
    level::{Level, Work},
};

/// u = momentum * u + learning_rate * gradient + decay * w; w -= u.
#[derive(Debug, Clone, Copy)]
pub struct Sgd {
    /// Factor of the gradient.
    pub learning_rate: f32,
    /// Factor of the last change.
    pub momentum: f32,
    /// Learning rate times weight decay.
    pub decay: f32,
}

/// m = beta1 * m + gradient; v = beta2 * v + gradient^2; w -= rate * m / (sqrt(v) + epsilon).
#[derive(Debug, Clone, Copy)]
pub struct Adam {
    /// Factor of the change.
    pub rate: f32,
    /// Factor of the running sum of gradients.
    pub beta1: f32,
    /// Factor of the running sum of their squares.
    pub beta2: f32,
    /// Added to the root, against division by zero.
    pub epsilon: f32,
}

struct SgdStep<'a>(Sgd, &'a mut [f32], &'a mut [f32], &'a [f32]);

struct AdamStep<'a>(Adam, &'a mut [f32], [&'a mut [f32]; 2], &'a [f32]);

impl Sgd {
    /// Changes weights and velocities. All slices have the same length.
    pub fn step(self, weights: &mut [f32], velocities: &mut [f32], gradients: &[f32]) {
        Level::best().run(SgdStep(self, weights, velocities, gradients));
    }
}

impl Adam {
    /// Changes weights, momenta and squares. All slices have the same length.
    pub fn step(
        self,
        weights: &mut [f32],
        momenta: &mut [f32],
        squares: &mut [f32],
        gradients: &[f32],
    ) {
        Level::best().run(AdamStep(self, weights, [momenta, squares], gradients));
    }
}

impl Work for SgdStep<'_> {
    #[inline(always)]
    unsafe fn run<V: Lanes>(self) {
        let Self(Sgd { learning_rate, momentum, decay }, weights, velocities, gradients) = self;
        assert!(velocities.len() == weights.len() && gradients.len() == weights.len());
        for ((weight, velocity), gradient) in weights.iter_mut().zip(velocities).zip(gradients) {
            *velocity = momentum * *velocity + learning_rate * gradient + decay * *weight;
            *weight -= *velocity;
        }
    }
}

impl Work for AdamStep<'_> {
    #[inline(always)]
    unsafe fn run<V: Lanes>(self) {
        let Self(Adam { rate, beta1, beta2, epsilon }, weights, [momenta, squares], gradients) =
            self;
        assert!(
            momenta.len() == weights.len()
                && squares.len() == weights.len()
                && gradients.len() == weights.len()
        );
        let states = momenta.iter_mut().zip(squares);
        for ((weight, (momentum, square)), gradient) in
            weights.iter_mut().zip(states).zip(gradients)
        {
            *momentum = beta1 * *momentum + gradient;
            *square = beta2 * *square + gradient * gradient;
            *weight -= rate * *momentum / (square.sqrt() + epsilon);
        }
    }
}
