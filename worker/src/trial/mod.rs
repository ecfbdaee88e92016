//! A trial as all parts of the training know it: its images and their order, its reports, when it
//! stops, and how it is saved.

pub mod batches;
pub(crate) mod border;
pub mod checkpoint;
pub(crate) mod core;
pub(crate) mod folder;
pub mod pool;
pub mod report;
pub(crate) mod state;
pub(crate) mod stop;
