//! Arithmetic that takes most of the time on a CPU: slices of floats in, slices of floats out, on
//! one thread. This crate knows no torch; the worker's tests compare the two.
//!
//! `conv_pool` joins 5x5 convolution, bias, 2x2 max-pooling and ReLU. `products` serve fully
//! connected layers, `optimisers` change weights, and `philox` draws random numbers. All are
//! written once, for `lanes` of any width. [`Level`] is the width that the processor has.
//!
//! It is a crate of its own because it takes minutes to compile, and because tests need it
//! optimised. Nothing here is generic to the outside: that would be compiled where it is called.

pub mod batch_norm;
pub mod conv_pool;
pub mod cross_entropy;
mod lanes;
mod level;
pub mod optimisers;
pub mod philox;
pub mod products;

pub use level::Level;
