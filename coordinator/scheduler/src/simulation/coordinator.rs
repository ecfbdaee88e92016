//! The actor of `engine/`, step by step the same, around the real scheduler: sessions, asks that stand, batches that are committed before
//! anybody is answered. Whatever is changed there has to be changed here.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use swfn_shared::{
    capacity::Capacity,
    ids::{LeaseId, TrialId, WorkerId},
};

use super::{
    super::{Admission, Command, Event, Predecessor, Rejection, Scheduler},
    disk::{Batch, Disk},
    message::{Downward, Hello, Message, Millis, Said, StreamId},
    oracle::{Broken, Oracle},
    plan::Plan,
    tally::Trace,
    words,
};
use crate::Pauses;

/// What the actor is told.
#[derive(Debug)]
pub(super) enum Request {
    Join { session: StreamId, hello: Hello },
    Message { session: StreamId, worker: WorkerId, message: Message },
    StreamEnded { session: StreamId, worker: WorkerId },
    DrainWorkers { ids: Vec<String> },
    Tick,
}

/// What an incarnation of the coordinator needs to decide.
#[derive(Debug)]
pub(super) struct Surroundings<'s> {
    pub(super) now: Millis,
    pub(super) oracle: &'s mut Oracle,
    pub(super) trace: &'s mut Trace,
}

/// One process of the coordinator.
#[derive(Debug)]
pub(super) struct Coordinator {
    pub(super) scheduler: Scheduler,
    started: Millis,
    /// How far its clock is ahead of virtual time.
    pub(super) leapt: Millis,
    pauses: Pauses,
    sessions: BTreeMap<WorkerId, StreamId>,
    leaving: BTreeSet<WorkerId>,
    waiting: BTreeMap<WorkerId, Capacity>,
    pub(super) batch: Batch,
    replies: Vec<(WorkerId, Downward)>,
    acknowledge: BTreeMap<WorkerId, u64>,
    /// Streams that it has let go of.
    pub(super) closed: Vec<StreamId>,
    drained: bool,
}

impl Coordinator {
    /// Replays the journal. The batch holds what is to be written first.
    pub(super) fn start(
        plan: &Plan,
        disk: &Disk,
        dead: impl Fn(&WorkerId) -> bool,
        around: &mut Surroundings<'_>,
    ) -> Result<Self, Broken> {
        let mut coordinator = Self {
            scheduler: replayed(plan, &disk.journal)?,
            started: around.now,
            leapt: 0,
            pauses: Pauses::new(plan.limits),
            sessions: BTreeMap::new(),
            leaving: BTreeSet::new(),
            waiting: BTreeMap::new(),
            batch: Batch::default(),
            replies: Vec::new(),
            acknowledge: BTreeMap::new(),
            closed: Vec::new(),
            drained: false,
        };
        coordinator.scheduler.forget_idle_workers();
        coordinator.scheduler.grant_full_terms(Duration::ZERO);
        around.oracle.restarted();
        let holders: Vec<_> = coordinator.scheduler.lease_holders().into_iter().filter(dead).collect();
        for worker in holders {
            coordinator.apply(around, &Command::Left { worker })?.ok();
        }
        Ok(coordinator)
    }

    /// Puts quarantined trials back, those that a person wants. The program does that before anybody can connect.
    pub(super) fn retry(
        &mut self,
        around: &mut Surroundings<'_>,
        wanted: impl Fn(TrialId) -> bool,
    ) -> Result<(), Broken> {
        let trials: Vec<_> = self.scheduler.trials().map(|(id, ..)| id).filter(|id| wanted(*id)).collect();
        for trial in trials {
            if self.apply(around, &Command::Retry { trial })?.is_ok() {
                around.oracle.tally.fault("trial put back by a person");
            }
        }
        Ok(())
    }

    pub(super) fn clock(&self, now: Millis) -> Duration {
        Duration::from_millis(now - self.started + self.leapt)
    }

    /// One turn of the loop, up to the commit. The tick comes last, as there.
    pub(super) fn work(&mut self, around: &mut Surroundings<'_>, requests: Vec<Request>) -> Result<(), Broken> {
        let mut tick = false;
        for request in requests {
            match request {
                Request::Tick => tick = true,
                Request::Join { session, hello } => self.join(around, session, hello)?,
                Request::Message { session, worker, message } => {
                    if self.is_current(&worker, session) {
                        self.hear(around, &worker, message)?;
                    }
                }
                Request::StreamEnded { session, worker } => {
                    if self.is_current(&worker, session) {
                        self.end_session(&worker);
                    }
                }
                Request::DrainWorkers { ids } => self.drain_workers(around, &ids)?,
            }
        }
        if tick {
            self.tick(around)?;
        }
        self.serve_waiting(around)
    }

    /// The answers that may leave, now that the batch is on the disk.
    pub(super) fn answers(&mut self) -> Vec<(StreamId, Downward)> {
        let acknowledged = std::mem::take(&mut self.acknowledge).into_iter();
        let acknowledged = acknowledged.map(|(worker, through)| (worker, Downward::Acknowledge(through)));
        let replies = std::mem::take(&mut self.replies).into_iter().chain(acknowledged);
        replies.filter_map(|(worker, reply)| Some((*self.sessions.get(&worker)?, reply))).collect()
    }

    fn tick(&mut self, around: &mut Surroundings<'_>) -> Result<(), Broken> {
        let now = self.clock(around.now);
        if self.pauses.tick(now) {
            around.trace.say(around.now, || "  the coordinator stood still; leases get a whole term".to_owned());
            self.scheduler.grant_full_terms(now);
            around.oracle.granted_full_terms(now);
        }
        let asleep = |worker: &&WorkerId| self.scheduler.sleeps(now, worker);
        let asleep: BTreeMap<_, _> =
            self.waiting.keys().filter(asleep).map(|id| (id.clone(), self.scheduler.held_by(id))).collect();
        self.apply(around, &Command::Tick)?.ok();
        let lost = |id: &WorkerId| asleep.get(id).is_some_and(|held| *held > self.scheduler.held_by(id));
        self.waiting.retain(|worker, _| !lost(worker));
        Ok(())
    }

    fn is_current(&self, worker: &WorkerId, session: StreamId) -> bool {
        self.sessions.get(worker) == Some(&session)
    }

    fn end_session(&mut self, worker: &WorkerId) {
        self.closed.extend(self.sessions.remove(worker));
        self.waiting.remove(worker);
    }

    fn apply(
        &mut self,
        around: &mut Surroundings<'_>,
        command: &Command,
    ) -> Result<Result<Vec<Event>, Rejection>, Broken> {
        let now = self.clock(around.now);
        let answer = self.scheduler.decide(now, command);
        around.oracle.decided(now, command, &answer)?;
        let events = match answer {
            Ok(events) => events,
            Err(rejection) => {
                around.trace.say(around.now, || format!("  {} refused: {rejection}", words::command(command)));
                return Ok(Err(rejection));
            }
        };
        for event in &events {
            self.scheduler.evolve(now, event).map_err(Broken)?;
            if event.durable().is_some() {
                around.trace.say(around.now, || format!("  {}", words::event(event)));
                self.batch.events.push(event.clone());
            }
        }
        Ok(Ok(events))
    }

    fn admit(
        &self,
        around: &mut Surroundings<'_>,
        worker: &WorkerId,
        lease: LeaseId,
    ) -> Result<Result<Admission, Rejection>, Broken> {
        let admission = self.scheduler.admit(worker, lease);
        around.oracle.admitted(worker, lease, &admission)?;
        Ok(admission)
    }

    fn join(&mut self, around: &mut Surroundings<'_>, session: StreamId, hello: Hello) -> Result<(), Broken> {
        let Hello { worker, predecessor, mut held } = hello;
        held.sort_unstable();
        held.dedup();
        let mut confirmed = Vec::new();
        for lease in &held {
            match self.admit(around, &worker, *lease)? {
                Ok(Admission::Live | Admission::Repeated) => confirmed.push(*lease),
                Err(_) => self.revoke(&worker, *lease),
            }
        }
        if !held.is_empty() {
            around.oracle.confirmed(&worker, &held, &confirmed)?;
            self.replies.push((worker.clone(), Downward::Confirm(confirmed)));
        }
        self.end_session(&worker);
        if let Some(dead) = &predecessor {
            self.end_session(dead);
            self.leaving.remove(dead);
        }
        self.sessions.insert(worker.clone(), session);
        self.batch.joined = true;
        self.apply(around, &Command::Joined { worker: worker.clone(), predecessor: predecessor.map(dead), held })?.ok();
        if self.drained || self.leaving.contains(&worker) {
            self.replies.push((worker, Downward::Drain));
        }
        Ok(())
    }

    fn drain_workers(&mut self, around: &mut Surroundings<'_>, ids: &[String]) -> Result<(), Broken> {
        let mut told = Vec::new();
        for worker in self.sessions.keys() {
            if ids.iter().any(|id| worker.to_string().starts_with(id)) {
                self.waiting.remove(worker);
                self.leaving.insert(worker.clone());
                self.replies.push((worker.clone(), Downward::Drain));
                around.oracle.told_to_leave.insert(worker.clone());
                told.push(worker.clone());
                around.oracle.tally.fault("worker told to leave by a person");
            }
        }
        for worker in told {
            let nothing = Command::Asked { worker, capacity: Capacity::default() };
            self.apply(around, &nothing)?.ok();
        }
        Ok(())
    }

    fn hear(&mut self, around: &mut Surroundings<'_>, worker: &WorkerId, message: Message) -> Result<(), Broken> {
        let Message { sequence, said } = message;
        self.apply(around, &Command::Heard { worker: worker.clone() })?.ok();
        if sequence > 0 {
            let through = self.acknowledge.entry(worker.clone()).or_default();
            *through = sequence.max(*through);
            self.batch.heard.push((worker.clone(), sequence));
        }
        let worker = worker.clone();
        match said {
            Said::Ask(_) if self.leaving.contains(&worker) => {}
            Said::Ask(mut capacity) => {
                around.oracle.asked(&worker);
                capacity.vaes = self.scheduler.of_sweep(capacity.vaes);
                self.waiting.insert(worker, capacity);
            }
            Said::Heartbeat { progress } => {
                for (lease, step) in progress {
                    // Here reports leave at once, and none of them waits for another.
                    let worker = worker.clone();
                    self.of_lease(around, lease, Command::Progressed { worker, lease, step, waits: false })?;
                }
            }
            Said::Points { lease, steps } => match self.admit(around, &worker, lease)? {
                Ok(Admission::Live) => self.batch.points.push((lease, steps)),
                Ok(Admission::Repeated) => {}
                Err(_) => self.revoke(&worker, lease),
            },
            Said::Succeeded { lease } => {
                if self.of_lease(around, lease, Command::Succeeded { worker: worker.clone(), lease })? {
                    self.batch.results.push((lease, worker));
                }
            }
            Said::Failed { lease, kind } => {
                let error = format!("{kind:?} in attempt {}", lease.attempt);
                self.of_lease(around, lease, Command::Failed { worker, lease, kind, error, log: String::new() })?;
            }
            Said::Released { lease } => {
                self.of_lease(around, lease, Command::Released { worker, lease })?;
            }
            Said::Goodbye => {
                self.apply(around, &Command::Left { worker: worker.clone() })?.ok();
                self.leaving.remove(&worker);
                self.end_session(&worker);
            }
        }
        Ok(())
    }

    /// True when something came of it.
    fn of_lease(&mut self, around: &mut Surroundings<'_>, lease: LeaseId, command: Command) -> Result<bool, Broken> {
        let answer = self.apply(around, &command)?;
        if let (
            Command::Progressed { worker, .. }
            | Command::Succeeded { worker, .. }
            | Command::Failed { worker, .. }
            | Command::Released { worker, .. },
            Err(_),
        ) = (&command, &answer)
        {
            self.revoke(worker, lease);
        }
        Ok(answer.is_ok_and(|events| !events.is_empty()))
    }

    fn revoke(&mut self, worker: &WorkerId, lease: LeaseId) {
        let revoke = (worker.clone(), Downward::Revoke(lease));
        if !self.replies.contains(&revoke) {
            self.replies.push(revoke);
        }
    }

    fn serve_waiting(&mut self, around: &mut Surroundings<'_>) -> Result<(), Broken> {
        for (worker, mut asked) in std::mem::take(&mut self.waiting) {
            let command = Command::Asked { worker: worker.clone(), capacity: asked.clone() };
            let events = self.apply(around, &command)?.unwrap_or_default();
            let leases: Vec<_> = events.iter().filter_map(Event::durable).collect();
            if let Some(spec) = leases.first().and_then(|lease| self.scheduler.spec(lease.trial)) {
                asked.shape = Some(spec.shape());
                self.replies.push((worker.clone(), Downward::Grant(leases)));
            }
            if self.scheduler.held_by(&worker) < usize::try_from(asked.lanes).unwrap_or(usize::MAX) {
                self.waiting.insert(worker, asked);
            }
        }
        if self.scheduler.counts().finished() && !self.drained {
            self.drained = true;
            self.replies.extend(self.sessions.keys().map(|worker| (worker.clone(), Downward::Drain)));
        }
        Ok(())
    }
}

/// A process of which its successor says that it is dead.
fn dead(worker: WorkerId) -> Predecessor {
    Predecessor { worker, end: "killed".to_owned(), log: String::new(), innocent: false }
}

/// A scheduler that has been through a journal.
pub(super) fn replayed(plan: &Plan, journal: &[Event]) -> Result<Scheduler, Broken> {
    let mut scheduler = Scheduler::new(plan.limits, plan.specs.iter().copied());
    for event in journal {
        scheduler.evolve(Duration::ZERO, event).map_err(|problem| Broken(format!("replay: {problem}")))?;
    }
    Ok(scheduler)
}
