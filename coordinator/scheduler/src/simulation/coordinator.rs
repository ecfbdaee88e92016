//! One process of the coordinator: the turn of `engine/`, on the clock and the disk of the
//! simulation.

use std::{mem, time::Duration};

use swfn_proto::v1::{self, worker_message::Kind};
use swfn_shared::{
    artifacts::Artifacts,
    ids::{LeaseId, WorkerId},
    person::{CommandOutcome, Drain, PersonCommand},
};

use super::{
    super::{Admission, Command, Event, Predecessor, Rejection, Scheduler},
    disk::{Batch, Disk},
    message::{Downward, Hello, Millis, StreamId},
    oracle::{Answer, Broken, Oracle},
    plan::{Plan, Retry},
    tally::Trace,
    trace_text, wire,
};
use crate::turn::{self, Holder, Holders, Reply, Rules, Turn, TurnContext, Write};

/// A request for the actor.
#[derive(Debug)]
pub(super) enum Request {
    Join { session: StreamId, hello: Hello },
    Message { session: StreamId, worker: WorkerId, message: Box<v1::WorkerMessage> },
    StreamEnded { session: StreamId, worker: WorkerId },
    Drain(Drain),
    Retry(Retry),
    Tick,
}

/// Observes the decisions of a coordinator.
#[derive(Debug)]
pub(super) struct Observer<'s> {
    pub(super) now: Millis,
    pub(super) oracle: &'s mut Oracle,
    pub(super) trace: &'s mut Trace,
    /// The first rule that was broken.
    pub(super) broken: Result<(), Broken>,
}

impl<'s> Observer<'s> {
    pub(super) fn new(now: Millis, oracle: &'s mut Oracle, trace: &'s mut Trace) -> Self {
        Self { now, oracle, trace, broken: Ok(()) }
    }

    /// Keeps the first of all rules that are broken.
    fn check(&mut self, rule: impl FnOnce(&mut Oracle) -> Result<(), Broken>) {
        if self.broken.is_ok() {
            self.broken = rule(self.oracle);
        }
    }
}

impl Rules for Observer<'_> {
    fn decide(&mut self, scheduler: &Scheduler, now: Duration, command: &Command) -> Answer {
        let answer = scheduler.decide(now, command);
        self.check(|oracle| oracle.decided(now, command, &answer));
        match &answer {
            Ok(events) => {
                for event in events.iter().filter(|event| event.durable().is_some()) {
                    self.trace.say(self.now, || format!("  {}", trace_text::event(event)));
                }
            }
            Err(rejection) => {
                self.trace.say(self.now, || {
                    format!("  {} refused: {rejection}", trace_text::command(command))
                });
            }
        }
        answer
    }

    fn admit(
        &mut self,
        scheduler: &Scheduler,
        worker: &WorkerId,
        lease: LeaseId,
    ) -> Result<Admission, Rejection> {
        let admission = scheduler.admit(worker, lease);
        self.check(|oracle| oracle.admitted(worker, lease, &admission));
        admission
    }

    fn granted_full_terms(&mut self, now: Duration) {
        self.trace
            .say(self.now, || "  the coordinator stood still; leases get a whole term".to_owned());
        self.oracle.granted_full_terms(now);
    }

    fn contradicted(&mut self, problem: String) {
        self.check(|_| Err(Broken(problem)));
    }
}

#[derive(Debug)]
pub(super) struct Coordinator {
    pub(super) turn: Turn,
    started: Millis,
    /// How far its clock is ahead of virtual time.
    pub(super) leapt: Millis,
    pub(super) batch: Batch,
    /// Answers that wait for the disk.
    pub(super) answers: Vec<(WorkerId, Reply)>,
}

impl Coordinator {
    /// Replays the journal. The batch holds what is to be written first.
    pub(super) fn start(
        plan: &Plan,
        disk: &Disk,
        dead: impl Fn(&WorkerId) -> bool,
        mut observer: Observer<'_>,
    ) -> Result<Self, Broken> {
        let scheduler = replayed(plan, &disk.journal)?;
        observer.oracle.restarted();
        let mut at = TurnContext { now: Duration::ZERO, rules: &mut observer };
        let turn = Turn::resume(&mut at, scheduler, Artifacts::default(), Holders::default(), dead);
        let mut coordinator = Self {
            turn,
            started: observer.now,
            leapt: 0,
            batch: Batch::default(),
            answers: Vec::new(),
        };
        coordinator.end_turn();
        observer.broken.map(|()| coordinator)
    }

    /// Puts quarantined trials back, those that a person wants, before anybody can connect.
    pub(super) fn retry(&mut self, mut observer: Observer<'_>, which: Retry) -> Result<(), Broken> {
        let now = self.clock(observer.now);
        self.retry_trials(now, &mut observer, which);
        self.end_turn();
        observer.broken
    }

    fn retry_trials(&mut self, now: Duration, observer: &mut Observer<'_>, which: Retry) -> usize {
        let Some(retry) = observer.oracle.retry_command(which) else { return 0 };
        let command = PersonCommand::Retry(retry);
        let done =
            self.turn.command(&mut TurnContext { now, rules: observer }, &command, Holder::Anyone);
        let count = if let Ok(CommandOutcome::Retried { trials, .. }) = done { trials } else { 0 };
        observer.check(|oracle| oracle.retried(&done));
        count
    }

    pub(super) fn clock(&self, now: Millis) -> Duration {
        Duration::from_millis(now - self.started + self.leapt)
    }

    /// One turn of the loop, up to the commit.
    pub(super) fn work(
        &mut self,
        mut observer: Observer<'_>,
        requests: Vec<Request>,
    ) -> Result<(), Broken> {
        let now = self.clock(observer.now);
        let mut tick = false;
        for request in requests {
            match request {
                Request::Tick => tick = true,
                other => self.take(now, &mut observer, other),
            }
        }
        let mut at = TurnContext { now, rules: &mut observer };
        self.turn.end(&mut at, tick, true);
        self.end_turn();
        observer.broken
    }

    fn take(&mut self, now: Duration, observer: &mut Observer<'_>, request: Request) {
        match request {
            Request::Tick => {}
            Request::Join { session, hello: Hello { worker, predecessor, held } } => {
                observer.check(|oracle| oracle.named(&worker, &held));
                let predecessor = predecessor.map(dead);
                let hello = turn::Hello { worker, holder: Holder::Anyone, predecessor, held };
                let joined = self.turn.join(
                    &mut TurnContext { now, rules: observer },
                    session as u64,
                    hello,
                );
                observer.check(|_| joined.map_err(Broken));
                self.batch.joined = true;
            }
            Request::Message { session, worker, message } => {
                let sequence = message.sequence;
                if self.turn.session(&worker) == Some(session as u64) {
                    if sequence > 0 {
                        self.batch.heard.push((worker.clone(), sequence));
                    }
                    if let Some(Kind::Ask(_)) = message.kind {
                        observer.oracle.asked(&worker);
                    }
                }
                let stream = (&worker, session as u64);
                self.turn.hear(
                    &mut TurnContext { now, rules: observer },
                    stream,
                    sequence,
                    wire::from_worker(*message),
                );
            }
            Request::StreamEnded { session, worker } => {
                self.turn.stream_ended(&worker, session as u64)
            }
            Request::Drain(which) => {
                let command = PersonCommand::Drain(which.clone());
                let done = self.turn.command(
                    &mut TurnContext { now, rules: observer },
                    &command,
                    Holder::Anyone,
                );
                let there = self.turn.connected();
                observer.check(|oracle| oracle.drained(&which, &there, &done));
            }
            // When all is over, so is the coordinator.
            Request::Retry(_) if self.turn.scheduler.counts().finished() => {}
            Request::Retry(which) => {
                if self.retry_trials(now, observer, which) > 0 {
                    observer.oracle.tally.fault("trial put back while the coordinator runs");
                }
            }
        }
    }

    /// Keeps the answers until the writes are on the disk.
    fn end_turn(&mut self) {
        self.batch.add(mem::take(&mut self.turn.writes));
        self.answers = self.turn.commit();
    }

    /// Streams that it has let go of.
    pub(super) fn closed(&mut self) -> Vec<StreamId> {
        mem::take(&mut self.turn.closed)
            .into_iter()
            .map(|(_, session)| session as StreamId)
            .collect()
    }

    /// Answers with the streams that they go to.
    pub(super) fn addressed(
        &self,
        observer: &mut Observer<'_>,
        answers: Vec<(WorkerId, Reply)>,
    ) -> Vec<(StreamId, Downward)> {
        for (worker, reply) in &answers {
            if let Reply::Confirm { leases } = reply {
                observer.check(|oracle| oracle.confirmed(worker, leases));
            }
        }
        observer.check(|oracle| oracle.all_confirmed());
        let to = |worker: &WorkerId| self.turn.session(worker).map(|session| session as StreamId);
        answers
            .into_iter()
            .filter_map(|(worker, reply)| Some((to(&worker)?, wire::to_worker(reply))))
            .collect()
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
        scheduler
            .evolve(Duration::ZERO, event)
            .map_err(|problem| Broken(format!("replay: {problem}")))?;
    }
    Ok(scheduler)
}

impl Batch {
    /// Adds the writes of a turn to the batch.
    fn add(&mut self, writes: Vec<Write>) {
        for write in writes {
            match write {
                Write::Event(event) => self.events.push(event),
                Write::Points { lease, points, .. } => {
                    self.points.push((lease, points.into_iter().map(|point| point.step).collect()));
                }
                Write::Result { lease, worker, .. } => self.results.push((lease, worker)),
                Write::Log(..) | Write::File(..) => {}
            }
        }
    }
}
