//! What must survive: the journal of the scheduler, the points of all curves, the results. One SQLite file, one writer.

mod read;
mod schema;
#[cfg(test)]
mod tests;
mod write;

pub(crate) use read::TrialRow;
pub(crate) use schema::{Store, StoreError};
pub(crate) use write::{Batch, WorkerRow};
