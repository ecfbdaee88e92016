//! The results in the forms that other tools read: tables as CSV, JSON lines and Parquet, event files for TensorBoard, runs of MLflow.
//!
//! All of it is read from `sweep.sqlite` through a connection of its own that cannot write, so that nothing here can harm a sweep.
#![allow(
    missing_docs,
    reason = "a part of the coordinator: nobody else sees the fields that are public here"
)]

mod command;
mod csv;
mod json;
mod mlflow;
mod parquet;
mod tables;
pub mod tensorboard;
mod trial;
mod write;

pub use command::{ExportArguments, run};
