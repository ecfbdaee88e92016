//! Messages from workers, and replies.

use std::fmt;

use swfn_shared::{
    artifacts::{ArtifactPart, Artifacts},
    capacity::Capacity,
    ids::{DataDigest, LeaseId, WorkerId},
    metrics::{MetricPoint, Outcome},
    trial::TrialSpec,
    trial_log::LogPart,
};

use crate::{LeaseReport, Predecessor};

/// One stream of one worker; a worker that reconnects has a new one.
pub type SessionId = u64;

/// The identity behind a connection. A worker's id belongs to the holder that used it first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Holder {
    /// Anyone who may connect: without certificates, all are alike.
    Anyone,
    /// A worker that the coordinator started itself.
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

/// The part of a worker's introduction that matters for decisions.
#[derive(Debug)]
pub struct Hello {
    pub worker: WorkerId,
    pub holder: Holder,
    pub predecessor: Option<Predecessor>,
    /// The leases that it works on, or whose reports are not acknowledged.
    pub held: Vec<LeaseId>,
}

/// All other messages of a worker.
#[derive(Debug)]
pub enum FromWorker {
    Ask(Capacity),
    Reports(Vec<(LeaseId, LeaseReport)>),
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
    /// A report that cannot be true, and costs the attempt.
    Refused {
        lease: LeaseId,
        problem: String,
    },
    Goodbye,
    /// A message of a newer worker.
    Unknown,
}

/// A message to a worker.
#[derive(Debug, Clone, PartialEq)]
pub enum Reply {
    Grant {
        leases: Vec<(LeaseId, TrialSpec)>,
        /// The files that each trial leaves behind.
        artifacts: Artifacts,
    },
    Acknowledge {
        through: u64,
    },
    /// The leases that a returning worker still has.
    Confirm {
        leases: Vec<LeaseId>,
    },
    Revoke {
        lease: LeaseId,
        reason: String,
    },
    Drain {
        reason: String,
        /// Whether the sweep has ended.
        finished: bool,
    },
    /// Ends the stream, since a message makes no sense.
    Refuse {
        reason: String,
    },
    /// Ends the stream, since the worker's id is another's.
    Deny {
        reason: String,
    },
}

pub(super) const FINISHED: &str = "the sweep is finished";

pub(super) const LEAVE: &str = "somebody drained this worker, which leaves when it is done";

pub(super) fn drain(reason: &str) -> Reply {
    Reply::Drain { reason: reason.to_owned(), finished: reason == FINISHED }
}
