//! The grid file: from TOML to a validated [`Grid`] to its trials.
//!
//! `reader` walks the TOML and knows the line of everything. `findings` gathers the mistakes, so
//! that one run reports all of them. `file`, `blocks`, `data` and `settings` give the sections
//! their meaning. `axis` holds the values of one axis without listing them. `expand` counts and
//! enumerates points. `compare` decides which `cells` are compared with which.

mod axis;
mod blocks;
mod cells;
mod compare;
#[cfg(test)]
mod compare_tests;
mod data;
#[cfg(test)]
mod epochs_tests;
mod error;
mod expand;
mod file;
mod findings;
#[cfg(test)]
mod hostile_tests;
#[cfg(test)]
mod ids_tests;
mod reader;
mod settings;
#[cfg(test)]
mod tests;

pub use cells::Contrast;
pub use compare::{Claim, MAX_CONTRASTS, Relation, Selection};
pub use error::{GridError, Mistake};
pub use file::{DEFAULT_MAX_TRIALS, Grid, MAX_FILE_BYTES};
pub use settings::{MIN_LEASE_SECONDS, RunSettings};
