//! Classifiers, each as its paper describes it.

pub mod layers;
pub mod lenet;
pub mod net;
pub mod network;
mod products;
pub mod tape;
