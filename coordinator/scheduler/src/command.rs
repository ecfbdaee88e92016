//! Commands for the scheduler, and the reasons why it rejects them.

use swfn_shared::{
    capacity::Capacity,
    ids::{Attempt, LeaseId, TrialId, WorkerId},
};

/// Something that happened to a worker or to time.
#[derive(Debug, Clone, PartialEq)]
pub enum Command {
    /// A worker opened a stream. `held`: its leases with work to do or reports to acknowledge.
    Joined { worker: WorkerId, predecessor: Option<Predecessor>, held: Vec<LeaseId> },
    /// A worker asked for trials: it has so many lanes, used ones included, and these VAEs. It
    /// takes trials of the named shape, or of any single shape.
    Asked { worker: WorkerId, capacity: Capacity },
    /// Any sign of life.
    Heard { worker: WorkerId },
    /// A worker reported on a lease.
    Reported { worker: WorkerId, lease: LeaseId, report: LeaseReport },
    /// The worker is gone without fault of a trial: by its goodbye, or with its coordinator.
    Left { worker: WorkerId },
    /// A person wants a failed trial to be tried again.
    Retried { trial: TrialId },
    /// Time passed.
    Tick,
}

/// The news of a lease.
#[derive(Debug, Clone, PartialEq)]
pub enum LeaseReport {
    /// Iterations were done. `waits`: they may stand still, see `Progress` of the protocol.
    Progressed { step: u64, waits: bool },
    /// The trial ended with a result.
    Succeeded,
    /// The trial ended without one. `log`: the end of its process's log, perhaps empty.
    Failed { kind: FailureKind, error: String, log: String },
    /// The worker returned the lease unfinished.
    Released,
}

/// A worker process that is known to be dead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Predecessor {
    pub worker: WorkerId,
    /// How it ended, such as "signal 9"; empty if unknown.
    pub end: String,
    /// The end of its log, perhaps empty.
    pub log: String,
    /// Its machine ran out of memory: its trials are not to blame.
    pub innocent: bool,
}

/// The suspicion at which a trial is given to a worker alone.
pub(crate) const SUSPECT: u32 = 2;

/// The kind of a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FailureKind {
    /// The loss is no longer finite. Training is deterministic, so it would be again.
    Diverged,
    /// Any other failure of the trial itself.
    Error,
}

/// The reason why a command has no effect. Peers cause these, not faults of the coordinator.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    #[error("worker `{0}` has not joined")]
    UnknownWorker(WorkerId),
    #[error("lease `{0}` is of a trial that is not in this sweep")]
    UnknownTrial(LeaseId),
    #[error("trial `{0}` is not quarantined")]
    NotQuarantined(TrialId),
    #[error("lease `{lease}` is over: {reason}")]
    Fenced { lease: LeaseId, reason: Fence },
}

/// The reason why a lease is not live.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fence {
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
