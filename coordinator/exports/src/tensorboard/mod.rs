//! Event files for TensorBoard, `TRIAL_LABEL/events.out.tfevents...`: the curves of each trial, and
//! the records of the HPARAMS tab.
//!
//! A trial has one folder with one file, that of its newest attempt. When the trial is retried, the
//! former file is removed. A mark at the start of the new file resets a TensorBoard that has read
//! it.

mod event;
mod file;
mod follower;
mod hparams;

pub use follower::Exporter;
pub(super) use follower::write_once;
