//! The training of a trial: VAE first where the function norm needs one, then the classifier.

mod artifacts;
pub mod batches;
pub mod checkpoint;
pub mod classifier;
pub mod device_data;
pub mod evaluation;
pub mod report;
pub mod samples;
pub mod sgd;
pub(crate) mod state;
pub mod step_inputs;
pub mod trainer;
