//! The worker: one process that trains trials on one device. Only this crate depends on torch.
//!
//! - `cli`, `arguments`: the command line. `supervisor` starts a `process` for each device.
//! - `process`, `session_jobs`: the session's orders as jobs of the trainer.
//! - `device`: the device; `compute`: the operations that differ between devices.
//! - `data`: images in memory; `model`, `vae`: networks; `lanes`: many trials side by side.
//! - `train`, `trial`: the training; `rng`, `noise`: all its random numbers.
//! - `memory`: slices for the CPU's arithmetic in the crate `swfn-kernels`.
//! - `libtorch`: functions that tch does not bind.

mod arguments;
mod cgroup;
pub mod cli;
pub mod compute;
pub mod data;
pub mod device;
mod devices;
mod faults;
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzzing;
#[cfg(test)]
#[path = "../../tests/src/generated.rs"]
mod generated;
pub mod lanes;
pub mod layers;
mod libtorch;
mod memory;
pub mod model;
pub mod noise;
mod process;
pub mod rng;
mod session_jobs;
mod setup;
mod single;
mod store_file;
mod supervisor;
pub mod train;
pub mod trial;
pub mod vae;
