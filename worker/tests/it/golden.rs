//! The trainer against PyTorch, for the same weights and inputs, over 20 steps: losses, function
//! norms, gradients, weights, running statistics, logits and samples.
//!
//! The numbers, and the program that computed them, are in tests/reference/ at the top of the
//! repository.

mod classifiers;
mod dump;
mod vaes;
