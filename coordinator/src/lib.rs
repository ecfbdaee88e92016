//! The coordinator of a sweep: expands a grid, hands its trials to workers, keeps what they report, and tells the answer.
//!
//! ```text
//!   grid.toml --> shared::grid --> scheduler (pure) <--+
//!                                                      |          +-- grpc: one stream per worker
//!                                       engine (actor) +-- requests, replies
//!                                         |            |          +-- local: workers that it starts itself
//!                                       store          +-- snapshots --> progress
//!                                         |
//!                                       report --> tables, files          exports, logs: read it, beside the sweep or after it
//! ```
//!
//! Torch is never linked here.

mod access;
mod backup;
mod certs;
mod cli;
mod dry_run;
mod engine;
mod exports;
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzzing;
mod gate;
mod grpc;
mod http;
mod local;
mod logs;
mod metrics;
mod progress;
mod report;
mod run_dir;
mod scheduler;
mod store;
mod sweep;
mod tls;

pub use cli::main;
