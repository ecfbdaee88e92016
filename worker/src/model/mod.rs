//! Classifiers, each as its paper describes it.

pub mod layers;
mod lenet;
pub mod net;
pub mod network;
pub mod op;
