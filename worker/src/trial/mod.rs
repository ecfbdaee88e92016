//! A trial as all that trains it knows it: its images and their order, what it tells, when it stops, how
//! it is saved.

pub mod batches;
pub(crate) mod border;
pub mod checkpoint;
pub mod pool;
pub mod report;
pub(crate) mod state;
pub(crate) mod stop;
