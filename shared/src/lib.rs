//! What coordinator and worker both know: trials, grids, metric points, their identities and their wire forms.
//!
//! `grid.toml -> Grid -> TrialSpec`. Everything here but `access`, `files`, `command_line`, `output`, `signals` and `telemetry` is pure: no torch, no runtime, no sockets, no clock, so that each part can be
//! tested by calling it.

pub mod access;
pub mod address;
pub mod architecture;
pub mod artifacts;
pub mod axes;
pub mod capacity;
pub mod catalogue;
mod choice;
pub mod command_line;
pub mod dataset;
pub mod event;
pub mod faults;
pub mod files;
pub mod folders;
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzzing;
pub mod grid;
pub mod ids;
pub mod image;
pub mod layers;
pub mod metrics;
pub mod numbers;
pub mod output;
pub mod person;
pub mod problem;
pub mod quote;
pub mod signals;
pub mod snapshot;
pub mod state;
pub mod telemetry;
pub mod text;
pub mod threads;
pub mod treatment;
pub mod trial;
pub mod trial_log;
pub mod wire;
pub mod work;
