//! What happens to the trials of a sweep: the events that the scheduler decides, the store keeps, and reports count.

use crate::{
    ids::{LeaseId, WorkerId},
    state::TrialState,
};

/// What the loss of a lease says of its trial.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Blame {
    /// Nothing else was at work: it counts towards the trial's limit.
    Alone,
    /// Other leases were lost with it because their worker fell silent, as it does when its machine is switched off. It counts nothing,
    /// but once is enough.
    Among,
    /// Other leases were lost with it, and the worker's machine is still there: one of them ended the process, or hung it.
    Suspected,
}

impl Blame {
    /// Weight of the suspicion that falls on the trial; at 2 it is given to a worker alone.
    pub fn suspicion(self) -> u32 {
        match self {
            Self::Alone => 0,
            Self::Among => 1,
            Self::Suspected => 2,
        }
    }
}

/// What a person does to a trial.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Act {
    /// A trial that was given up is put back; its attempts go on being counted, its failures and losses begin anew.
    Retried,
}

impl Act {
    /// All of them.
    pub const ALL: [Self; 1] = [Self::Retried];

    /// Its name in the journal, and the state that it leads to.
    pub fn in_journal(self) -> (&'static str, TrialState) {
        match self {
            Self::Retried => ("retried", TrialState::Pending),
        }
    }
}

/// An event of a sweep. Durable events are the journal of a run; the others only concern the present.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// A worker opened a stream.
    WorkerJoined {
        /// The worker.
        worker: WorkerId,
        /// Nobody knew it, and it follows no process that ended.
        anew: bool,
    },
    /// A worker gave a sign of life.
    WorkerHeard {
        /// The worker.
        worker: WorkerId,
    },
    /// A worker said how many trials it can hold.
    WorkerAsked {
        /// The worker.
        worker: WorkerId,
        /// How many trials it can hold at a time.
        lanes: usize,
    },
    /// A worker is gone.
    WorkerLeft {
        /// The worker.
        worker: WorkerId,
    },
    /// A trial under way was heard of.
    Progressed {
        /// Its lease.
        lease: LeaseId,
        /// Iterations done.
        step: u64,
        /// Its step may stand still, since reports wait to be heard.
        waits: bool,
    },
    /// A worker got a lease.
    Leased {
        /// The lease.
        lease: LeaseId,
        /// The worker.
        worker: WorkerId,
    },
    /// A trial ended with a result.
    Succeeded {
        /// Its lease.
        lease: LeaseId,
    },
    /// A trial ended with an error of its own.
    Failed {
        /// Its lease.
        lease: LeaseId,
        /// What went wrong.
        error: String,
        /// The end of its process's log, perhaps nothing.
        log: String,
        /// The trial is given up.
        quarantine: bool,
    },
    /// A lease ended without a word of its trial: its worker fell silent, stood still or died.
    Lost {
        /// The lease.
        lease: LeaseId,
        /// How it was lost.
        error: String,
        /// The end of its process's log, perhaps nothing.
        log: String,
        /// What the loss says of the trial.
        blame: Blame,
        /// The trial is given up.
        quarantine: bool,
    },
    /// A worker gave a lease back.
    Released {
        /// The lease.
        lease: LeaseId,
    },
    /// A person did something to a trial.
    ByPerson {
        /// The newest lease of the trial.
        lease: LeaseId,
        /// What.
        act: Act,
    },
}

impl Event {
    /// The lease that a durable event is about; `None` for what concerns the present only.
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
            | Self::ByPerson { lease, .. } => Some(*lease),
        }
    }
}
