//! Messages between the session, the trainer and the process.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use swfn_shared::{
    artifacts::Artifacts,
    capacity::Capacity,
    ids::{LeaseId, TrialId, WorkerId},
    metrics::MetricPoint,
    trial::TrialSpec,
};

use crate::{cancel::Cancel, ledger::End};

/// A trial for the trainer.
#[derive(Debug)]
pub struct Order {
    /// The right to train it.
    pub lease: LeaseId,
    /// Its settings.
    pub spec: TrialSpec,
    /// The files that it is to leave behind.
    pub artifacts: Artifacts,
    /// Whether the trial is to be stopped.
    pub cancel: Arc<Cancel>,
}

/// A message of the trainer.
#[derive(Debug)]
pub enum Report {
    /// The number of trials that it has room for, beyond all orders that had reached it. Orders
    /// that were on their way then may come on top: they wait until there is room.
    Wants(Capacity),
    /// The trainer begins a trial. Until then it waits behind those that run.
    Began {
        /// The trial's lease.
        lease: LeaseId,
    },
    /// A trial got on.
    Progress {
        /// The trial's lease.
        lease: LeaseId,
        /// Iterations done.
        step: u64,
        /// Points measured since the last report.
        points: Vec<MetricPoint>,
        /// Lines of the trial's log since the last report.
        log: String,
    },
    /// A trial is over.
    Ended {
        /// The trial's lease.
        lease: LeaseId,
        /// How it ended.
        end: End,
    },
    /// The trainer cannot go on in this process; it returns all its leases.
    Broken {
        /// The reason.
        error: String,
        /// Whether another process may do better.
        retry: bool,
    },
}

/// How the session ended. Texts are for the log.
#[derive(Debug, PartialEq, Eq)]
pub enum Exit {
    /// Nothing is left to do, or the process was asked to stop.
    Done,
    /// Its time is up, whether there is more to do or not.
    OutOfTime,
    /// Another process would end the same.
    Hopeless(String),
    /// Another process may do better.
    Broken(String),
    /// There was no coordinator for too long.
    Unreachable(String),
}

/// The process in whose place this one was started.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Predecessor {
    /// Its id.
    pub worker: WorkerId,
    /// How it ended, such as "signal 9 (SIGKILL)".
    pub end: String,
    /// The end of its log.
    pub log: String,
    /// There was too little memory for all processes beside it, so its trial is not to blame.
    pub innocent: bool,
}

/// Calls into the process when the session learns something.
pub struct Hooks {
    /// Called at each welcome of the coordinator.
    pub welcomed: fn(),
    /// Called at each trial that the trainer is given.
    pub leased: fn(TrialId),
    /// Called at each trial that the trainer has let go of.
    pub let_go: fn(TrialId),
    /// Called when the coordinator has the trial's end on its disk and will not retry the trial.
    pub settled: Box<dyn Fn(TrialId) + Send>,
}
