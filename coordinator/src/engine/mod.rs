//! The one actor: the single writer of the store and the only reader of the clock. Sessions send it what workers said; it decides,
//! commits, and only then answers.

mod actor;
mod commit;
mod contradiction;
mod error;
mod holders;
mod message;
mod pauses;
mod snapshot;
#[cfg(test)]
mod tests;
mod workers;

pub(crate) use actor::{Engine, REQUESTS};
pub(crate) use error::EngineError;
pub(crate) use message::{Drained, FromWorker, Hello, Holder, Progress, REPLIES, Reply, Request};
#[cfg(test)]
pub(crate) use pauses::Pauses;
pub(crate) use snapshot::{Running, Snapshot, is_ready};
