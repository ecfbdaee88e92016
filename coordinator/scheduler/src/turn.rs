//! What follows from what workers and persons say, and from time: sessions, asks that stand, grants, revocations, acknowledgements.
//!
//! Pure: no thread, clock, store or channel. The coordinator's actor calls these functions, and so does the simulation. Each of them adds
//! to what is to be written ([`Turn::writes`]) and to the answers, which [`Turn::commit`] hands out: they may leave when all that is
//! written.

mod commit;
mod hear;
mod holders;
mod message;
mod persons;

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
    commit::{Commit, Next, Written},
    holders::Holders,
    message::{FromWorker, Hello, Holder, Progress, Reply, SessionId},
};
use crate::{Admission, Command, Pauses, Rejection, Scheduler};

/// What stands between a turn and the scheduler: in the coordinator its counters, in tests what they plant there, in the simulation the
/// oracle, which hears each command with its answer.
pub trait Rules {
    /// The time that the scheduler is told.
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

    /// Leases got a whole term, since nobody was listened to for a while.
    fn granted_full_terms(&mut self, _now: Duration) {}

    /// An event did not apply. Cannot happen: what is decided follows from the state that it was decided on.
    fn contradicted(&mut self, problem: String);
}

/// When something happens, and by which rules.
pub struct At<'r> {
    /// Since some fixed start, on a clock that never goes back.
    pub now: Duration,
    pub rules: &'r mut dyn Rules,
}

/// Something to be written. The order among those of one kind counts.
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

/// What a turn revokes of one worker's leases.
#[derive(Debug, Default)]
struct Revoked {
    leases: HashSet<LeaseId>,
    /// Why the first of them was.
    first: Option<String>,
}

/// The state of a coordinator.
#[derive(Debug)]
pub struct Turn {
    pub scheduler: Scheduler,
    /// What trials leave behind.
    pub artifacts: Artifacts,
    pauses: Pauses,
    sessions: BTreeMap<WorkerId, SessionId>,
    holders: Holders,
    /// Workers that a person has told to leave and that have not left yet.
    leaving: BTreeSet<WorkerId>,
    /// Workers of which it was said that they get no trials, since theirs only fail.
    aside: BTreeSet<WorkerId>,
    /// Workers that asked for more than they hold, in a fixed order.
    waiting: BTreeMap<WorkerId, Capacity>,
    /// All have been told that the sweep is over.
    drained: bool,
    writes: Vec<Write>,
    /// Sessions that are over, whose streams are to end.
    closed: Vec<(WorkerId, SessionId)>,
    /// Answers that wait for the commit.
    replies: Vec<(WorkerId, Reply)>,
    revoked: BTreeMap<WorkerId, Revoked>,
    acknowledge: BTreeMap<WorkerId, u64>,
}

impl Turn {
    /// Goes on where a journal has led a scheduler. Leases of the workers that are dead are given back at once, the others get a whole
    /// term.
    pub fn resume(
        at: &mut At<'_>,
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
            aside: BTreeSet::new(),
            waiting: BTreeMap::new(),
            drained: false,
            writes: Vec::new(),
            closed: Vec::new(),
            replies: Vec::new(),
            revoked: BTreeMap::new(),
            acknowledge: BTreeMap::new(),
        };
        for worker in turn.scheduler.lease_holders().into_iter().filter(dead) {
            turn.apply(at, &Command::Left { worker }).ok();
        }
        turn
    }

    /// The workers of another sweep, which is over, go on with this one.
    pub fn take_over(&mut self, at: &mut At<'_>, first: Self) {
        let Self { pauses, sessions, holders, leaving, waiting, .. } = first;
        (self.pauses, self.sessions, self.holders) = (pauses, sessions, holders);
        (self.leaving, self.waiting) = (leaving, waiting);
        self.scheduler.grant_full_terms(at.now);
        for worker in self.connected() {
            self.apply(at, &Command::Joined { worker, predecessor: None, held: Vec::new() }).ok();
        }
    }

    /// What has to be written since this was last asked.
    pub fn writes(&mut self) -> Vec<Write> {
        std::mem::take(&mut self.writes)
    }

    /// The sessions that have ended since this was last asked.
    pub fn closed(&mut self) -> Vec<(WorkerId, SessionId)> {
        std::mem::take(&mut self.closed)
    }

    /// The workers that have a stream.
    pub fn connected(&self) -> Vec<WorkerId> {
        self.sessions.keys().cloned().collect()
    }

    /// The stream of a worker.
    pub fn session(&self, worker: &WorkerId) -> Option<SessionId> {
        self.sessions.get(worker).copied()
    }

    /// Whether nobody waits behind this session: what a stream says that was replaced is said again on the new one.
    fn is_current(&self, worker: &WorkerId, session: SessionId) -> bool {
        self.session(worker) == Some(session)
    }

    /// A stream ended; the worker may come back.
    pub fn stream_ended(&mut self, worker: &WorkerId, session: SessionId) {
        if self.is_current(worker, session) {
            self.end_session(worker);
        }
    }

    /// Ends a worker's stream, if it has one.
    pub fn end_session(&mut self, worker: &WorkerId) {
        self.closed.extend(self.sessions.remove(worker).map(|session| (worker.clone(), session)));
        self.waiting.remove(worker);
    }

    /// The coordinator ends: so do all streams.
    pub fn stop(&mut self) {
        self.connected().iter().for_each(|worker| self.end_session(worker));
    }

    /// A trial with all that tells it from the others.
    fn name(&self, trial: TrialId) -> String {
        self.scheduler
            .spec(trial)
            .map_or(String::new(), |spec| format!("{}, seed {}", spec.label(), spec.seed))
    }

    /// Decides and evolves; the durable part is to be written.
    fn apply(&mut self, at: &mut At<'_>, command: &Command) -> Result<Vec<Event>, Rejection> {
        let now = at.rules.clock(at.now);
        let events = at.rules.decide(&self.scheduler, now, command)?;
        for event in &events {
            if let Err(problem) = self.scheduler.evolve(now, event) {
                at.rules.contradicted(problem);
                continue;
            }
            match event {
                Event::Failed { lease, error, quarantine, log: _ } => {
                    let trial = self.name(lease.trial);
                    warn!(%lease, for_good = quarantine, "trial failed ({trial}): {}", one_line(error));
                    self.tell_of_those_set_aside(at.now);
                }
                Event::Lost { lease, error, quarantine, blame, log: _ } => {
                    let with = if *blame == Blame::Alone { "" } else { ", with others" };
                    let trial = self.name(lease.trial);
                    warn!(%lease, for_good = quarantine, "lease lost{with} ({trial}): {}", one_line(error));
                }
                _ => {}
            }
            if event.durable().is_some() {
                self.writes.push(Write::Event(event.clone()));
            }
        }
        Ok(events)
    }

    /// All that has arrived is heard: time passes, if it does, and what can be granted is. `sends_home`: nothing comes after all trials
    /// have ended, and workers are told.
    ///
    /// Time comes last: after a slow commit, signs of life that waited must count before silence does.
    pub fn end(&mut self, at: &mut At<'_>, passes: bool, sends_home: bool) {
        if passes {
            self.tick(at);
        }
        self.serve_waiting(at);
        if !self.scheduler.counts().finished() {
            // Also again, when a person has had trials put back.
            self.drained = false;
        } else if sends_home && !self.drained {
            self.drained = true;
            self.replies.extend(
                self.connected()
                    .into_iter()
                    .map(|worker| (worker, message::drain(message::FINISHED))),
            );
        }
    }

    /// Leases expire. Who loses one that way stands still or is gone, and what it asked for would only expire with it, again and again: it
    /// asks anew when it is awake.
    fn tick(&mut self, at: &mut At<'_>) {
        if self.pauses.tick(at.now) {
            warn!("the coordinator stood still; leases get a whole term");
            self.scheduler.grant_full_terms(at.now);
            at.rules.granted_full_terms(at.now);
        }
        let asleep = |worker: &&WorkerId| self.scheduler.sleeps(at.now, worker);
        let asleep: BTreeMap<_, _> = self
            .waiting
            .keys()
            .filter(asleep)
            .map(|id| (id.clone(), self.scheduler.held_by(id)))
            .collect();
        self.apply(at, &Command::Tick).ok();
        let lost =
            |id: &WorkerId| asleep.get(id).is_some_and(|held| *held > self.scheduler.held_by(id));
        self.waiting.retain(|worker, _| !lost(worker));
        // Others may have joined.
        self.tell_of_those_set_aside(at.now);
    }

    fn tell_of_those_set_aside(&mut self, now: Duration) {
        let aside: BTreeSet<_> = self.scheduler.set_aside(now).into_iter().cloned().collect();
        for worker in aside.difference(&self.aside) {
            warn!(
                %worker,
                "this worker gets no more trials: its own only fail, and others are there\n                 hint: look at its log and its device; a worker that is started anew is trusted anew"
            );
        }
        self.aside = aside;
    }

    fn serve_waiting(&mut self, at: &mut At<'_>) {
        for (worker, asked) in std::mem::take(&mut self.waiting) {
            let command = Command::Asked { worker, capacity: asked };
            let events = self.apply(at, &command).unwrap_or_default();
            let leases: Vec<_> = events.iter().filter_map(Event::durable).collect();
            let Command::Asked { worker, capacity: mut asked } = command else { continue };
            let grant = leases
                .into_iter()
                .filter_map(|lease| Some((lease, *self.scheduler.spec(lease.trial)?)));
            let leases: Vec<_> = grant.collect();
            // What it did not get now, it may get later: of the same shape, or its lanes would be of two.
            if let Some((_, spec)) = leases.first() {
                asked.shape = Some(spec.shape());
                self.replies
                    .push((worker.clone(), Reply::Grant { leases, artifacts: self.artifacts }));
            }
            if self.scheduler.held_by(&worker) < usize::try_from(asked.lanes).unwrap_or(usize::MAX)
            {
                self.waiting.insert(worker, asked);
            }
        }
    }
}
