//! Results in formats of other tools: tables as CSV, JSON lines and Parquet, event files for
//! TensorBoard, and runs of MLflow.
//!
//! An export reads `sweep.sqlite` through a read-only connection of its own, so it cannot harm a
//! sweep.
#![allow(missing_docs, reason = "a part of the coordinator, seen nowhere else")]

mod command;
mod mlflow;
mod parquet;
mod tables;
pub mod tensorboard;
mod trial;
mod write;

pub use command::{ExportArguments, run};
