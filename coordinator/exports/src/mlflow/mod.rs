//! A sweep as an experiment of an MLflow server, through its REST interface 2.0.

mod client;
#[cfg(test)]
mod client_tests;
mod upload;

pub(super) use upload::{sweep_name, upload};
