//! Decides which worker trains which trial, as a pure state machine: `decide(now, command) ->
//! events`, `evolve(now, event)`.
//!
//! It has neither a clock nor I/O. The caller passes `now`, the time since some fixed start on a
//! clock that never goes back. Replaying the durable events of a run restores its state.
#![allow(
    missing_docs,
    reason = "a part of the coordinator: nobody else sees the fields that are public here"
)]

mod command;
mod decide;
mod evolve;
mod fencing;
mod pauses;
mod pending;
mod records;
mod share;
#[cfg(test)]
mod simulation;
mod state;
#[cfg(test)]
mod tests;
pub mod turn;

pub use command::{Command, FailureKind, Fence, LeaseReport, Predecessor, Rejection};
pub use fencing::Admission;
pub use pauses::Pauses;
pub use state::{EarlierOutcome, Lease, Limits, Scheduler, TrialState};
/// The most requests that wait for the engine. Flow control holds up further ones.
pub const REQUESTS: usize = 1024;

pub use swfn_shared::event::{Blame, Event};
