//! The cost of a message: bytes in memory until it is committed, with the answers that it may
//! cause, and bytes on disk. Streams pay in advance: a message is read only when its cost fits the
//! budget, so flow control slows the worker down.

use std::sync::Arc;

use swfn_scheduler::{
    LeaseReport,
    turn::{FromWorker, Hello},
};
use swfn_shared::ids::{LeaseId, VaeId};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Bytes of one stream that may be on their way to the disk.
const STREAM_BYTES: usize = 128 << 10;

/// Bytes of all streams that may be on their way to the disk.
pub(crate) const BYTES: usize = 4 << 20;

/// Bytes for a named lease, which may have to be revoked with a reason.
const NAMED: usize = 256;

/// Bytes for any message.
const MESSAGE: usize = 512;

/// Bytes for a row of the journal.
const EVENT: usize = 1 << 10;

/// Bytes for a point in tables and indices.
const POINT: usize = 100;

/// The part of the budget that a message occupies until it is committed. In tests it is empty.
pub(crate) type Reservation = Vec<OwnedSemaphorePermit>;

/// The budget of one stream, within that of all streams.
#[derive(Debug)]
pub(crate) struct Budget {
    own: Arc<Semaphore>,
    all: Arc<Semaphore>,
}

impl Budget {
    pub(crate) fn new(all: Arc<Semaphore>) -> Self {
        Self { own: Arc::new(Semaphore::new(STREAM_BYTES)), all }
    }

    /// Waits for its turn and for so many bytes, or for the whole budget if the cost is higher.
    pub(crate) async fn reserve(&self, cost: usize) -> Reservation {
        let mut permits = Vec::with_capacity(2);
        for (semaphore, most) in [(&self.own, STREAM_BYTES), (&self.all, BYTES)] {
            let count = u32::try_from(cost.min(most)).unwrap_or(u32::MAX);
            // The semaphores are never closed.
            permits.extend(Arc::clone(semaphore).acquire_many_owned(count).await);
        }
        permits
    }
}

/// The cost of a greeting in bytes.
pub(crate) fn hello_cost(hello: &Hello) -> usize {
    let log = hello.predecessor.as_ref().map_or(0, |dead| dead.log.len());
    4 * EVENT + log + hello.held.len() * NAMED
}

/// The cost of a later message in bytes.
pub(crate) fn cost(message: &FromWorker) -> usize {
    match message {
        FromWorker::Ask(capacity) => MESSAGE + capacity.vaes.len() * size_of::<VaeId>(),
        FromWorker::Reports(reports) => {
            let cost = |(_, report): &(LeaseId, LeaseReport)| match report {
                LeaseReport::Progressed { .. } => NAMED,
                LeaseReport::Failed { error, log, .. } => EVENT + error.len() + log.len(),
                LeaseReport::Succeeded | LeaseReport::Released => EVENT,
            };
            MESSAGE + reports.iter().map(cost).sum::<usize>()
        }
        FromWorker::Points { points, log, .. } => {
            MESSAGE + points.len() * POINT + log.as_ref().map_or(0, |log| log.text.len())
        }
        // Files make no rows, and their size is known beforehand.
        FromWorker::Artifact { part, .. } => MESSAGE + part.content.len() / 4,
        FromWorker::Refused { problem, .. } => EVENT + problem.len(),
        FromWorker::Succeeded { .. } => EVENT,
        FromWorker::Goodbye | FromWorker::Unknown => MESSAGE,
    }
}
