//! The worker: one process that trains trials on one device. The only crate that knows torch.
//!
//! `device` is what it runs on, `data` what it trains on, `model` and `vae` what it trains, many trials side by side in
//! `lanes`, `train` how; `compute` is what differs between devices, `memory` the door to the CPU's, whose arithmetic is the
//! crate `swfn-kernels`; `libtorch` what tch does not bind; `rng` is where all randomness comes from, and `noise` makes it
//! in bulk.

mod cgroup;
pub mod cli;
mod cli_access;
mod cli_folders;
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
mod orders;
mod process;
pub mod rng;
mod setup;
mod single;
mod store_file;
mod supervisor;
pub mod train;
pub mod trial;
pub mod vae;
