//! Fuzzing: libFuzzer makes up bytes for every parser of foreign bytes (`make fuzz`). Interesting
//! inputs are kept in `corpus/`, and an ordinary test replays them.
//!
//! The targets are functions of their crates, in modules `fuzzing` that only tests and fuzzing
//! compile. A target takes bytes, and panics when a promise is broken. This crate has their common
//! parts and no dependencies.

#![allow(clippy::print_stderr, reason = "developers read it, as it comes")]

mod chosen;
mod replay;

pub use chosen::chosen;
pub use replay::replay;

/// A fuzz target: its name, which is also that of its folder in `corpus/`, and its function.
pub type Target = (&'static str, fn(&[u8]));
