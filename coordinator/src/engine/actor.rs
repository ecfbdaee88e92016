//! The loop: take what has arrived, decide, commit once, answer.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use swfn_shared::{
    artifacts::{ArtifactPart, Artifacts},
    faults,
    ids::{LeaseId, ShapeId, TrialId, VaeId, WorkerId},
    trial::TrialSpec,
};
use tokio::sync::{mpsc, watch};
use tracing::{error, info, warn};

use super::{
    holders::Holders,
    message::{Drained, FromWorker, Hello, Reply, Request, SessionId},
    pauses::Pauses,
    snapshot::{Ledger, Snapshot},
};
use crate::{
    metrics::{self, Meters},
    scheduler::{Admission, Blame, Command, Event, Limits, Rejection, Scheduler, TrialState},
    store::{ArtifactError, ArtifactFolder, Batch, ResultRow, Store, StoreError, TrialRow, WorkerRow},
};

/// Requests that wait for the actor; beyond it, streams are held up by flow control. All that wait are committed together.
pub(crate) const REQUESTS: usize = 1024;

/// Time between two attempts to write on a full disk.
const RETRY_PERIOD: Duration = Duration::from_millis(500);

/// How often the state is shown, at most.
const SNAPSHOT_PERIOD: Duration = Duration::from_millis(200);

/// Why the actor stopped.
#[derive(Debug, thiserror::Error)]
pub(crate) enum EngineError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Artifact(#[from] ArtifactError),
    #[error(
        "the coordinator's core stopped without a word\n\
         hint: this is a defect; what was acknowledged is kept, so run the same command again"
    )]
    Panicked,
    #[error(
        "the journal contradicts itself: {0}\nhint: restore the run directory from a backup, or start anew in another"
    )]
    Journal(String),
}

impl EngineError {
    /// Whether it may go away by itself, or by what somebody does about it.
    fn may_pass(&self) -> bool {
        match self {
            Self::Store(error) => error.may_pass(),
            Self::Artifact(error) => error.may_pass(),
            Self::Panicked | Self::Journal(_) => false,
        }
    }
}

#[derive(Debug)]
struct Session {
    id: SessionId,
    replies: mpsc::Sender<Reply>,
}

#[derive(Debug)]
struct Asked {
    lanes: u32,
    shape: Option<ShapeId>,
    vaes: Vec<VaeId>,
}

/// The state of the actor.
#[derive(Debug)]
pub(crate) struct Engine {
    scheduler: Scheduler,
    store: Store,
    ledger: Ledger,
    /// What trials leave behind, and where.
    artifacts: Artifacts,
    folder: ArtifactFolder,
    started: Instant,
    pauses: Pauses,
    sessions: HashMap<WorkerId, Session>,
    holders: Holders,
    /// Workers that asked for more than they hold, in a fixed order.
    waiting: BTreeMap<WorkerId, Asked>,
    batch: Batch,
    /// Parts of files that wait for the commit.
    parts: Vec<(LeaseId, ArtifactPart)>,
    /// Answers that wait for the commit.
    replies: Vec<(WorkerId, Reply)>,
    acknowledge: HashMap<WorkerId, u64>,
    snapshots: watch::Sender<Snapshot>,
    meters: Meters,
    drained: bool,
    /// Set when what cannot be written now is not to be waited for any longer.
    give_up: Arc<AtomicBool>,
}

impl Engine {
    /// Replays the journal of the store. Leases of the workers that `dead` names are given back at once, the others get a whole term.
    pub(crate) fn new(
        mut store: Store,
        limits: Limits,
        specs: Vec<TrialSpec>,
        artifacts: Artifacts,
        folder: ArtifactFolder,
        dead: impl Fn(&WorkerId) -> bool,
    ) -> Result<Self, EngineError> {
        store.set_trials(&specs)?;
        let mut scheduler = Scheduler::new(limits, specs);
        for event in store.journal()? {
            scheduler.evolve(Duration::ZERO, &event).map_err(EngineError::Journal)?;
        }
        scheduler.forget_idle_workers();
        scheduler.grant_full_terms(Duration::ZERO);
        let mut ledger = Ledger::new(&scheduler);
        let rows = store.trials()?;
        if let Some(problem) = contradiction(&scheduler, &rows) {
            return Err(store.damaged(problem).into());
        }
        for row in rows {
            if let (Some(outcome), Some(spec)) = (row.outcome, scheduler.spec(row.id)) {
                ledger.add(spec, outcome.final_test_accuracy);
            }
        }
        let holders = Holders::of(store.certificates()?);
        let (snapshots, _) = watch::channel(ledger.snapshot(&scheduler, Vec::new(), Duration::ZERO));
        let mut engine = Self {
            scheduler,
            store,
            ledger,
            artifacts,
            folder,
            started: Instant::now(),
            pauses: Pauses::new(limits),
            sessions: HashMap::new(),
            holders,
            waiting: BTreeMap::new(),
            batch: Batch::default(),
            parts: Vec::new(),
            replies: Vec::new(),
            acknowledge: HashMap::new(),
            snapshots,
            meters: Meters::default(),
            drained: false,
            give_up: Arc::default(),
        };
        for worker in engine.scheduler.lease_holders().into_iter().filter(|worker| dead(worker)) {
            engine.apply(&Command::Left { worker }).ok();
        }
        engine.commit()?;
        Ok(engine)
    }

    /// Puts quarantined trials back, those that `wanted` names; returns how many.
    pub(crate) fn retry(&mut self, wanted: impl Fn(TrialId) -> bool) -> Result<usize, EngineError> {
        let trials: Vec<_> = self.scheduler.trials().map(|(id, ..)| id).filter(|id| wanted(*id)).collect();
        let count = trials.into_iter().filter(|trial| self.apply(&Command::Retry { trial: *trial }).is_ok()).count();
        self.ledger.start(&self.scheduler);
        self.commit()?;
        Ok(count)
    }

    /// What makes it stop, with the error, where it would wait until it can write again.
    pub(crate) fn give_up(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.give_up)
    }

    /// Where the state can be watched.
    pub(crate) fn watch(&self) -> watch::Receiver<Snapshot> {
        self.snapshots.subscribe()
    }

    /// Works until it is told to stop, everyone else is gone, or the store fails; hands the store back. Blocks its thread.
    pub(crate) fn run(mut self, mut requests: mpsc::Receiver<Request>) -> Result<Store, EngineError> {
        let mut arrived = Vec::with_capacity(REQUESTS);
        loop {
            if requests.blocking_recv_many(&mut arrived, REQUESTS) == 0 {
                return Ok(self.store);
            }
            let (mut tick, mut stop) = (false, false);
            for request in arrived.drain(..) {
                match request {
                    Request::Tick => tick = true,
                    Request::Stop => stop = true,
                    Request::DrainWorkers { ids, answer } => {
                        // Who asked may be gone.
                        answer.send(self.drain_workers(&ids)).ok();
                    }
                    Request::Join { session, hello, replies } => self.join(session, *hello, replies),
                    Request::Message { session, worker, sequence, message } => {
                        // Of a stream that was replaced: the worker sends it again on the new one.
                        if self.is_current(&worker, session) {
                            self.hear(&worker, sequence, message);
                        }
                    }
                    Request::StreamEnded { session, worker } => {
                        if self.is_current(&worker, session) {
                            self.end_session(&worker);
                        }
                    }
                }
            }
            // Last: after a slow commit, signs of life that waited must count before silence does.
            if tick {
                self.tick();
            }
            if stop {
                self.sessions.clear();
                self.waiting.clear();
            }
            self.serve_waiting();
            self.commit()?;
            if stop {
                return Ok(self.store);
            }
        }
    }

    fn is_current(&self, worker: &WorkerId, session: SessionId) -> bool {
        self.sessions.get(worker).is_some_and(|current| current.id == session)
    }

    fn now(&self) -> Duration {
        if faults::bug("leases-by-the-wall-clock") {
            return SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        }
        self.started.elapsed()
    }

    /// Decides and evolves; the durable part waits in the batch for the commit.
    fn apply(&mut self, command: &Command) -> Result<Vec<Event>, Rejection> {
        let now = self.now();
        let events = self.scheduler.decide(now, command)?;
        for event in &events {
            if let Err(problem) = self.scheduler.evolve(now, event) {
                // Cannot happen: what is decided follows from the state that it was decided on.
                error!(%problem, "an event did not apply");
                continue;
            }
            metrics::count(command, event);
            match event {
                Event::Failed { lease, error, quarantine, log: _ } => {
                    warn!(%lease, quarantine, "trial failed: {error}");
                }
                Event::Lost { lease, error, quarantine, blame, log: _ } => {
                    let with = if *blame == Blame::Alone { "" } else { ", with others" };
                    warn!(%lease, quarantine, "lease lost{with}: {error}");
                }
                _ => {}
            }
            if event.durable().is_some() {
                self.batch.events.push(event.clone());
            }
        }
        Ok(events)
    }

    /// Leases expire. Who loses one that way stands still or is gone, and what it asked for would only expire with it, again and again: it
    /// asks anew when it is awake.
    fn tick(&mut self) {
        let now = self.now();
        if self.pauses.tick(now) {
            warn!("the coordinator stood still; leases get a whole term");
            self.scheduler.grant_full_terms(now);
        }
        let held: Vec<_> = self.waiting.keys().map(|worker| self.scheduler.held_by(worker)).collect();
        self.apply(&Command::Tick).ok();
        let mut held = held.into_iter();
        self.waiting.retain(|worker, _| held.next().is_some_and(|held| held <= self.scheduler.held_by(worker)));
    }

    fn end_session(&mut self, worker: &WorkerId) {
        self.sessions.remove(worker);
        self.meters.leave(worker);
        self.waiting.remove(worker);
    }

    fn join(&mut self, session: SessionId, mut hello: Hello, replies: mpsc::Sender<Reply>) {
        let worker = hello.worker.id.clone();
        if !self.holders.claim(&worker, hello.holder) {
            warn!(%worker, host = hello.worker.host, holder = %hello.holder, "refused: the id is another certificate's");
            let reason = format!(
                "worker id `{worker}` belongs to the holder of another certificate\n\
                 hint: each worker process draws an id of its own; start the worker anew"
            );
            replies.try_send(Reply::Deny { reason }).ok();
            return;
        }
        // No reason to turn the worker itself away: its certificate may have been renewed in between. Leases of the other expire as usual.
        let foreign = |dead: &WorkerId| !self.holders.may_speak_for(dead, hello.holder);
        if let Some(dead) = hello.predecessor.take_if(|dead| foreign(&dead.worker)) {
            warn!(%worker, predecessor = %dead.worker, "the predecessor is another certificate's, and left alone");
        }
        info!(%worker, host = hello.worker.host, device = hello.worker.device, model = hello.worker.model, "worker joined");
        let mut confirmed = Vec::new();
        for lease in &hello.held {
            match self.scheduler.admit(&worker, *lease) {
                Ok(Admission::Live | Admission::Repeated) => confirmed.push(*lease),
                Err(rejection) => self.revoke(&worker, *lease, &rejection),
            }
        }
        if !hello.held.is_empty() {
            self.replies.push((worker.clone(), Reply::Confirm { leases: confirmed }));
        }
        self.end_session(&worker);
        if let Some(dead) = &hello.predecessor {
            // What it said last may still be on its way, and its ask would stand.
            self.end_session(&dead.worker);
        }
        self.sessions.insert(worker.clone(), Session { id: session, replies });
        self.meters.join(&hello.worker);
        self.batch.workers.push(WorkerRow { certificate: hello.holder.certificate(), ..hello.worker });
        self.apply(&Command::Joined { worker: worker.clone(), predecessor: hello.predecessor, held: hello.held }).ok();
        if self.drained {
            self.replies.push((worker, drain(FINISHED)));
        }
    }

    fn drain_workers(&mut self, ids: &[String]) -> Drained {
        let mut answer = Drained::default();
        for worker in self.sessions.keys().cloned() {
            if ids.iter().any(|id| worker.to_string().starts_with(id)) {
                self.waiting.remove(&worker);
                self.replies.push((worker.clone(), drain("somebody told this worker to leave when it is done")));
                answer.drained.push(worker);
            } else {
                answer.others.push(worker);
            }
        }
        answer
    }

    fn hear(&mut self, worker: &WorkerId, sequence: u64, message: FromWorker) {
        self.apply(&Command::Heard { worker: worker.clone() }).ok();
        if sequence > 0 {
            // Repetitions of earlier reports take nothing back.
            let through = self.acknowledge.entry(worker.clone()).or_default();
            *through = sequence.max(*through);
        }
        let worker = worker.clone();
        match message {
            FromWorker::Ask { lanes, shape, vaes } => {
                // In place of what it asked for before.
                self.waiting.insert(worker, Asked { lanes, shape, vaes });
            }
            FromWorker::Heartbeat { progress } => {
                for (lease, step) in progress {
                    self.of_lease(&worker, lease, Command::Progressed { worker: worker.clone(), lease, step });
                }
            }
            FromWorker::Points { lease, points } => match self.scheduler.admit(&worker, lease) {
                Ok(Admission::Live) => {
                    self.meters.points(&worker, points.len());
                    self.batch.points.push((lease, points));
                }
                // A trial that has succeeded has its points.
                Ok(Admission::Repeated) => {}
                Err(rejection) => self.revoke(&worker, lease, &rejection),
            },
            FromWorker::Artifact { lease, part } => match self.scheduler.admit(&worker, lease) {
                // What an earlier grid asked for is not wanted any more, and a trial that has succeeded has its files.
                Ok(Admission::Live) if self.artifacts.want(part.name) => self.parts.push((lease, part)),
                Ok(Admission::Live | Admission::Repeated) => {}
                Err(rejection) => self.revoke(&worker, lease, &rejection),
            },
            FromWorker::Succeeded { lease, outcome, dataset_digest } => {
                if self.of_lease(&worker, lease, Command::Succeeded { worker: worker.clone(), lease }) {
                    if let Some(spec) = self.scheduler.spec(lease.trial) {
                        self.meters.result(&worker, spec, &outcome);
                        self.ledger.add(spec, outcome.final_test_accuracy);
                    }
                    self.batch.results.push(ResultRow { lease, worker, outcome, dataset_digest });
                }
            }
            FromWorker::Failed { lease, kind, error, log } => {
                self.of_lease(&worker, lease, Command::Failed { worker: worker.clone(), lease, kind, error, log });
            }
            FromWorker::Released { lease } => {
                self.of_lease(&worker, lease, Command::Released { worker: worker.clone(), lease });
            }
            FromWorker::Goodbye => {
                info!(%worker, "worker left");
                self.apply(&Command::Left { worker: worker.clone() }).ok();
                self.end_session(&worker);
            }
        }
    }

    /// Applies what a worker says of a lease; tells it when the lease is over. True when something came of it.
    fn of_lease(&mut self, worker: &WorkerId, lease: LeaseId, command: Command) -> bool {
        match self.apply(&command) {
            Ok(events) => !events.is_empty(),
            Err(rejection) => {
                self.revoke(worker, lease, &rejection);
                false
            }
        }
    }

    fn revoke(&mut self, worker: &WorkerId, lease: LeaseId, rejection: &Rejection) {
        let revoke = (worker.clone(), Reply::Revoke { lease, reason: rejection.to_string() });
        // Whatever a worker sends of a dead lease in one go, it is told once.
        if !self.replies.contains(&revoke) {
            info!(%worker, %lease, "revoked: {rejection}");
            self.replies.push(revoke);
        }
    }

    fn serve_waiting(&mut self) {
        for (worker, mut asked) in std::mem::take(&mut self.waiting) {
            let Asked { lanes, shape, vaes } = &asked;
            let command = Command::Asked { worker: worker.clone(), lanes: *lanes, shape: *shape, vaes: vaes.clone() };
            let leases: Vec<_> = self.apply(&command).unwrap_or_default().iter().filter_map(Event::durable).collect();
            let grant = leases.into_iter().filter_map(|lease| Some((lease, *self.scheduler.spec(lease.trial)?)));
            let leases: Vec<_> = grant.collect();
            // What it did not get now, it may get later: of the same shape, or its lanes would be of two.
            if let Some((_, spec)) = leases.first() {
                asked.shape = Some(spec.shape());
                self.replies.push((worker.clone(), Reply::Grant { leases, artifacts: self.artifacts }));
            }
            if self.scheduler.held_by(&worker) < usize::try_from(asked.lanes).unwrap_or(usize::MAX) {
                self.waiting.insert(worker, asked);
            }
        }
        if self.scheduler.counts().finished() && !self.drained {
            self.drained = true;
            let workers: Vec<_> = self.sessions.keys().cloned().collect();
            self.replies.extend(workers.into_iter().map(|worker| (worker, drain(FINISHED))));
        }
    }

    /// Writes the batch; only when it is on the disk do the answers leave.
    fn commit(&mut self) -> Result<(), EngineError> {
        if faults::bug("acknowledged-before-the-commit") {
            self.answer();
        }
        faults::point("engine/commit");
        let (parts, batch) = (std::mem::take(&mut self.parts), std::mem::take(&mut self.batch));
        self.write_when_possible(&parts, &batch)?;
        faults::point("engine/answer");
        self.answer();
        faults::point("engine/answered");
        self.publish();
        Ok(())
    }

    /// Sends what waited for the commit.
    fn answer(&mut self) {
        let acknowledged = self.acknowledge.drain().map(|(worker, through)| (worker, Reply::Acknowledge { through }));
        // Revocations first: who reads that a result is kept must know already if it was not theirs to report.
        for (worker, reply) in self.replies.drain(..).chain(acknowledged).collect::<Vec<_>>() {
            // A worker that does not read its answers must not hold up the others: its stream ends, and it may come back.
            let sent = self.sessions.get(&worker).map(|session| session.replies.try_send(reply));
            if let Some(Err(error)) = sent {
                warn!(%worker, "stream dropped: {error}");
                self.end_session(&worker);
            }
        }
    }

    /// Writes. A full disk is waited for: meanwhile nothing is acknowledged, workers keep what they have and are held up by flow control.
    fn write_when_possible(&mut self, parts: &[(LeaseId, ArtifactPart)], batch: &Batch) -> Result<(), EngineError> {
        let mut waited = false;
        loop {
            match self.write(parts, batch) {
                Ok(()) => break,
                Err(error) if !error.may_pass() || self.give_up.load(Ordering::Relaxed) => return Err(error),
                Err(error) if !waited => {
                    error!("{error}; nothing is lost: waiting until it can be written");
                    waited = true;
                }
                Err(_) => {}
            }
            thread::sleep(RETRY_PERIOD);
        }
        if waited {
            warn!("it can be written again: going on");
        }
        Ok(())
    }

    fn write(&mut self, parts: &[(LeaseId, ArtifactPart)], batch: &Batch) -> Result<(), EngineError> {
        // Before the results: a trial that has succeeded has its files.
        self.folder.write(parts)?;
        if !batch.is_empty() {
            let at = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            let began = Instant::now();
            self.store.write(at.as_secs_f64(), batch)?;
            metrics::committed(began.elapsed());
        }
        Ok(())
    }

    /// Shows the state to whoever watches: a snapshot visits every trial, so not after each batch.
    fn publish(&mut self) {
        let (counts, now) = (self.scheduler.counts(), self.now());
        let (shown, since) = {
            let last = self.snapshots.borrow();
            (last.counts, now.saturating_sub(last.elapsed))
        };
        if since >= SNAPSHOT_PERIOD || counts.finished() != shown.finished() {
            let connected = self.sessions.keys().cloned().collect();
            self.snapshots.send_replace(self.ledger.snapshot(&self.scheduler, connected, now));
        }
    }
}

/// Where the states of the trials, as the file has them, are not what its journal leads to.
fn contradiction(scheduler: &Scheduler, rows: &[TrialRow]) -> Option<String> {
    let states: HashMap<_, _> = scheduler.trials().map(|(id, _, state)| (id, state)).collect();
    rows.iter().find_map(|row| {
        let (state, attempt) = match states.get(&row.id)? {
            TrialState::Pending => ("pending", None),
            TrialState::Leased(lease) => ("leased", Some(lease.attempt)),
            TrialState::Succeeded { attempt, .. } => ("succeeded", Some(*attempt)),
            TrialState::Quarantined { .. } => ("quarantined", None),
        };
        let differs = row.state != state
            || attempt.is_some_and(|attempt| attempt != row.attempts)
            || row.outcome.is_some() != (state == "succeeded");
        differs.then(|| format!("trial `{}` is `{}`, and its journal says {state}", row.id, row.state.escape_debug()))
    })
}

const FINISHED: &str = "the sweep is finished";

fn drain(reason: &str) -> Reply {
    Reply::Drain { reason: reason.to_owned() }
}
