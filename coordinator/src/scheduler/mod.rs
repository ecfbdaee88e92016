//! Who trains what: a pure state machine. `decide(now, command) -> events`, `evolve(now, event)`.
//!
//! No clock and no I/O: `now` is the time since some fixed start, passed in by the caller, on a clock that never goes back. Replaying the
//! durable events of a run gives its state again.

mod command;
mod decide;
mod evolve;
mod fencing;
mod pending;
mod share;
#[cfg(test)]
mod simulation;
mod state;
#[cfg(test)]
mod tests;

pub(crate) use command::{Blame, Command, Event, FailureKind, Predecessor, Rejection};
pub(crate) use fencing::Admission;
pub(crate) use state::{Counts, Limits, Scheduler, TrialState};
