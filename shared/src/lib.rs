//! Types that coordinator and worker share: trials, grids, metrics, identities, wire forms.
//!
//! `grid.toml -> Grid -> TrialSpec`. Most modules are pure: no torch, runtime, socket or clock, so
//! that a test can call each part. The others are `access`, `command_line`, `faults`, `files`,
//! `folders`, `output`, `signals`, `telemetry`, `threads` and `trial_log`.
#![allow(
    missing_docs,
    reason = "a part of both programs: names that say it all need no sentence besides"
)]

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
