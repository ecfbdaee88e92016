//! Requests to the actor.

use swfn_scheduler::turn::{FromWorker, Hello, Holder, SessionId};
use swfn_shared::{
    ids::WorkerId,
    person::{CommandOutcome, PersonCommand, Refusal},
};
use swfn_store::WorkerRow;
use tokio::sync::oneshot;

use super::{budget::Reservation, mailbox::Mailbox};

/// A request to the actor.
#[derive(Debug)]
pub(crate) enum Request {
    Join {
        session: SessionId,
        hello: Box<Hello>,
        /// The worker's row in the store.
        row: Box<WorkerRow>,
        replies: Mailbox,
        reservation: Reservation,
    },
    /// `sequence` is 0 for messages that need no acknowledgement.
    Message {
        session: SessionId,
        worker: WorkerId,
        sequence: u64,
        message: FromWorker,
        reservation: Reservation,
    },
    /// The stream ended; the worker may come back.
    StreamEnded { session: SessionId, worker: WorkerId },
    /// A person's command. The answer follows once its effect is on disk.
    Command {
        command: PersonCommand,
        holder: Holder,
        answer: oneshot::Sender<Result<CommandOutcome, Refusal>>,
    },
    /// Time passed. Dropping `received` permits the next tick.
    Tick { received: oneshot::Sender<()> },
    /// Ends the actor once everything before it is on disk.
    Stop,
}
