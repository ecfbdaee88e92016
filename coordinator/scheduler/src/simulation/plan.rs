//! Everything that is fixed before the first event: the sweep, the workers, and the faults with
//! their times. `draw` makes it from a seed.

use std::{collections::BTreeMap, time::Duration};

use swfn_proto::v1;
use swfn_shared::{
    ids::{ShapeId, TrialId, VaeId},
    trial::TrialSpec,
};

use super::{super::Limits, message::Millis};

/// A promise about the end of a simulation, beyond the rules that always hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Promise {
    /// Limits are out of reach: whatever goes wrong, all trials succeed that can.
    NothingIsQuarantinedInVain,
    /// Only trials do harm: those that do none, or less than the limits allow, succeed.
    TheInnocentSucceed,
    /// Limits are tight and everything goes wrong: trials end.
    AllEnd,
}

/// How a trial behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Nature {
    Sound,
    Diverges,
    /// It fails the first so many times that it gets that far; for ever with `u32::MAX`.
    Fails(u32),
    /// Kills its worker.
    Kills(u32),
    /// Stands still for longer than the stall limit, and all beside it.
    Hangs(u32),
}

/// A trial as the simulation knows it.
#[derive(Debug, Clone)]
pub(super) struct Subject {
    pub(super) shape: ShapeId,
    pub(super) vae: Option<VaeId>,
    pub(super) nature: Nature,
    pub(super) steps: u64,
    /// How often its nature has shown.
    pub(super) struck: u32,
}

/// A place where worker processes run, one after the other.
#[derive(Debug, Clone, Copy)]
pub(super) struct SlotPlan {
    pub(super) lanes: u32,
    /// Started by the coordinator, it dies with it.
    pub(super) local: bool,
    pub(super) starts: Millis,
    /// Time between two steps of its trainer.
    pub(super) pace: Millis,
    /// Asks for trials before its lanes are free.
    pub(super) ahead: bool,
}

/// When a coordinator that is to be killed dies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum CrashPoint {
    Now,
    /// It has decided, and nothing is on the disk.
    BeforeCommit,
    /// All is on the disk, and nobody knows.
    AfterCommit,
    /// Some answers have left.
    AmidAnswers,
    /// In order: what has arrived is committed and answered.
    AfterAnswers,
}

/// The quarantined trials that a person retries.
#[derive(Debug, Clone, Copy)]
pub(super) enum Retry {
    /// All that did not diverge.
    Failed,
    /// All.
    Diverged,
    /// One of them: its number modulo their count.
    One(usize),
}

#[derive(Debug, Clone, Copy)]
pub(super) enum Fault {
    CrashWorker {
        slot: usize,
        named: bool,
        down: Millis,
        silent: bool,
    },
    /// SIGSTOP and SIGCONT.
    StallWorker {
        slot: usize,
        lasts: Millis,
    },
    /// The trainer stands still, the session does not.
    FreezeTrainer {
        slot: usize,
        lasts: Millis,
    },
    /// Asked to stop; another process comes after a while, or never.
    LeaveWorker {
        slot: usize,
        back: Option<Millis>,
    },
    /// Its trainer cannot go on: it gives all back and starts anew.
    BreakTrainer {
        slot: usize,
    },
    CutStream {
        slot: usize,
    },
    /// No stream can be opened for a while either.
    Partition {
        slot: usize,
        lasts: Millis,
    },
    CrashCoordinator {
        point: CrashPoint,
        down: Millis,
    },
    /// A worker that is at odds with itself speaks of a lease of another.
    Meddle {
        slot: usize,
    },
    /// The whole coordinator stands still; whether its tick is what it hears first.
    PauseCoordinator {
        lasts: Millis,
        tick_first: bool,
    },
    /// Its clock goes on by so much in no time, as when the machine was suspended.
    LeapClock {
        by: Millis,
    },
    SlowCommits {
        lasts: Millis,
        up_to: Millis,
    },
    /// Nothing can be written for a while.
    FillDisk {
        lasts: Millis,
    },
    /// A person drains the workers of some places, or takes their trials back at once. Others come
    /// after a while, or never.
    DrainWorkers {
        first: usize,
        places: usize,
        now: bool,
        back: Option<Millis>,
    },
    /// A person retries quarantined trials, while the coordinator runs or with a restart.
    Retry {
        which: Retry,
        down: Option<Millis>,
    },
}

/// Streams that do more than to break.
#[derive(Debug, Clone, Copy)]
pub(super) struct Weather {
    /// Longest time on the way.
    pub(super) latency: Millis,
    /// Chances that a message of an open stream is lost, doubled, or overtaken.
    pub(super) lost: f64,
    pub(super) doubled: f64,
    pub(super) overtaken: f64,
    /// Whether messages on the way may still arrive when a stream breaks.
    pub(super) flushes: bool,
}

impl Weather {
    /// Whether streams keep neither order nor completeness.
    pub(super) fn wild(&self) -> bool {
        self.lost + self.doubled + self.overtaken > 0.0
    }
}

#[derive(Debug)]
pub(super) struct Plan {
    pub(super) promise: Promise,
    pub(super) limits: Limits,
    pub(super) specs: Vec<TrialSpec>,
    pub(super) subjects: BTreeMap<TrialId, Subject>,
    pub(super) slots: Vec<SlotPlan>,
    pub(super) faults: Vec<(Millis, Fault)>,
    pub(super) weather: Weather,
    /// Messages that a worker may send in one go.
    pub(super) stream_capacity: usize,
    pub(super) tick: Millis,
    /// Longest time of an ordinary commit.
    pub(super) commit: Millis,
    /// After that nothing goes wrong any more but what trials do.
    pub(super) quiet: Millis,
    /// How often a person retries quarantined trials at the end.
    pub(super) retries: u32,
}

impl Plan {
    pub(super) fn lease(&self) -> Millis {
        millis(self.limits.lease)
    }

    pub(super) fn stall(&self) -> Millis {
        millis(self.limits.stall)
    }

    /// The coordinator's welcome.
    pub(super) fn welcome(&self) -> v1::Welcome {
        let seconds = |duration: Millis| {
            u32::try_from(duration / 1_000).expect("durations of plans are short")
        };
        v1::Welcome {
            lease_seconds: seconds(self.lease()),
            heartbeat_seconds: seconds(self.heartbeat()),
            stall_seconds: seconds(self.stall()),
            ..v1::Welcome::default()
        }
    }

    /// As the coordinator tells its workers.
    pub(super) fn heartbeat(&self) -> Millis {
        (self.limits.lease.as_secs() / 4).clamp(1, 15) * 1_000
    }
}

pub(super) fn millis(duration: Duration) -> Millis {
    u64::try_from(duration.as_millis()).expect("durations of plans are short")
}
