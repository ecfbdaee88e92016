//! The trainer against PyTorch: losses, function norms, gradients, weights, running statistics, logits and samples, for
//! the same weights and inputs, over 20 steps. tests/reference/ at the top of the repository holds the numbers and the
//! program that computed them.

mod classifiers;
mod dump;
mod vaes;
