//! The state of a sweep: its trials, its workers, and the trials that wait.
//!
//! ```text
//!              Leased                    Succeeded
//!   Pending ----------> Leased(lease) --------------> Succeeded
//!      ^                  |      |
//!      |  Released, Lost, |      | Failed or Lost, past its limit
//!      +---- Failed ------+      +------------------> Quarantined
//!      +----------------------- Retried -----------------+
//! ```

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    time::Duration,
};

use swfn_shared::{
    grid::RunSettings,
    ids::{Attempt, LeaseId, ShapeId, TrialId, VaeId, WorkerDevice, WorkerId},
    snapshot::Counts,
    state,
    trial::TrialSpec,
};

use super::{
    command::{Rejection, SUSPECT},
    fencing::{self, Admission},
    pending::Pending,
    records::Records,
};

/// The most VAEs of one worker that count when it gets trials: those that it used last.
const MAX_VAES: usize = 1024;

/// Position of a trial in the sweep.
pub(super) type TrialIndex = usize;

/// The state of one trial, with its data.
#[derive(Debug, Clone, PartialEq)]
pub enum TrialState {
    Pending,
    Leased(Lease),
    /// Only this worker may report it again.
    Succeeded {
        attempt: Attempt,
        worker: WorkerId,
    },
    Quarantined {
        error: String,
    },
}

impl TrialState {
    /// The state without its data.
    pub fn kind(&self) -> state::TrialState {
        match self {
            Self::Pending => state::TrialState::Pending,
            Self::Leased(_) => state::TrialState::Leased,
            Self::Succeeded { .. } => state::TrialState::Succeeded,
            Self::Quarantined { .. } => state::TrialState::Quarantined,
        }
    }
}

/// A live lease.
#[derive(Debug, Clone, PartialEq)]
pub struct Lease {
    pub worker: WorkerId,
    pub attempt: Attempt,
    /// Iterations done.
    pub step: u64,
    /// When `step` last grew.
    pub moved: Duration,
    pub granted: Duration,
}

#[derive(Debug)]
pub(super) struct Trial {
    pub(super) spec: TrialSpec,
    pub(super) id: TrialId,
    pub(super) shape: ShapeId,
    pub(super) vae: Option<VaeId>,
    /// Position of its subset among the subsets of the sweep.
    pub(super) group: usize,
    pub(super) state: TrialState,
    /// Leases so far, which is the number of the newest.
    pub(super) attempts: Attempt,
    pub(super) failures: u32,
    /// Leases that were lost alone.
    pub(super) losses: u32,
    /// Grows with leases that were lost together with others.
    pub(super) suspicion: u32,
    /// The places where it failed, or was lost alone.
    pub(super) failed_at: Vec<WorkerDevice>,
}

impl Trial {
    pub(super) fn new(spec: TrialSpec, group: usize) -> Self {
        let (id, shape, vae) = (spec.id(), spec.shape(), spec.vae());
        Self {
            spec,
            id,
            shape,
            vae,
            group,
            state: TrialState::Pending,
            attempts: 0,
            failures: 0,
            losses: 0,
            suspicion: 0,
            failed_at: Vec::new(),
        }
    }

    /// Whether it is tried alone, since it may have ended a worker that trained others, too.
    pub(super) fn is_suspect(&self) -> bool {
        self.suspicion >= SUSPECT
    }

    /// The number of the next lease. It is higher than all before, which fences them off.
    pub(super) fn next_attempt(&self) -> Attempt {
        self.attempts + 1
    }

    /// The lease of its newest attempt.
    pub(super) fn newest_lease(&self) -> LeaseId {
        LeaseId { trial: self.id, attempt: self.attempts }
    }
}

#[derive(Debug, Default)]
pub(super) struct Worker {
    pub(super) place: WorkerDevice,
    pub(super) leases: BTreeSet<TrialIndex>,
    pub(super) heard: Duration,
    /// Trials that it can hold at a time, from its last ask.
    pub(super) lanes: Option<usize>,
    /// When it last lost a lease. It may not know yet.
    pub(super) lost: Option<Duration>,
    /// Whether its last ask was for any trials.
    pub(super) takes: bool,
    /// Whether one of its trials has advanced, or succeeded.
    pub(super) reported: bool,
}

/// The numbers of `[run]` that the scheduler uses.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    pub max_failures: u32,
    pub max_losses: u32,
    pub lease: Duration,
    pub stall: Duration,
    /// How long a trial may take; by default, the times of others decide.
    pub longest: Option<Duration>,
    /// The most trials of a worker before one has advanced.
    pub portion: usize,
}

impl From<RunSettings> for Limits {
    fn from(run: RunSettings) -> Self {
        Self {
            max_failures: run.max_failures,
            max_losses: run.max_losses,
            lease: Duration::from_secs(run.lease_seconds.into()),
            stall: Duration::from_secs(run.stall_seconds.into()),
            longest: run.trial_minutes.map(|minutes| Duration::from_secs(60 * u64::from(minutes))),
            portion: 64,
        }
    }
}

/// The outcome of a trial in an earlier sweep.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EarlierOutcome {
    pub attempts: Attempt,
    /// The worker whose result counts there.
    pub worker: WorkerId,
}

/// The scheduler of one sweep.
#[derive(Debug)]
pub struct Scheduler {
    pub(super) limits: Limits,
    pub(super) trials: Vec<Trial>,
    pub(super) by_id: HashMap<TrialId, TrialIndex>,
    pub(super) pending: Pending,
    /// Ordered, so that the same commands cause the same events.
    pub(super) workers: BTreeMap<WorkerId, Worker>,
    pub(super) counts: Counts,
    pub(super) records: Records,
}

impl Scheduler {
    /// A sweep before its first event. Trials are handed out in this order.
    pub fn new(limits: Limits, specs: impl IntoIterator<Item = TrialSpec>) -> Self {
        let mut groups = HashMap::new();
        let trials = specs.into_iter().map(|spec| {
            let next = groups.len();
            Trial::new(spec, *groups.entry(spec.subset()).or_insert(next))
        });
        Self::with_trials(limits, trials.collect())
    }

    /// A sweep that repeats trials of an earlier one, at other places if there are any. Attempts go
    /// on from the earlier ones, which fences those off.
    pub fn repeat(
        limits: Limits,
        trials: impl IntoIterator<Item = (TrialSpec, EarlierOutcome)>,
    ) -> Self {
        let (specs, earlier): (Vec<_>, Vec<_>) = trials.into_iter().unzip();
        let mut trials = Self::new(limits, specs).trials;
        for (trial, EarlierOutcome { attempts, worker }) in trials.iter_mut().zip(earlier) {
            trial.attempts = attempts;
            trial.failed_at.push(WorkerDevice::from(&worker));
        }
        Self::with_trials(limits, trials)
    }

    fn with_trials(limits: Limits, trials: Vec<Trial>) -> Self {
        let mut pending = Pending::default();
        for (index, trial) in trials.iter().enumerate() {
            pending.insert(trial, index);
        }
        let by_id = trials.iter().enumerate().map(|(index, trial)| (trial.id, index)).collect();
        let counts = Counts { pending: trials.len(), ..Counts::default() };
        let records = Records::default();
        Self { limits, trials, by_id, pending, workers: BTreeMap::new(), counts, records }
    }

    pub fn limits(&self) -> Limits {
        self.limits
    }

    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// The trials in their order, with their states.
    pub fn trials(&self) -> impl Iterator<Item = (TrialId, &TrialSpec, &TrialState)> {
        self.trials.iter().map(|trial| (trial.id, &trial.spec, &trial.state))
    }

    /// The live leases with their trials, worker by worker.
    pub fn leases(&self) -> impl Iterator<Item = (TrialId, &TrialSpec, &Lease)> {
        let held = self.workers.values().flat_map(|worker| &worker.leases);
        held.filter_map(|index| match &self.trials[*index] {
            Trial { id, spec, state: TrialState::Leased(lease), .. } => Some((*id, spec, lease)),
            _ => None,
        })
    }

    /// Those of these VAEs that trials of the sweep need, each once.
    pub fn needed_vaes(&self, vaes: Vec<VaeId>) -> Vec<VaeId> {
        let known: BTreeSet<_> = vaes
            .into_iter()
            .filter(|vae| self.pending.vaes.contains_key(vae))
            .take(MAX_VAES)
            .collect();
        known.into_iter().collect()
    }

    /// The settings of a trial.
    pub fn spec(&self, id: TrialId) -> Option<&TrialSpec> {
        self.by_id.get(&id).map(|index| &self.trials[*index].spec)
    }

    /// The number of leases that the worker holds.
    pub fn held_by(&self, worker: &WorkerId) -> usize {
        self.workers.get(worker).map_or(0, |worker| worker.leases.len())
    }

    /// The leases that the worker holds.
    pub fn leases_of(&self, worker: &WorkerId) -> Vec<LeaseId> {
        let held = self.workers.get(worker).map(|worker| &worker.leases);
        held.into_iter().flatten().map(|index| self.trials[*index].newest_lease()).collect()
    }

    /// The standing of a message of `worker` about `lease`.
    pub fn admit(&self, worker: &WorkerId, lease: LeaseId) -> Result<Admission, Rejection> {
        let index = self.by_id.get(&lease.trial).ok_or(Rejection::UnknownTrial(lease))?;
        fencing::admit(&self.trials[*index], worker, lease)
            .map_err(|reason| Rejection::Fenced { lease, reason })
    }
}
