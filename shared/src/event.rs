//! The events of a sweep, which the scheduler decides, the store keeps, and reports count.

use crate::ids::{LeaseId, WorkerId};

/// The suspicion that the loss of a lease casts on its trial.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Blame {
    /// The worker ran nothing else: the loss counts towards the trial's limit.
    Alone,
    /// Other leases were lost with it, because their worker fell silent. The machine may have been
    /// switched off, so the loss does not count, but the trial runs alone after a second one.
    Among,
    /// Other leases were lost with it, and the worker's machine is still there: one of the trials
    /// ended the process, or hung it.
    Suspected,
}

impl Blame {
    /// Weight of the suspicion; a trial with 2 runs alone on its worker.
    pub fn suspicion(self) -> u32 {
        match self {
            Self::Alone => 0,
            Self::Among => 1,
            Self::Suspected => 2,
        }
    }
}

/// An event of a sweep. Durable events are the journal of a run; the others concern the present.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// A worker opened a stream.
    WorkerJoined {
        worker: WorkerId,
        /// Whether it was unknown, and replaces no process that ended.
        anew: bool,
    },
    /// A message of a worker arrived.
    WorkerHeard { worker: WorkerId },
    /// A worker asked for trials.
    WorkerAsked {
        worker: WorkerId,
        /// Number of trials that it can hold at a time.
        lanes: usize,
    },
    /// A worker left.
    WorkerLeft { worker: WorkerId },
    /// A running trial made progress.
    Progressed {
        lease: LeaseId,
        /// Iterations done.
        step: u64,
        /// Whether its step may stand still, because its reports are on their way.
        waits: bool,
    },
    /// A worker got a lease.
    Leased { lease: LeaseId, worker: WorkerId },
    /// A trial ended with a result.
    Succeeded { lease: LeaseId },
    /// A trial ended with an error of its own.
    Failed {
        lease: LeaseId,
        error: String,
        /// End of the process's log; may be empty.
        log: String,
        /// Whether the trial may not be tried again.
        quarantine: bool,
    },
    /// A lease ended without a report: its worker fell silent, stood still or died.
    Lost {
        lease: LeaseId,
        /// The reason of the loss.
        error: String,
        log: String,
        blame: Blame,
        quarantine: bool,
    },
    /// A worker returned a lease.
    Released { lease: LeaseId },
    /// The user let a failed trial wait again. Its attempts are counted on; its failures and losses
    /// start at 0.
    Retried {
        /// The newest lease of the trial.
        lease: LeaseId,
    },
}

impl Event {
    /// The lease of a durable event; `None` for events of the present.
    pub fn durable(&self) -> Option<LeaseId> {
        match self {
            Self::WorkerJoined { .. }
            | Self::WorkerHeard { .. }
            | Self::WorkerAsked { .. }
            | Self::WorkerLeft { .. }
            | Self::Progressed { .. } => None,
            Self::Leased { lease, .. }
            | Self::Succeeded { lease }
            | Self::Failed { lease, .. }
            | Self::Lost { lease, .. }
            | Self::Released { lease }
            | Self::Retried { lease } => Some(*lease),
        }
    }
}
