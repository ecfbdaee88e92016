//! What session, trainer and process tell each other.

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
    /// What to train.
    pub spec: TrialSpec,
    /// What it is to leave behind.
    pub artifacts: Artifacts,
    /// Whether the trial is to be stopped.
    pub cancel: Arc<Cancel>,
}

/// What the trainer says.
#[derive(Debug)]
pub enum Report {
    /// How many more trials it has room for, now that it took all orders that had reached it. Orders that were on their way
    /// when it said so may come on top of them: they wait until there is room.
    Wants(Capacity),
    /// A trial got on.
    Progress {
        /// Whose trial it is.
        lease: LeaseId,
        /// Iterations done.
        step: u64,
        /// What was measured since the last report.
        points: Vec<MetricPoint>,
        /// What the trial has said since the last report.
        log: String,
    },
    /// A trial is over.
    Ended {
        /// Whose trial it was.
        lease: LeaseId,
        /// How it ended.
        end: End,
    },
    /// It cannot go on in this process; what it holds goes back.
    Broken {
        /// Why.
        error: String,
        /// Whether another process may do better.
        retry: bool,
    },
}

/// How the session ended.
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
    /// The process was asked to stop twice: nothing is waited for.
    Interrupted,
}

/// The process in whose place this one was started.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Predecessor {
    /// Its name.
    pub worker: WorkerId,
    /// How it ended, such as "signal 9 (SIGKILL)".
    pub end: String,
    /// The end of its log.
    pub log: String,
    /// There was no memory for all that ran beside it.
    pub innocent: bool,
}

/// A device as people and the coordinator see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceInfo {
    /// "cpu" or "cuda:0".
    pub name: String,
    /// Its model, as the operating system or the driver names it.
    pub model: String,
    /// Threads that one operation may use on the host.
    pub threads: u32,
    /// Version of the CUDA runtime, such as "13.0"; empty on a CPU.
    pub cuda: String,
}

/// Who this worker is.
#[derive(Debug, Clone)]
pub struct Identity {
    /// Its name, of this process alone.
    pub worker: WorkerId,
    /// Whose place it takes.
    pub predecessor: Option<Predecessor>,
    /// The machine's name.
    pub host: String,
    /// What it computes on.
    pub device: DeviceInfo,
    /// Version of the program, with the revision of its code.
    pub software: String,
    /// Version of libtorch.
    pub libtorch: String,
}

/// What the process does when the session learns something.
pub struct Hooks {
    /// At each welcome of the coordinator.
    pub welcomed: fn(),
    /// At each trial that the trainer is given.
    pub leased: fn(TrialId),
    /// At each trial that the trainer has let go of.
    pub let_go: fn(TrialId),
    /// The coordinator has the trial's end on its disk, and nobody will try it again.
    pub settled: Box<dyn Fn(TrialId) + Send>,
}
