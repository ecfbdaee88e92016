//! The density that the function norm is weighted with: a variational autoencoder of the training images, its training,
//! its samples.

pub mod adam;
pub mod cache;
pub mod model;
pub mod trained;
pub mod training;
