//! Variational autoencoders of the training images, the density that the function norm is weighted
//! with: models, training, samples, and where trained ones are kept.

pub mod adam;
pub mod cache;
pub mod conv;
pub mod disk;
pub mod family;
pub(crate) mod file;
pub mod model;
pub mod trained;
pub mod training;
