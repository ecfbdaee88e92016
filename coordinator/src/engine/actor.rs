//! The loop: take what has arrived, decide, commit once, answer.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize},
    },
    time::{Duration, Instant},
};

use swfn_dashboard::metrics::{self, Meters};
use swfn_scheduler::{Blame, Command, Event, Limits, Pauses, REQUESTS, Rejection, Scheduler};
use swfn_shared::{
    artifacts::{ArtifactPart, Artifacts},
    capacity::Capacity,
    grid::Selection,
    ids::{LeaseId, TrialId, WorkerId},
    quote::one_line,
    snapshot::Snapshot,
    trial::TrialSpec,
    trial_log::LogPart,
};
use swfn_store::{ArtifactFolder, Batch, LogFolder, Store, WorkerRow};
use tokio::sync::{mpsc, watch};
use tracing::{error, warn};

use super::{
    contradiction::contradiction,
    error::EngineError,
    holders::Holders,
    mailbox::Mailbox,
    message::{Reply, Request, SessionId},
    planted,
    plausible::Plausibility,
    second::Second,
    snapshot::Ledger,
    workers::{FINISHED, drain},
};

#[derive(Debug)]
pub(super) struct Session {
    pub(super) id: SessionId,
    pub(super) replies: Mailbox,
    pub(super) worker: WorkerRow,
}

/// What a turn revokes of one worker's leases.
#[derive(Debug, Default)]
pub(super) struct Revoked {
    pub(super) leases: HashSet<LeaseId>,
    /// Why the first of them was.
    pub(super) first: Option<String>,
}

/// The state of the actor.
#[derive(Debug)]
pub(crate) struct Engine {
    pub(super) scheduler: Scheduler,
    pub(super) store: Store,
    pub(super) ledger: Ledger,
    /// Which accuracy counts.
    pub(super) selection: Selection,
    /// What comes after all trials have ended, or is under way then.
    pub(super) second: Option<Second>,
    /// Whether a worker is known to have ended with an earlier coordinator.
    pub(super) dead: fn(&WorkerId) -> bool,
    /// What trials leave behind, and where.
    pub(super) artifacts: Artifacts,
    pub(super) folder: ArtifactFolder,
    pub(super) started: Instant,
    pub(super) pauses: Pauses,
    pub(super) sessions: HashMap<WorkerId, Session>,
    pub(super) holders: Holders,
    /// Workers that a person has told to leave and that have not left yet.
    pub(super) leaving: HashSet<WorkerId>,
    /// Workers of which it was said that they get no trials, since theirs only fail.
    aside: HashSet<WorkerId>,
    /// Workers that asked for more than they hold, in a fixed order.
    pub(super) waiting: BTreeMap<WorkerId, Capacity>,
    pub(super) plausibility: Plausibility,
    pub(super) batch: Batch,
    /// Attempts that ended without a result; what there is of their files is removed.
    pub(super) over: Vec<LeaseId>,
    /// Parts of files that wait for the commit.
    pub(super) parts: Vec<(LeaseId, ArtifactPart)>,
    /// What trials said, and where it is kept.
    pub(super) said: Vec<(LeaseId, LogPart)>,
    pub(super) logs: Option<LogFolder>,
    /// Answers that wait for the commit.
    pub(super) replies: Vec<(WorkerId, Reply)>,
    pub(super) revoked: HashMap<WorkerId, Revoked>,
    /// Bytes of answers that workers have not read.
    pub(super) unread: Arc<AtomicUsize>,
    pub(super) acknowledge: HashMap<WorkerId, u64>,
    pub(super) snapshots: watch::Sender<Snapshot>,
    pub(super) meters: Meters,
    /// Whether workers are told that a sweep is over.
    pub(super) sends_home: bool,
    pub(super) drained: bool,
    /// Set when what cannot be written now is not to be waited for any longer.
    pub(super) give_up: Arc<AtomicBool>,
}

impl Engine {
    /// Replays the journal of the store. Leases of the workers that `dead` names are given back at once, the others get a whole term.
    pub(crate) fn new(
        store: Store,
        limits: Limits,
        specs: Vec<TrialSpec>,
        selection: Selection,
        artifacts: Artifacts,
        folder: ArtifactFolder,
        dead: fn(&WorkerId) -> bool,
    ) -> Result<Self, EngineError> {
        let scheduler = Scheduler::new(limits, specs.iter().copied());
        Self::resume(store, scheduler, specs, selection, artifacts, folder, dead)
    }

    /// Goes on where the journal of the store ends. `scheduler`: of these trials, before it.
    pub(super) fn resume(
        mut store: Store,
        mut scheduler: Scheduler,
        specs: Vec<TrialSpec>,
        selection: Selection,
        artifacts: Artifacts,
        folder: ArtifactFolder,
        dead: fn(&WorkerId) -> bool,
    ) -> Result<Self, EngineError> {
        let limits = scheduler.limits();
        store.set_trials(&specs)?;
        for event in store.journal()? {
            scheduler.evolve(Duration::ZERO, &event).map_err(EngineError::Journal)?;
        }
        scheduler.forget_idle_workers();
        scheduler.grant_full_terms(Duration::ZERO);
        let mut ledger = Ledger::new(&scheduler, selection);
        let rows = store.trials()?;
        if let Some(problem) = contradiction(&scheduler, &rows) {
            return Err(store.damaged(problem).into());
        }
        let plausibility = Plausibility::of(&store, &scheduler)?;
        for row in rows {
            if let (Some(outcome), Some(spec)) = (&row.outcome, scheduler.spec(row.id)) {
                ledger.add(spec, outcome);
            }
        }
        let holders = Holders::of(store.certificates()?);
        let (snapshots, _) = watch::channel(ledger.snapshot(&scheduler, Vec::new(), Duration::ZERO));
        let mut engine = Self {
            scheduler,
            store,
            ledger,
            selection,
            second: None,
            dead,
            artifacts,
            folder,
            started: Instant::now(),
            pauses: Pauses::new(limits),
            sessions: HashMap::new(),
            holders,
            leaving: HashSet::new(),
            aside: HashSet::new(),
            waiting: BTreeMap::new(),
            plausibility,
            batch: Batch::default(),
            over: Vec::new(),
            parts: Vec::new(),
            said: Vec::new(),
            logs: None,
            replies: Vec::new(),
            revoked: HashMap::new(),
            unread: Arc::default(),
            acknowledge: HashMap::new(),
            snapshots,
            meters: Meters::default(),
            sends_home: true,
            drained: false,
            give_up: Arc::default(),
        };
        for worker in engine.scheduler.lease_holders().into_iter().filter(dead) {
            engine.apply(&Command::Left { worker }).ok();
        }
        engine.commit()?;
        Ok(engine)
    }

    /// The same, which keeps what trials say.
    pub(crate) fn with_logs(self, logs: LogFolder) -> Self {
        Self { logs: Some(logs), ..self }
    }

    /// The same; whether workers are told to leave when all trials have ended, or wait for more.
    pub(crate) fn sends_workers_home(self, sends_home: bool) -> Self {
        Self { sends_home, ..self }
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
        let mut rooms = Vec::new();
        loop {
            if requests.blocking_recv_many(&mut arrived, REQUESTS) == 0 {
                return Ok(self.into_store());
            }
            let (mut tick, mut stop) = (false, false);
            for request in arrived.drain(..) {
                match request {
                    Request::Tick { taken } => {
                        drop(taken);
                        tick = true;
                    }
                    Request::Stop => stop = true,
                    Request::DrainWorkers { ids, now, holder, answer } => {
                        // Who asked may be gone.
                        answer.send(self.drain_workers(&ids, now, holder)).ok();
                    }
                    Request::Join { session, hello, replies, room } => {
                        rooms.push(room);
                        self.join(session, *hello, replies);
                    }
                    Request::Message { session, worker, sequence, message, room } => {
                        rooms.push(room);
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
            // Streams may go on.
            rooms.clear();
            if stop {
                return Ok(self.into_store());
            }
            if self.is_due() {
                self = self.verify()?;
            }
        }
    }

    fn is_current(&self, worker: &WorkerId, session: SessionId) -> bool {
        self.sessions.get(worker).is_some_and(|current| current.id == session)
    }

    pub(super) fn now(&self) -> Duration {
        self.started.elapsed()
    }

    /// A trial with all that tells it from the others.
    fn name(&self, trial: TrialId) -> String {
        self.scheduler.spec(trial).map_or(String::new(), |spec| format!("{}, seed {}", spec.label(), spec.seed))
    }

    /// Decides and evolves; the durable part waits in the batch for the commit.
    pub(super) fn apply(&mut self, command: &Command) -> Result<Vec<Event>, Rejection> {
        let now = planted::now(self.now());
        let events = planted::decide(&self.scheduler, now, command)?;
        for event in &events {
            if let Err(problem) = self.scheduler.evolve(now, event) {
                // Cannot happen: what is decided follows from the state that it was decided on.
                error!(%problem, "an event did not apply");
                continue;
            }
            self.ledger.follow(event);
            metrics::count(event, matches!(command, Command::Tick));
            match event {
                Event::Failed { lease, error, quarantine, log: _ } => {
                    let trial = self.name(lease.trial);
                    warn!(%lease, for_good = quarantine, "trial failed ({trial}): {}", one_line(error));
                    self.tell_of_those_set_aside();
                }
                Event::Lost { lease, error, quarantine, blame, log: _ } => {
                    let with = if *blame == Blame::Alone { "" } else { ", with others" };
                    let trial = self.name(lease.trial);
                    warn!(%lease, for_good = quarantine, "lease lost{with} ({trial}): {}", one_line(error));
                }
                _ => {}
            }
            if let Some(lease) = event.durable() {
                if !matches!(event, Event::Leased { .. }) {
                    self.plausibility.forget(lease);
                }
                if matches!(event, Event::Failed { .. } | Event::Lost { .. } | Event::Released { .. })
                    && self.artifacts != Artifacts::default()
                {
                    self.over.push(lease);
                }
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
        let asleep = |worker: &&WorkerId| self.scheduler.sleeps(now, worker);
        let asleep: HashMap<_, _> =
            self.waiting.keys().filter(asleep).map(|id| (id.clone(), self.scheduler.held_by(id))).collect();
        self.apply(&Command::Tick).ok();
        let lost = |id: &WorkerId| asleep.get(id).is_some_and(|held| *held > self.scheduler.held_by(id));
        self.waiting.retain(|worker, _| !lost(worker));
        // Others may have joined.
        self.tell_of_those_set_aside();
    }

    fn tell_of_those_set_aside(&mut self) {
        let aside: HashSet<_> = self.scheduler.set_aside(self.now()).into_iter().cloned().collect();
        for worker in aside.difference(&self.aside) {
            warn!(
                %worker,
                "this worker gets no more trials: its own only fail, and others are there\n                 hint: look at its log and its device; a worker that is started anew is trusted anew"
            );
        }
        self.aside = aside;
    }

    fn serve_waiting(&mut self) {
        for (worker, asked) in std::mem::take(&mut self.waiting) {
            let command = Command::Asked { worker, capacity: asked };
            let leases: Vec<_> = self.apply(&command).unwrap_or_default().iter().filter_map(Event::durable).collect();
            let Command::Asked { worker, capacity: mut asked } = command else { continue };
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
        if self.sends_home && self.scheduler.counts().finished() && !self.drained && !self.is_due() {
            self.drained = true;
            let workers: Vec<_> = self.sessions.keys().cloned().collect();
            self.replies.extend(workers.into_iter().map(|worker| (worker, drain(FINISHED))));
        }
    }
}
