//! What goes into the actor.

use swfn_scheduler::turn::{FromWorker, Hello, Holder, SessionId};
use swfn_shared::{
    ids::WorkerId,
    person::{CommandOutcome, PersonCommand, Refusal},
};
use swfn_store::WorkerRow;
use tokio::sync::oneshot;

use super::{mailbox::Mailbox, room::Room};

/// What the actor is told.
#[derive(Debug)]
pub(crate) enum Request {
    Join {
        session: SessionId,
        hello: Box<Hello>,
        /// What is kept of the worker.
        row: Box<WorkerRow>,
        replies: Mailbox,
        room: Room,
    },
    /// `sequence` is 0 for what needs no acknowledgement.
    Message { session: SessionId, worker: WorkerId, sequence: u64, message: FromWorker, room: Room },
    /// The stream ended; the worker may come back.
    StreamEnded { session: SessionId, worker: WorkerId },
    /// A person commands something, and hears what has come of it when that is on the disk.
    Command {
        command: PersonCommand,
        holder: Holder,
        answer: oneshot::Sender<Result<CommandOutcome, Refusal>>,
    },
    /// Time passed. That it is `taken` lets the next one come.
    Tick { taken: oneshot::Sender<()> },
    /// Ends the actor once everything before it is on the disk.
    Stop,
}
