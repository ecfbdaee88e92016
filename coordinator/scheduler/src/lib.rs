//! Who trains what: a pure state machine. `decide(now, command) -> events`, `evolve(now, event)`.
//!
//! No clock and no I/O: `now` is the time since some fixed start, passed in by the caller, on a clock that never goes back. Replaying the
//! durable events of a run gives its state again.
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

pub use command::{Command, FailureKind, Fence, Predecessor, Rejection};
pub use fencing::Admission;
pub use pauses::Pauses;
pub use state::{Earlier, Lease, Limits, Scheduler, TrialState};
/// Requests that wait for the engine; beyond it, streams are held up by flow control. All that wait are committed together.
pub const REQUESTS: usize = 1024;

pub use swfn_shared::event::{Act, Blame, Event};
