//! What comes in and what goes out of the scheduler.

use swfn_shared::{
    capacity::Capacity,
    event::Act,
    ids::{Attempt, LeaseId, TrialId, WorkerId},
};

/// Something that happened to a worker or to time.
#[derive(Debug, Clone, PartialEq)]
pub enum Command {
    /// A worker opened a stream. `held`: the leases that it still works on or has unacknowledged reports of.
    Joined { worker: WorkerId, predecessor: Option<Predecessor>, held: Vec<LeaseId> },
    /// It has lanes for so many trials, those that it holds included, and these VAEs at hand. It takes trials of that shape, or else of
    /// any one shape.
    Asked { worker: WorkerId, capacity: Capacity },
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
    /// A person does something to a trial.
    ByPerson { trial: TrialId, act: Act },
    /// Time passed.
    Tick,
}

/// A worker process that is known to be dead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Predecessor {
    pub worker: WorkerId,
    /// How it ended, such as "signal 9"; empty if nobody knows.
    pub end: String,
    /// What it said last, perhaps nothing.
    pub log: String,
    /// Its machine had too little memory for all that ran there: its trials cost nothing.
    pub innocent: bool,
}

/// Suspicion from which on a trial is given to a worker alone.
pub(crate) const SUSPECT: u32 = 2;

/// Whose fault a failed trial is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FailureKind {
    /// The loss left the finite numbers; training is deterministic, so another attempt would end the same.
    Diverged,
    /// Anything else that went wrong inside the trial.
    Error,
}

/// Why a command has no effect. Peers cause these; none of them is a fault of the coordinator.
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

/// Why a lease is not live.
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
