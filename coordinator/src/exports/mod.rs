//! The results in the forms that other tools read: tables as CSV, JSON lines and Parquet, event files for TensorBoard, runs of MLflow.
//!
//! All of it is read from `sweep.sqlite` through a connection of its own that cannot write, so that nothing here can harm a sweep.

mod command;
mod csv;
mod json;
mod mlflow;
mod parquet;
mod tables;
pub(crate) mod tensorboard;
mod trial;

pub(crate) use command::{ExportArguments, run};
