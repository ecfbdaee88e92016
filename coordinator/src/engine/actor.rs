//! The loop: takes the requests that have arrived, lets the turn decide, commits once, answers.

use std::{
    collections::HashMap,
    mem,
    sync::{Arc, atomic::AtomicBool},
    time::{Duration, Instant},
};

use swfn_dashboard::metrics::Meters;
use swfn_scheduler::{
    Event, REQUESTS, Scheduler,
    turn::{Hello, Holder, Holders, Reply, SessionId, Turn, TurnContext, Write},
};
use swfn_shared::{
    artifacts::{ArtifactPart, Artifacts},
    grid::Selection,
    ids::{LeaseId, WorkerId},
    person::{CommandOutcome, PersonCommand, Refusal},
    problem,
    snapshot::Snapshot,
    trial::TrialSpec,
    trial_log::LogPart,
};
use swfn_store::{ArtifactFolder, Batch, LogFolder, ResultRow, Store, WorkerRow};
use tokio::sync::{Semaphore, mpsc, watch};
use tracing::{info, warn};

use super::{
    contradiction::contradiction,
    error::EngineError,
    mailbox::{Mailbox, room_for_all},
    message::Request,
    plausible::Plausibility,
    rules::CountingRules,
    second::Second,
    snapshot::SweepProgress,
};

/// The stream of a session.
#[derive(Debug)]
pub(super) struct Stream {
    pub(super) replies: Mailbox,
    pub(super) worker: WorkerRow,
}

/// The state of the actor.
#[derive(Debug)]
pub(crate) struct Engine {
    /// Takes the decisions, which everything else carries out.
    pub(super) turn: Turn,
    pub(super) store: Store,
    pub(super) progress: SweepProgress,
    /// Which accuracy counts.
    pub(super) selection: Selection,
    /// The second training.
    pub(super) second: Option<Second>,
    /// Whether a worker is known to have ended with an earlier coordinator.
    pub(super) is_dead: fn(&WorkerId) -> bool,
    /// The files that trials leave behind.
    pub(super) folder: ArtifactFolder,
    pub(super) started: Instant,
    pub(super) streams: HashMap<SessionId, Stream>,
    pub(super) plausibility: Plausibility,
    pub(super) batch: Batch,
    /// Attempts that ended without a result, whose files the commit removes.
    pub(super) ended: Vec<LeaseId>,
    /// Parts of files, which the commit writes.
    pub(super) parts: Vec<(LeaseId, ArtifactPart)>,
    /// Parts of trials' logs, which the commit writes into `logs`.
    pub(super) log_parts: Vec<(LeaseId, LogPart)>,
    pub(crate) logs: Option<LogFolder>,
    /// The room for answers that workers have not read.
    pub(super) unread: Arc<Semaphore>,
    pub(crate) snapshots: watch::Sender<Snapshot>,
    pub(super) meters: Meters,
    /// Whether workers are told to leave when all trials have ended.
    pub(crate) sends_home: bool,
    /// Set when the actor must no longer wait for space on the disk.
    pub(crate) give_up: Arc<AtomicBool>,
}

impl Engine {
    /// Replays the journal of the store. `scheduler` knows the trials, and nothing of the journal.
    /// Leases of dead workers are returned at once; the others get a whole term.
    pub(crate) fn new(
        mut store: Store,
        mut scheduler: Scheduler,
        specs: &[TrialSpec],
        selection: Selection,
        artifacts: Artifacts,
        folder: ArtifactFolder,
        is_dead: fn(&WorkerId) -> bool,
    ) -> Result<Self, EngineError> {
        store.set_trials(specs)?;
        for event in store.journal()? {
            scheduler.evolve(Duration::ZERO, &event).map_err(|why| {
                problem!(
                    "the journal contradicts itself: {why}";
                    "restore the run directory from a backup, or start anew in another"
                )
            })?;
        }
        let rows = store.trials()?;
        if let Some(problem) = contradiction(&scheduler, &rows) {
            return Err(store.damaged(&problem).into());
        }
        let plausibility = Plausibility::restore(&store, &scheduler)?;
        let mut progress = SweepProgress::new(&scheduler, selection);
        for row in rows {
            if let (Some(outcome), Some(spec)) = (&row.outcome, scheduler.spec(row.id)) {
                progress.add(spec, outcome);
            }
        }
        let holders = Holders::with_certificates(store.certificates()?);
        let (snapshots, _) =
            watch::channel(progress.snapshot(&scheduler, Vec::new(), Duration::ZERO));
        let mut start = TurnContext { now: Duration::ZERO, rules: &mut CountingRules };
        let mut engine = Self {
            turn: Turn::resume(&mut start, scheduler, artifacts, holders, is_dead),
            store,
            progress,
            selection,
            second: None,
            is_dead,
            folder,
            started: Instant::now(),
            streams: HashMap::new(),
            plausibility,
            batch: Batch::default(),
            ended: Vec::new(),
            parts: Vec::new(),
            log_parts: Vec::new(),
            logs: None,
            unread: room_for_all(),
            snapshots,
            meters: Meters::default(),
            sends_home: true,
            give_up: Arc::default(),
        };
        engine.commit()?;
        Ok(engine)
    }

    /// Carries out a person's command before the sweep starts, and counts progress from there.
    pub(crate) fn command(
        &mut self,
        command: &PersonCommand,
    ) -> Result<Result<CommandOutcome, Refusal>, EngineError> {
        let at = &mut TurnContext { now: self.now(), rules: &mut CountingRules };
        let done = self.turn.command(at, command, Holder::Anyone);
        self.carry_out();
        self.progress.reset_baseline(&self.turn.scheduler);
        self.commit()?;
        Ok(done)
    }

    /// Works until a request stops it, all senders are gone, or the store fails; returns the store.
    /// Blocks its thread.
    pub(crate) fn run(
        mut self,
        mut requests: mpsc::Receiver<Request>,
    ) -> Result<Store, EngineError> {
        let mut arrived = Vec::with_capacity(REQUESTS);
        let (mut reservations, mut commanded) = (Vec::new(), Vec::new());
        loop {
            if requests.blocking_recv_many(&mut arrived, REQUESTS) == 0 {
                return Ok(self.into_store());
            }
            let (mut tick, mut stop) = (false, false);
            for request in arrived.drain(..) {
                let at = &mut TurnContext { now: self.now(), rules: &mut CountingRules };
                match request {
                    Request::Tick { received } => {
                        drop(received);
                        tick = true;
                    }
                    Request::Stop => stop = true,
                    Request::Command { command, holder, answer } => {
                        commanded.push((answer, self.turn.command(at, &command, holder)));
                    }
                    Request::Join { session, hello, row, replies, reservation } => {
                        reservations.push(reservation);
                        self.join(at, session, *hello, Stream { replies, worker: *row });
                    }
                    Request::Message { session, worker, sequence, message, reservation } => {
                        reservations.push(reservation);
                        let message = self.refuse_implausible(&worker, session, message);
                        self.turn.hear(at, (&worker, session), sequence, message);
                    }
                    Request::StreamEnded { session, worker } => {
                        self.turn.stream_ended(&worker, session)
                    }
                }
                self.carry_out();
            }
            if stop {
                self.turn.stop();
            }
            let sends_home = self.sends_home && !self.is_due();
            let at = &mut TurnContext { now: self.now(), rules: &mut CountingRules };
            self.turn.end(at, tick, sends_home);
            self.commit()?;
            for (answer, done) in commanded.drain(..) {
                // The person may have hung up.
                answer.send(done).ok();
            }
            // Streams may read on.
            reservations.clear();
            if stop {
                return Ok(self.into_store());
            }
            if self.is_due() {
                self = self.verify()?;
            }
        }
    }

    pub(super) fn now(&self) -> Duration {
        self.started.elapsed()
    }

    fn join(&mut self, at: &mut TurnContext<'_>, session: SessionId, hello: Hello, stream: Stream) {
        let (row, holder) = (&stream.worker, hello.holder);
        if let Err(reason) = self.turn.join(at, session, hello) {
            let why = "refused: the id is another certificate's";
            warn!(worker = %row.id, host = row.host, %holder, "{why}");
            stream.replies.post(&self.unread, Reply::Deny { reason }).ok();
            return;
        }
        let (host, device, model) = (&row.host, &row.device, &row.model);
        info!(worker = %row.id, host, device, model, "worker joined");
        self.carry_out();
        self.meters.join(row);
        self.batch.workers.push(row.clone());
        self.streams.insert(session, stream);
    }

    /// Collects what the turn wants written for the commit, and ends streams that it has closed.
    pub(super) fn carry_out(&mut self) {
        for (worker, session) in mem::take(&mut self.turn.closed) {
            self.streams.remove(&session);
            self.meters.leave(&worker);
        }
        for write in mem::take(&mut self.turn.writes) {
            match write {
                Write::Event(event) => self.keep(event),
                Write::Points { lease, worker, points } => {
                    self.meters.points(&worker, points.len());
                    self.batch.points.push((lease, points));
                }
                Write::Log(lease, part) => self.log_parts.push((lease, part)),
                Write::File(lease, part) => self.parts.push((lease, part)),
                Write::Result { lease, worker, outcome, dataset_digest } => {
                    if let Some(spec) = self.turn.scheduler.spec(lease.trial) {
                        self.meters.result(&worker, spec, &outcome);
                        self.progress.add(spec, &outcome);
                    }
                    self.batch.results.push(ResultRow { lease, worker, outcome, dataset_digest });
                }
            }
        }
    }

    fn keep(&mut self, event: Event) {
        let Some(lease) = event.durable() else { return };
        self.progress.follow(&event);
        if !matches!(event, Event::Leased { .. }) {
            self.plausibility.forget(lease);
        }
        if matches!(event, Event::Failed { .. } | Event::Lost { .. } | Event::Released { .. })
            && self.turn.artifacts != Artifacts::default()
        {
            self.ended.push(lease);
        }
        self.batch.events.push(event);
    }
}
