//! What comes in and what goes out of the scheduler.

use swfn_shared::ids::{Attempt, LeaseId, ShapeId, TrialId, VaeId, WorkerId};

/// Something that happened to a worker or to time.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Command {
    /// A worker opened a stream. `held`: the leases that it still works on or has unacknowledged reports of.
    Joined { worker: WorkerId, predecessor: Option<Predecessor>, held: Vec<LeaseId> },
    /// It has lanes for so many trials, those that it holds included, and these VAEs at hand. It takes trials of that shape, or else of
    /// any one shape.
    Asked { worker: WorkerId, lanes: u32, shape: Option<ShapeId>, vaes: Vec<VaeId> },
    /// Any sign of life.
    Heard { worker: WorkerId },
    /// A lease's iterations so far. `waits`: they may stand still, since reports wait to be heard.
    Progressed { worker: WorkerId, lease: LeaseId, step: u64, waits: bool },
    /// A trial ended with a result.
    Succeeded { worker: WorkerId, lease: LeaseId },
    /// A trial ended without one. `log`: what its process said last, perhaps nothing.
    Failed { worker: WorkerId, lease: LeaseId, kind: FailureKind, error: String, log: String },
    /// The worker gives a lease back unfinished.
    Released { worker: WorkerId, lease: LeaseId },
    /// The worker is gone for good, through no fault of a trial: it said goodbye, or it ended with the coordinator that had started it.
    Left { worker: WorkerId },
    /// A person wants a quarantined trial to be tried again.
    Retry { trial: TrialId },
    /// Time passed.
    Tick,
}

/// A worker process that is known to be dead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Predecessor {
    pub(crate) worker: WorkerId,
    /// How it ended, such as "signal 9"; empty if nobody knows.
    pub(crate) end: String,
    /// What it said last, perhaps nothing.
    pub(crate) log: String,
}

/// What the loss of a lease says of its trial.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Blame {
    /// Nothing else was at work: it counts towards the trial's limit.
    Alone,
    /// Other leases were lost with it because their worker fell silent, as it does when its machine is switched off. It counts nothing,
    /// but once is enough.
    Among,
    /// Other leases were lost with it, and the worker's machine is still there: one of them ended the process, or hung it.
    Suspected,
}

impl Blame {
    /// Weight of the suspicion that falls on the trial; see [`SUSPECT`].
    pub(crate) fn suspicion(self) -> u32 {
        match self {
            Self::Alone => 0,
            Self::Among => 1,
            Self::Suspected => 2,
        }
    }
}

/// Suspicion from which on a trial is given to a worker alone.
pub(crate) const SUSPECT: u32 = 2;

/// Whose fault a failed trial is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FailureKind {
    /// The loss left the finite numbers; training is deterministic, so another attempt would end the same.
    Diverged,
    /// Anything else that went wrong inside the trial.
    Error,
}

/// What follows. Durable events are the journal of a run; the others only concern the present.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Event {
    WorkerJoined {
        worker: WorkerId,
    },
    WorkerHeard {
        worker: WorkerId,
    },
    WorkerAsked {
        worker: WorkerId,
        lanes: usize,
    },
    WorkerLeft {
        worker: WorkerId,
    },
    Progressed {
        lease: LeaseId,
        step: u64,
        waits: bool,
    },
    Leased {
        lease: LeaseId,
        worker: WorkerId,
    },
    Succeeded {
        lease: LeaseId,
    },
    Failed {
        lease: LeaseId,
        error: String,
        log: String,
        quarantine: bool,
    },
    Lost {
        lease: LeaseId,
        error: String,
        log: String,
        blame: Blame,
        quarantine: bool,
    },
    Released {
        lease: LeaseId,
    },
    /// A person put a quarantined trial back; its attempts go on being counted, its failures and losses begin anew.
    Retried {
        lease: LeaseId,
    },
}

impl Event {
    /// The lease that a durable event is about; `None` for what concerns the present only.
    pub(crate) fn durable(&self) -> Option<LeaseId> {
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

/// Why a command has no effect. Peers cause these; none of them is a fault of the coordinator.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Rejection {
    #[error("worker `{0}` has not joined")]
    UnknownWorker(WorkerId),
    #[error("lease `{0}` is of a trial that is not in this sweep")]
    UnknownTrial(LeaseId),
    #[error("trial `{0}` is not quarantined")]
    NotQuarantined(TrialId),
    #[error("lease `{lease}` is over: {reason}")]
    Fenced { lease: LeaseId, reason: Fence },
}

/// Why a lease is not live.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Fence {
    #[error("attempt {current} of the trial is under way")]
    Superseded { current: Attempt },
    #[error("it belongs to worker `{0}`")]
    OtherWorker(WorkerId),
    #[error("it expired or was given back")]
    Expired,
    #[error("the trial has its result")]
    Done,
    #[error("the trial is quarantined")]
    Quarantined,
    #[error("it was never granted")]
    NeverGranted,
}
