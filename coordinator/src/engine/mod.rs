//! The actor: the only writer of the store and the only reader of the clock. Sessions send it the
//! messages of workers; it lets the turn decide, commits, and only then answers.

mod actor;
mod belief;
mod budget;
mod commit;
mod contradiction;
mod error;
mod mailbox;
mod message;
mod plausible;
mod rules;
mod second;
mod snapshot;
#[cfg(test)]
mod tests;

pub(crate) use actor::Engine;
#[cfg(any(test, fuzzing))]
pub(crate) use budget::Reservation;
pub(crate) use budget::{BYTES, Budget, cost, hello_cost};
pub(crate) use error::EngineError;
pub(crate) use mailbox::{Letter, Mailbox};
pub(crate) use message::Request;
