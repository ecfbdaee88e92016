//! What a message costs: bytes that it takes in memory until it is committed, with the answers that it may cause, and bytes on the disk.
//! Streams pay in advance: what has no room yet is not read, so that flow control holds the worker up.

use std::sync::Arc;

use swfn_scheduler::turn::{FromWorker, Hello};
use swfn_shared::ids::VaeId;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Bytes of one stream that may be on their way to the disk.
const OF_ONE: usize = 128 << 10;

/// The same, of all streams.
pub(crate) const BYTES: usize = 4 << 20;

/// A lease that is named may have to be revoked with a reason.
const NAMED: usize = 256;

/// A message, whatever it says.
const MESSAGE: usize = 512;

/// A row of the journal with what belongs to it.
const EVENT: usize = 1 << 10;

/// A point, with its places in the tables and indices.
const POINT: usize = 100;

/// What a message takes up until it is committed. Tests need none.
#[derive(Debug, Default)]
pub(crate) struct Room {
    _taken: Vec<OwnedSemaphorePermit>,
}

/// The room of one stream, out of that of all.
#[derive(Debug)]
pub(crate) struct Rooms {
    own: Arc<Semaphore>,
    all: Arc<Semaphore>,
}

impl Rooms {
    pub(crate) fn new(all: Arc<Semaphore>) -> Self {
        Self { own: Arc::new(Semaphore::new(OF_ONE)), all }
    }

    /// Waits for room; streams come in turn. What costs more than there is takes all there is.
    pub(crate) async fn take(&self, cost: usize) -> Room {
        let mut taken = Vec::with_capacity(2);
        for (room, most) in [(&self.own, OF_ONE), (&self.all, BYTES)] {
            let permits = u32::try_from(cost.min(most)).unwrap_or(u32::MAX);
            // Nobody closes them.
            taken.extend(Arc::clone(room).acquire_many_owned(permits).await);
        }
        Room { _taken: taken }
    }
}

/// What an introduction costs, in bytes.
pub(crate) fn cost_of_hello(hello: &Hello) -> usize {
    let log = hello.predecessor.as_ref().map_or(0, |dead| dead.log.len());
    4 * EVENT + log + hello.held.len() * NAMED
}

/// What a message costs, in bytes.
pub(crate) fn cost(message: &FromWorker) -> usize {
    match message {
        FromWorker::Ask(capacity) => MESSAGE + capacity.vaes.len() * size_of::<VaeId>(),
        FromWorker::Heartbeat { progress } => MESSAGE + progress.len() * NAMED,
        FromWorker::Points { points, log, .. } => {
            MESSAGE + points.len() * POINT + log.as_ref().map_or(0, |log| log.text.len())
        }
        // No rows, and they are of a size that is known beforehand.
        FromWorker::Artifact { part, .. } => MESSAGE + part.content.len() / 4,
        FromWorker::Failed { error, log, .. } => EVENT + error.len() + log.len(),
        FromWorker::Refused { problem, .. } => EVENT + problem.len(),
        FromWorker::Succeeded { .. } | FromWorker::Released { .. } => EVENT,
        FromWorker::Goodbye | FromWorker::Unknown => MESSAGE,
    }
}
