//! What must survive: the journal of the scheduler, the points of all curves, the results, in one SQLite file with one
//! writer; and the files that trials leave behind.

mod artifacts;
mod curves;
#[cfg(test)]
mod damage_tests;
mod integrity;
pub(crate) mod live;
mod log;
mod logs;
mod read;
mod read_only;
mod reader;
mod schema;
#[cfg(test)]
pub(crate) mod tests;
mod write;

pub(crate) use artifacts::{ArtifactError, ArtifactFolder};
pub(crate) use curves::{CurveSums, MeanPoint};
pub(crate) use logs::{LogError, LogFolder, log_file};
pub(crate) use read::{CurveRow, LeaseSpan, TrialRow};
pub(crate) use read_only::ReadOnly;
pub(crate) use reader::{ReadError, Reader};
pub(crate) use schema::{Store, StoreError};
pub(crate) use write::{Batch, ResultRow, WorkerRow};
