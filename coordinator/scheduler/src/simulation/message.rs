//! What workers and coordinator say to each other, as far as the scheduler is concerned by it.

use swfn_shared::{
    capacity::Capacity,
    ids::{LeaseId, WorkerId},
};

use super::super::FailureKind;

/// Virtual time in milliseconds since the start of a simulation.
pub(super) type Millis = u64;

/// One stream; they are numbered in the order in which they are opened.
pub(super) type StreamId = usize;

/// The first message of a stream.
#[derive(Debug, Clone)]
pub(super) struct Hello {
    pub(super) worker: WorkerId,
    pub(super) predecessor: Option<WorkerId>,
    pub(super) held: Vec<LeaseId>,
}

/// Every later message of a worker. `sequence` is 0 for what needs no acknowledgement.
#[derive(Debug, Clone)]
pub(super) struct Message {
    pub(super) sequence: u64,
    pub(super) said: Said,
}

#[derive(Debug, Clone)]
pub(super) enum Said {
    Ask(Capacity),
    Heartbeat {
        progress: Vec<(LeaseId, u64)>,
    },
    /// A point for each of these steps.
    Points {
        lease: LeaseId,
        steps: Vec<u64>,
    },
    Succeeded {
        lease: LeaseId,
    },
    Failed {
        lease: LeaseId,
        kind: FailureKind,
    },
    Released {
        lease: LeaseId,
    },
    Goodbye,
}

impl Said {
    /// The lease that it says has ended.
    pub(super) fn ended(&self) -> Option<LeaseId> {
        match self {
            Self::Succeeded { lease } | Self::Failed { lease, .. } | Self::Released { lease } => Some(*lease),
            Self::Ask(_) | Self::Heartbeat { .. } | Self::Points { .. } | Self::Goodbye => None,
        }
    }
}

#[derive(Debug, Clone)]
pub(super) enum Upward {
    Hello(Hello),
    Message(Message),
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Downward {
    Welcome,
    Grant(Vec<LeaseId>),
    Acknowledge(u64),
    /// Of the leases that a hello named, those that are still the worker's.
    Confirm(Vec<LeaseId>),
    Revoke(LeaseId),
    Drain,
}
