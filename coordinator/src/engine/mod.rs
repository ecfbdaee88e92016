//! The one actor: the single writer of the store and the only reader of the clock. Sessions send it what workers said; it decides,
//! commits, and only then answers.

mod actor;
mod commit;
mod contradiction;
mod error;
mod holders;
mod message;
mod planted;
mod snapshot;
#[cfg(test)]
mod tests;
mod workers;

pub(crate) use actor::Engine;
pub(crate) use error::EngineError;
pub(crate) use message::{Drained, FromWorker, Hello, Holder, Progress, REPLIES, Reply, Request};
