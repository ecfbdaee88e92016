//! The training of trials, many of one shape at a time: VAEs first where the function norm needs one, then classifiers.

mod arrivals;
mod artifacts;
pub mod batches;
pub mod checkpoint;
mod classifier;
pub mod device_data;
pub mod evaluation;
pub mod jobs;
mod lane;
pub mod objective;
pub mod report;
pub mod samples;
pub mod sgd;
pub(crate) mod state;
pub mod step_inputs;
pub mod terms;
pub mod trainer;
pub(crate) mod width;
