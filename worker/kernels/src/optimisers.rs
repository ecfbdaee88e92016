//! One step of an optimiser for one parameter, in one pass over memory. The compiler vectorises
//! these loops.

use crate::level::vectorised;

vectorised! {
    /// u = momentum * u + learning_rate * gradient + decay * w; w -= u. The rates are
    /// [learning_rate, momentum, decay].
    pub fn sgd(rates: [f32; 3], weights: &mut [f32], velocities: &mut [f32], gradients: &[f32]) {
        let [learning_rate, momentum, decay] = rates;
        assert!(velocities.len() == weights.len() && gradients.len() == weights.len());
        for ((weight, velocity), gradient) in weights.iter_mut().zip(velocities).zip(gradients) {
            *velocity = momentum * *velocity + learning_rate * gradient + decay * *weight;
            *weight -= *velocity;
        }
    }

    /// m = beta1 * m + gradient; v = beta2 * v + gradient^2; w -= rate * m / (sqrt(v) + epsilon).
    /// The rates are [rate, beta1, beta2, epsilon].
    pub fn adam(
        rates: [f32; 4],
        weights: &mut [f32],
        momenta: &mut [f32],
        squares: &mut [f32],
        gradients: &[f32],
    ) {
        let [rate, beta1, beta2, epsilon] = rates;
        let len = weights.len();
        assert_eq!([momenta.len(), squares.len(), gradients.len()], [len; 3]);
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
