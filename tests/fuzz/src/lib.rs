//! Fuzzing: every parser of bytes that somebody else wrote is called with bytes that libFuzzer makes up (`make fuzz`), and
//! with all that it has found interesting before, which lies in `corpus/`, as an ordinary test.
//!
//! The targets are functions of the crates that they belong to, in a module `fuzzing` that only tests and fuzzing see: each
//! takes bytes, and panics when a promise is broken. What is here is common to all, and depends on nothing.

#![allow(clippy::print_stderr, reason = "developers read it, as it comes")]

mod chosen;
mod replay;

pub use chosen::chosen;
pub use replay::replay;

/// A fuzz target: its name, which is that of its folder in `corpus/`, and what it does with the bytes.
pub type Target = (&'static str, fn(&[u8]));
