//! What goes in and out of the actor.

use std::fmt;

use swfn_scheduler::{FailureKind, Predecessor};
use swfn_shared::{
    artifacts::{ArtifactPart, Artifacts},
    capacity::Capacity,
    ids::{DataDigest, LeaseId, WorkerId},
    metrics::{MetricPoint, Outcome},
    trial::TrialSpec,
    trial_log::LogPart,
};
use swfn_store::WorkerRow;
use tokio::sync::oneshot;

use super::{mailbox::Mailbox, room::Room};

/// One stream of one worker; a worker that reconnects has a new one.
pub(crate) type SessionId = u64;

/// Who is behind a connection, as far as it can be told. A worker's id belongs to the holder that used it first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Holder {
    /// Whoever may connect: there are no certificates, so those who do are all alike.
    Anyone,
    /// A worker of this machine, which the coordinator started itself.
    Local,
    /// The holder of the certificate with this SHA-256.
    Certificate([u8; 32]),
}

impl Holder {
    /// The certificate's SHA-256, 64 hexadecimal digits.
    pub(crate) fn certificate(&self) -> Option<String> {
        matches!(self, Self::Certificate(_)).then(|| self.to_string())
    }
}

impl fmt::Display for Holder {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Anyone => formatter.write_str("anyone"),
            Self::Local => formatter.write_str("local"),
            Self::Certificate(digest) => digest.iter().try_for_each(|byte| write!(formatter, "{byte:02x}")),
        }
    }
}

/// A worker's introduction.
#[derive(Debug)]
pub(crate) struct Hello {
    pub(crate) worker: WorkerRow,
    pub(crate) holder: Holder,
    pub(crate) predecessor: Option<Predecessor>,
    pub(crate) held: Vec<LeaseId>,
}

/// How far a trial is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Progress {
    pub(crate) lease: LeaseId,
    pub(crate) step: u64,
    /// Its step may stand still: what was reported has to be heard first.
    pub(crate) waits: bool,
}

/// Everything else that a worker says.
#[derive(Debug)]
pub(crate) enum FromWorker {
    Ask(Capacity),
    Heartbeat {
        progress: Vec<Progress>,
    },
    Points {
        lease: LeaseId,
        points: Vec<MetricPoint>,
        log: Option<LogPart>,
    },
    Artifact {
        lease: LeaseId,
        part: ArtifactPart,
    },
    Succeeded {
        lease: LeaseId,
        outcome: Outcome,
        dataset_digest: DataDigest,
    },
    Failed {
        lease: LeaseId,
        kind: FailureKind,
        error: String,
        log: String,
    },
    Released {
        lease: LeaseId,
    },
    /// A report that cannot be true, and costs the attempt.
    Refused {
        lease: LeaseId,
        problem: String,
    },
    Goodbye,
    /// What only a newer worker knows.
    Unknown,
}

/// What the actor is told.
#[derive(Debug)]
pub(crate) enum Request {
    Join {
        session: SessionId,
        hello: Box<Hello>,
        replies: Mailbox,
        room: Room,
    },
    /// `sequence` is 0 for what needs no acknowledgement.
    Message {
        session: SessionId,
        worker: WorkerId,
        sequence: u64,
        message: FromWorker,
        room: Room,
    },
    /// The stream ended; the worker may come back.
    StreamEnded {
        session: SessionId,
        worker: WorkerId,
    },
    /// A person wants workers to leave when they are done: those whose ids begin so. `now`: what they hold is taken back at once.
    DrainWorkers {
        ids: Vec<String>,
        now: bool,
        holder: Holder,
        answer: oneshot::Sender<Drained>,
    },
    /// Time passed. That it is `taken` lets the next one come.
    Tick {
        taken: oneshot::Sender<()>,
    },
    /// Ends the actor once everything before it is on the disk.
    Stop,
}

/// Who was told to leave, who was not because it is another certificate's, and who else is connected.
#[derive(Debug, Default)]
pub(crate) struct Drained {
    pub(crate) drained: Vec<WorkerId>,
    pub(crate) foreign: Vec<WorkerId>,
    pub(crate) others: Vec<WorkerId>,
}

/// What a session passes on to its worker. Dropping the sender ends the stream.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Reply {
    Grant {
        leases: Vec<(LeaseId, TrialSpec)>,
        /// What each of the trials leaves behind.
        artifacts: Artifacts,
    },
    Acknowledge {
        through: u64,
    },
    /// The leases of a worker that has come back which are still its own.
    Confirm {
        leases: Vec<LeaseId>,
    },
    Revoke {
        lease: LeaseId,
        reason: String,
    },
    Drain {
        reason: String,
        /// The sweep has ended.
        finished: bool,
    },
    /// Ends the stream: the worker said something that means nothing.
    Refuse {
        reason: String,
    },
    /// Ends the stream: the worker is not who it says it is.
    Deny {
        reason: String,
    },
}
