//! What workers say and are told.

use std::fmt;

use swfn_shared::{
    artifacts::{ArtifactPart, Artifacts},
    capacity::Capacity,
    ids::{DataDigest, LeaseId, WorkerId},
    metrics::{MetricPoint, Outcome},
    trial::TrialSpec,
    trial_log::LogPart,
};

use crate::{FailureKind, Predecessor};

/// One stream of one worker; a worker that reconnects has a new one.
pub type SessionId = u64;

/// Who is behind a connection, as far as it can be told. A worker's id belongs to the holder that used it first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Holder {
    /// Whoever may connect: there are no certificates, so those who do are all alike.
    Anyone,
    /// A worker of this machine, which the coordinator started itself.
    Local,
    /// The holder of the certificate with this SHA-256.
    Certificate([u8; 32]),
}

impl Holder {
    /// The certificate's SHA-256, 64 hexadecimal digits.
    pub fn certificate(&self) -> Option<String> {
        matches!(self, Self::Certificate(_)).then(|| self.to_string())
    }
}

impl fmt::Display for Holder {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Anyone => formatter.write_str("anyone"),
            Self::Local => formatter.write_str("local"),
            Self::Certificate(digest) => {
                digest.iter().try_for_each(|byte| write!(formatter, "{byte:02x}"))
            }
        }
    }
}

/// A worker's introduction, as far as decisions depend on it.
#[derive(Debug)]
pub struct Hello {
    pub worker: WorkerId,
    pub holder: Holder,
    pub predecessor: Option<Predecessor>,
    /// The leases that it still works on or has unacknowledged reports of.
    pub held: Vec<LeaseId>,
}

/// How far a trial is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    pub lease: LeaseId,
    pub step: u64,
    /// Its step may stand still: what was reported has to be heard first.
    pub waits: bool,
}

/// Everything else that a worker says.
#[derive(Debug)]
pub enum FromWorker {
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

/// What a worker is told.
#[derive(Debug, Clone, PartialEq)]
pub enum Reply {
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

pub(super) const FINISHED: &str = "the sweep is finished";

pub(super) const LEAVE: &str = "somebody told this worker to leave when it is done";

pub(super) fn drain(reason: &str) -> Reply {
    Reply::Drain { reason: reason.to_owned(), finished: reason == FINISHED }
}
