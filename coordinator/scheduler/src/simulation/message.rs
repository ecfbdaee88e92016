//! Messages between workers and coordinator.

use swfn_proto::v1;
use swfn_shared::ids::{LeaseId, WorkerId};

/// Virtual time in milliseconds since the start of a simulation.
pub(super) type Millis = u64;

/// One stream; they are numbered in the order in which they are opened.
pub(super) type StreamId = usize;

/// A message to a worker.
pub(super) type Downward = v1::coordinator_message::Kind;

/// The first message of a stream, as far as decisions depend on it.
#[derive(Debug, Clone)]
pub(super) struct Hello {
    pub(super) worker: WorkerId,
    pub(super) predecessor: Option<WorkerId>,
    pub(super) held: Vec<LeaseId>,
}

#[derive(Debug, Clone)]
pub(super) enum Upward {
    Hello(Hello),
    Message(Box<v1::WorkerMessage>),
}
