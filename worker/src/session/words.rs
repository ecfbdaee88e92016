//! What session, trainer and process tell each other.

use std::sync::Arc;

use swfn_shared::{
    artifacts::Artifacts,
    capacity::Capacity,
    ids::{LeaseId, TrialId, WorkerId},
    metrics::MetricPoint,
    trial::TrialSpec,
};

use super::{cancel::Cancel, ledger::End};
use crate::device::DeviceInfo;

/// A trial for the trainer.
#[derive(Debug)]
pub(crate) struct Order {
    pub(crate) lease: LeaseId,
    pub(crate) spec: TrialSpec,
    /// What it is to leave behind.
    pub(crate) artifacts: Artifacts,
    /// Whether the trial is to be stopped.
    pub(crate) cancel: Arc<Cancel>,
}

/// What the trainer says.
#[derive(Debug)]
pub(crate) enum Report {
    /// How many more trials it has room for, now that it took all orders that had reached it; 0: none. Orders that were on their way when
    /// it said so may come on top of them: they wait until there is room.
    Wants(Capacity),
    Progress {
        lease: LeaseId,
        step: u64,
        points: Vec<MetricPoint>,
        /// What the trial has said since the last report.
        log: String,
    },
    Ended {
        lease: LeaseId,
        end: End,
    },
    /// It cannot go on in this process; what it holds goes back.
    Broken {
        error: String,
        retry: bool,
    },
}

/// How the session ended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Exit {
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
    /// The process was asked to stop twice: nothing is waited for.
    Interrupted,
}

/// The process in whose place this one was started.
#[derive(Debug, Clone)]
pub(crate) struct Predecessor {
    pub(crate) worker: WorkerId,
    /// How it ended, such as "signal 9 (SIGKILL)".
    pub(crate) end: String,
    /// The end of its log.
    pub(crate) log: String,
    /// There was no memory for all that ran beside it.
    pub(crate) innocent: bool,
}

/// Who this worker is.
#[derive(Debug, Clone)]
pub(crate) struct Identity {
    pub(crate) worker: WorkerId,
    pub(crate) predecessor: Option<Predecessor>,
    pub(crate) host: String,
    pub(crate) device: DeviceInfo,
    pub(crate) libtorch: String,
}

/// What the process does when the session learns something.
pub(crate) struct Hooks {
    /// At each welcome of the coordinator.
    pub(crate) welcomed: fn(),
    /// At each trial that the trainer is given.
    pub(crate) leased: fn(TrialId),
    /// At each trial that the trainer has let go of.
    pub(crate) let_go: fn(TrialId),
    /// The coordinator has the trial's end on its disk, and nobody will try it again.
    pub(crate) settled: Box<dyn Fn(TrialId) + Send>,
}
