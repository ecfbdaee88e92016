//! Classifiers, made of lists of layers.

mod build;
pub mod network;
pub mod op;
