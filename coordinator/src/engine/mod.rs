//! The one actor: the single writer of the store and the only reader of the clock. Sessions send it what workers said; it has the turn
//! decide, commits, and only then answers.

mod actor;
mod belief;
mod commit;
mod contradiction;
mod error;
mod mailbox;
mod message;
mod plausible;
mod room;
mod rules;
mod second;
mod snapshot;
#[cfg(test)]
mod tests;

pub(crate) use actor::Engine;
pub(crate) use error::EngineError;
pub(crate) use mailbox::{Letter, Mailbox};
pub(crate) use message::Request;
#[cfg(any(test, fuzzing))]
pub(crate) use room::Room;
pub(crate) use room::{BYTES, Rooms, cost, cost_of_hello};
