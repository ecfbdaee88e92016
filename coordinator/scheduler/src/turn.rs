//! Turns messages of workers, commands of people and time into writes and answers: sessions, asks,
//! grants, revocations, acknowledgements.
//!
//! It is pure: without thread, clock, store or channel. The coordinator's actor calls these
//! functions, and so does the simulation. They add to [`Turn::writes`] and to the answers. Answers
//! may leave [`Turn::commit`] when all is written.

mod commit;
mod hear;
mod holders;
mod message;
mod people;

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    time::Duration,
};

use swfn_shared::{
    artifacts::{ArtifactPart, Artifacts},
    capacity::Capacity,
    event::{Blame, Event},
    ids::{DataDigest, LeaseId, TrialId, WorkerId},
    metrics::{MetricPoint, Outcome},
    quote::one_line,
    trial_log::LogPart,
};
use tracing::warn;

pub use self::{
    commit::retry_after,
    holders::Holders,
    message::{FromWorker, Hello, Holder, Reply, SessionId},
};
use crate::{Admission, Command, Pauses, Rejection, Scheduler};

/// Stands between a turn and the scheduler. The coordinator counts there, its tests plant bugs, and
/// the oracle of the simulation checks each answer.
pub trait Rules {
    /// The time that the scheduler gets.
    fn clock(&self, now: Duration) -> Duration {
        now
    }

    /// [`Scheduler::decide`].
    fn decide(
        &mut self,
        scheduler: &Scheduler,
        now: Duration,
        command: &Command,
    ) -> Result<Vec<Event>, Rejection> {
        scheduler.decide(now, command)
    }

    /// [`Scheduler::admit`].
    fn admit(
        &mut self,
        scheduler: &Scheduler,
        worker: &WorkerId,
        lease: LeaseId,
    ) -> Result<Admission, Rejection> {
        scheduler.admit(worker, lease)
    }

    /// Leases got a whole term, after a pause of the coordinator.
    fn granted_full_terms(&mut self, _now: Duration) {}

    /// An event did not apply, which would be a defect: it was decided from this state.
    fn contradicted(&mut self, problem: String);
}

/// The time of a turn, and its rules.
pub struct TurnContext<'r> {
    /// Since some fixed start, on a clock that never goes back.
    pub now: Duration,
    pub rules: &'r mut dyn Rules,
}

/// A write for the store. The order among writes of one kind matters.
#[derive(Debug, Clone)]
pub enum Write {
    /// Durable.
    Event(Event),
    Points {
        lease: LeaseId,
        worker: WorkerId,
        points: Vec<MetricPoint>,
    },
    Log(LeaseId, LogPart),
    File(LeaseId, ArtifactPart),
    Result {
        lease: LeaseId,
        worker: WorkerId,
        outcome: Outcome,
        dataset_digest: DataDigest,
    },
}

/// The leases of one worker that a turn revokes.
#[derive(Debug, Default)]
struct Revoked {
    leases: HashSet<LeaseId>,
    /// The reason for the first of them.
    first: Option<String>,
}

/// The state of a coordinator.
#[derive(Debug)]
pub struct Turn {
    pub scheduler: Scheduler,
    /// The files that trials leave behind.
    pub artifacts: Artifacts,
    pauses: Pauses,
    sessions: BTreeMap<WorkerId, SessionId>,
    holders: Holders,
    /// Workers that a person has drained and that have not left yet.
    leaving: BTreeSet<WorkerId>,
    /// Workers whose trials only fail, after the warning that they get no more.
    warned: BTreeSet<WorkerId>,
    /// Workers that asked for more than they hold, with their asks.
    waiting: BTreeMap<WorkerId, Capacity>,
    /// Whether all workers know that the sweep is over.
    drained: bool,
    /// New writes, for the caller to take.
    pub writes: Vec<Write>,
    /// Sessions that are over, whose streams must end, for the caller to take.
    pub closed: Vec<(WorkerId, SessionId)>,
    /// Answers that wait for the commit.
    replies: Vec<(WorkerId, Reply)>,
    revoked: BTreeMap<WorkerId, Revoked>,
    acknowledge: BTreeMap<WorkerId, u64>,
}

impl Turn {
    /// Resumes from a journal. Leases of dead workers are returned, the others get a whole term.
    pub fn resume(
        at: &mut TurnContext<'_>,
        mut scheduler: Scheduler,
        artifacts: Artifacts,
        holders: Holders,
        dead: impl Fn(&WorkerId) -> bool,
    ) -> Self {
        scheduler.forget_idle_workers();
        scheduler.grant_full_terms(at.now);
        let mut turn = Self {
            pauses: Pauses::new(scheduler.limits()),
            scheduler,
            artifacts,
            sessions: BTreeMap::new(),
            holders,
            leaving: BTreeSet::new(),
            warned: BTreeSet::new(),
            waiting: BTreeMap::new(),
            drained: false,
            writes: Vec::new(),
            closed: Vec::new(),
            replies: Vec::new(),
            revoked: BTreeMap::new(),
            acknowledge: BTreeMap::new(),
        };
        let holders: Vec<_> = turn.scheduler.workers.keys().cloned().collect();
        for worker in holders.into_iter().filter(dead) {
            turn.apply(at, &Command::Left { worker }).ok();
        }
        turn
    }

    /// Takes over the workers of another sweep, which is over.
    pub fn take_over(&mut self, at: &mut TurnContext<'_>, first: Self) {
        let Self { pauses, sessions, holders, leaving, waiting, .. } = first;
        (self.pauses, self.sessions, self.holders) = (pauses, sessions, holders);
        (self.leaving, self.waiting) = (leaving, waiting);
        self.scheduler.grant_full_terms(at.now);
        for worker in self.connected() {
            self.apply(at, &Command::Joined { worker, predecessor: None, held: Vec::new() }).ok();
        }
    }

    /// The workers that have a stream.
    pub fn connected(&self) -> Vec<WorkerId> {
        self.sessions.keys().cloned().collect()
    }

    /// The stream of a worker. A newer one replaces it, on which all messages come again.
    pub fn session(&self, worker: &WorkerId) -> Option<SessionId> {
        self.sessions.get(worker).copied()
    }

    /// A stream ended; the worker may come back.
    pub fn stream_ended(&mut self, worker: &WorkerId, session: SessionId) {
        if self.session(worker) == Some(session) {
            self.end_session(worker);
        }
    }

    /// Ends a worker's stream, if it has one.
    pub fn end_session(&mut self, worker: &WorkerId) {
        self.closed.extend(self.sessions.remove(worker).map(|session| (worker.clone(), session)));
        self.waiting.remove(worker);
    }

    /// Ends all streams, since the coordinator ends.
    pub fn stop(&mut self) {
        self.connected().iter().for_each(|worker| self.end_session(worker));
    }

    /// A trial's name for people.
    fn name(&self, trial: TrialId) -> String {
        self.scheduler
            .spec(trial)
            .map_or(String::new(), |spec| format!("{}, seed {}", spec.label(), spec.seed))
    }

    /// Decides, evolves, and adds the durable events to the writes.
    fn apply(
        &mut self,
        at: &mut TurnContext<'_>,
        command: &Command,
    ) -> Result<Vec<Event>, Rejection> {
        let now = at.rules.clock(at.now);
        let events = at.rules.decide(&self.scheduler, now, command)?;
        for event in &events {
            if let Err(problem) = self.scheduler.evolve(now, event) {
                at.rules.contradicted(problem);
                continue;
            }
            match event {
                Event::Failed { lease, error, quarantine: for_good, .. } => {
                    let (trial, error) = (self.name(lease.trial), one_line(error));
                    warn!(%lease, for_good, "trial failed ({trial}): {error}");
                    self.warn_of_failing_places(at.now);
                }
                Event::Lost { lease, error, quarantine: for_good, blame, .. } => {
                    let with = if *blame == Blame::Alone { "" } else { ", with others" };
                    let (trial, error) = (self.name(lease.trial), one_line(error));
                    warn!(%lease, for_good, "lease lost{with} ({trial}): {error}");
                }
                _ => {}
            }
            if event.durable().is_some() {
                self.writes.push(Write::Event(event.clone()));
            }
        }
        Ok(events)
    }

    /// Ends the messages of a turn: time passes, if it does, and asks are served. `sends_home`:
    /// workers are drained once all trials have ended.
    ///
    /// Time comes last: after a slow commit, waiting signs of life must count before silence.
    pub fn end(&mut self, at: &mut TurnContext<'_>, passes: bool, sends_home: bool) {
        if passes {
            self.tick(at);
        }
        self.serve_waiting(at);
        if !self.scheduler.counts().finished() {
            // A person may have put trials back.
            self.drained = false;
        } else if sends_home && !self.drained {
            self.drained = true;
            let drains = |worker| (worker, message::drain(message::FINISHED));
            self.replies.extend(self.connected().into_iter().map(drains));
        }
    }

    /// Lets leases expire. A worker that loses one that way is stuck or gone, and new leases would
    /// only expire again. So its ask is dropped: it asks anew when it is awake.
    fn tick(&mut self, at: &mut TurnContext<'_>) {
        if self.pauses.tick(at.now) {
            warn!("the coordinator stood still, so leases get a whole term");
            self.scheduler.grant_full_terms(at.now);
            at.rules.granted_full_terms(at.now);
        }
        let asleep = |worker: &&WorkerId| self.scheduler.sleeps(at.now, worker);
        let held = |id: &WorkerId| (id.clone(), self.scheduler.held_by(id));
        let asleep: BTreeMap<_, _> = self.waiting.keys().filter(asleep).map(held).collect();
        self.apply(at, &Command::Tick).ok();
        let lost =
            |id: &WorkerId| asleep.get(id).is_some_and(|held| *held > self.scheduler.held_by(id));
        self.waiting.retain(|worker, _| !lost(worker));
        // Others may have joined.
        self.warn_of_failing_places(at.now);
    }

    fn warn_of_failing_places(&mut self, now: Duration) {
        let failing: BTreeSet<_> =
            self.scheduler.excluded_workers(now).into_iter().cloned().collect();
        for worker in failing.difference(&self.warned) {
            warn!(
                %worker,
                "this worker gets no more trials: its own only fail, and there are other workers\n\
                 hint: look at its log and its device; a restarted worker is trusted again"
            );
        }
        self.warned = failing;
    }

    fn serve_waiting(&mut self, at: &mut TurnContext<'_>) {
        for (worker, capacity) in std::mem::take(&mut self.waiting) {
            let command = Command::Asked { worker, capacity };
            let events = self.apply(at, &command).unwrap_or_default();
            let Command::Asked { worker, mut capacity } = command else { continue };
            let granted = events.iter().filter_map(Event::durable);
            let granted =
                granted.filter_map(|lease| Some((lease, *self.scheduler.spec(lease.trial)?)));
            let leases: Vec<_> = granted.collect();
            // The rest of the ask stands, for the same shape: its lanes must not have two.
            if let Some((_, spec)) = leases.first() {
                capacity.shape = Some(spec.shape());
                let grant = Reply::Grant { leases, artifacts: self.artifacts };
                self.replies.push((worker.clone(), grant));
            }
            let lanes = usize::try_from(capacity.lanes).unwrap_or(usize::MAX);
            if self.scheduler.held_by(&worker) < lanes {
                self.waiting.insert(worker, capacity);
            }
        }
    }
}
