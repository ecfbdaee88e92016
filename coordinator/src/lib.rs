//! The coordinator of a sweep: expands a grid, hands its trials to workers, keeps their results,
//! and reports the answer.
//!
//! ```text
//!   grid.toml --> shared::grid --> scheduler (pure) <--+
//!                                                      |          +-- grpc: one stream per worker
//!                                       engine (actor) +-- requests, replies
//!                                         |            |          +-- local: its own workers
//!                                       store          +-- snapshots --> progress
//!                                         |
//!                                       report --> tables, files     exports, logs: only read it
//! ```
//!
//! Torch is never linked here.

mod amount;
mod arguments;
mod backup;
mod check;
mod cli;
mod custody;
mod dry_run;
mod engine;
mod entrances;
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzzing;
#[cfg(test)]
#[path = "../../tests/src/generated.rs"]
mod generated;
mod grpc;
mod local;
mod logs;
mod notes;
mod progress;
mod rates;
mod retry;
mod sweep;
mod view;

pub use cli::main;
