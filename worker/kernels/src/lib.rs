//! What takes most of the time on a CPU, written for it: slices of floats in, slices of floats out, on one thread. Torch is
//! not known here: the worker's tests compare the two.
//!
//! `conv_pool` is the joined 5x5 convolution, bias, 2x2 max-pooling and ReLU, `forward` and `backward` its two
//! directions; `products` are those of fully connected layers; `batch_norm` and `cross_entropy` are what their names say;
//! `optimisers` are the loops that change weights; `philox` draws random numbers. All are written once, for `lanes` of
//! any width; [`Level`] is the width that the processor has. A function whose name ends with `_at` is told which one.
//!
//! A crate of its own, since it takes minutes to compile, whatever else of the worker is compiled, and only this crate has
//! to be optimised in tests. So nothing here is generic to the outside: that would be compiled where it is called.

pub mod batch_norm;
pub mod conv_pool;
pub mod cross_entropy;
mod lanes;
mod level;
pub mod optimisers;
pub mod philox;
pub mod products;

pub use level::Level;
