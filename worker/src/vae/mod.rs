//! The density that the function norm is weighted with: a variational autoencoder of the training images, its training,
//! its samples, and where trained ones are kept.

pub mod adam;
pub mod cache;
pub mod conv;
pub mod disk;
pub mod family;
pub(crate) mod file;
pub mod model;
pub mod trained;
pub mod training;
