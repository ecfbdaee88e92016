//! Training of trials, many of one shape at a time: VAEs first where the function norm needs one,
//! then classifiers.

mod arrivals;
mod artifacts;
mod classifier;
pub mod device_data;
pub mod evaluation;
pub mod jobs;
mod lane;
pub mod objective;
pub mod samples;
pub mod sgd;
pub mod step_inputs;
pub mod terms;
pub mod trainer;
pub(crate) mod width;
