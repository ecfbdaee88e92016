//! What takes most of the time on a CPU, written for it: slices of floats in, slices of floats out, on one thread. Torch is
//! not known here.
//!
//! `conv_pool` is the joined 5x5 convolution, bias, 2x2 max-pooling and ReLU, `forward` and `backward` its two
//! directions; `products` are those of fully connected layers; `batch_norm` and `cross_entropy` are what their names say;
//! `optimisers` are the loops that change weights; `philox` draws random numbers. All are written once, for [`lanes`] of any width; `level`
//! picks the width that the processor has.

mod backward;
pub(crate) mod batch_norm;
pub(crate) mod conv_pool;
pub(crate) mod cross_entropy;
mod forward;
mod lanes;
mod level;
pub(crate) mod optimisers;
pub(crate) mod philox;
pub(crate) mod products;

#[cfg(test)]
mod tests;
#[cfg(test)]
mod timings;
