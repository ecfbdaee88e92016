//! The one actor: the single writer of the store and the only reader of the clock. Sessions send it what workers said; it decides,
//! commits, and only then answers.

mod actor;
mod commit;
mod contradiction;
mod error;
mod holders;
mod mailbox;
mod message;
mod planted;
mod plausible;
mod room;
mod second;
mod snapshot;
#[cfg(test)]
mod tests;
mod workers;

pub(crate) use actor::Engine;
pub(crate) use error::EngineError;
pub(crate) use mailbox::{Letter, Mailbox};
pub(crate) use message::{Drained, FromWorker, Hello, Holder, Progress, Reply, Request};
#[cfg(any(test, fuzzing))]
pub(crate) use room::Room;
pub(crate) use room::{BYTES, Rooms, cost};
