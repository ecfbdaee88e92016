//! Event files for TensorBoard: `TRIAL_LABEL/events.out.tfevents...`, scalars of the curves of each trial, and what its HPARAMS tab needs.
//!
//! A trial has one folder, and its folder one file, of its newest attempt: when the trial is tried again, the file of the lost attempt is
//! removed. A TensorBoard that has read it already is told, by a mark at the beginning of the new file, to forget what it knows of the run.

mod event;
mod file;
mod follower;
mod hparams;

pub use follower::Exporter;
pub(super) use follower::write_once;
