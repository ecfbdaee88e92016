//! The dashboard, its JSON, and Prometheus' metrics, for people and tools while the sweep runs.
//!
//! They come from the store's reader and the engine's snapshots. Commands of people are passed on.
#![allow(missing_docs, reason = "a part of the coordinator, seen nowhere else")]

mod app;
mod arguments;
mod axes;
mod commands;
mod etag;
#[cfg(test)]
mod file_tests;
mod files;
mod follow;
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzzing;
mod guard;
pub mod metrics;
mod page;
mod problem;
mod query;
mod ready;
mod routes;
mod server;
#[cfg(test)]
mod socket_tests;
mod summary;
#[cfg(test)]
mod tests;
mod views;

pub use app::{App, Queue, queue};
pub use arguments::HttpArguments;
pub use commands::Commander;
pub use follow::follow;
pub use ready::is_ready;

pub use server::{CONNECTIONS, Door, serve};
pub use summary::LiveSummary;
