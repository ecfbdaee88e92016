//! What coordinator and worker both know: trials, grids, metric points, their identities and their wire forms.
//!
//! `grid.toml -> Grid -> TrialSpec`. Everything here but `access`, which reads files, is pure: no torch, no runtime, no sockets, no clock, so that each part can be
//! tested by calling it.

pub mod access;
pub mod address;
pub mod artifacts;
mod choice;
pub mod dataset;
pub mod event;
pub mod faults;
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzzing;
pub mod grid;
pub mod ids;
pub mod metrics;
pub mod numbers;
pub mod quote;
pub mod snapshot;
pub mod telemetry;
pub mod text;
pub mod trial;
pub mod trial_log;
pub mod wire;
pub mod work;
