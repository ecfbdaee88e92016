//! The memory of a run: journal, points and results in one SQLite file; and the files of trials.
#![allow(missing_docs, reason = "a part of the coordinator, seen nowhere else")]

mod artifacts;
mod clean;
mod columns;
mod connect;
mod curves;
#[cfg(test)]
mod damage_tests;
mod error;
pub mod grid_file;
mod integrity;
pub mod live;
mod log;
mod logs;
mod read;
mod read_only;
mod reader;
pub mod run_dir;
#[cfg(any(test, debug_assertions))]
#[doc(hidden)]
#[path = "tests/samples.rs"]
pub mod samples;
mod schema;
#[cfg(test)]
mod tests;
mod write;

pub use artifacts::ArtifactFolder;
pub use curves::{CurveSums, MeanPoint, mean_curves};
pub use error::StoreError;
pub use logs::{LogFolder, log_file};
pub use read::{CurveRow, KnownTrial, LeaseSpan, TrialRow, covered, parse};
pub use read_only::{Chosen, ensure_readable, spec_of};
pub use reader::{ReadError, Reader};
pub use schema::Store;
pub use write::{Batch, ResultRow, WorkerRow};
