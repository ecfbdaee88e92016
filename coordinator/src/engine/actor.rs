//! The loop: take what has arrived, have the turn decide, commit once, answer.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize},
    },
    time::{Duration, Instant},
};

use swfn_dashboard::metrics::Meters;
use swfn_scheduler::{
    Event, Limits, REQUESTS, Scheduler,
    turn::{FromWorker, Hello, Holder, Holders, Reply, SessionId, Turn, TurnContext, Write},
};
use swfn_shared::{
    artifacts::{ArtifactPart, Artifacts},
    grid::Selection,
    ids::{LeaseId, WorkerId},
    person::{CommandOutcome, PersonCommand, Refusal},
    problem,
    problem::Problem,
    snapshot::Snapshot,
    trial::TrialSpec,
    trial_log::LogPart,
};
use swfn_store::{ArtifactFolder, Batch, LogFolder, ResultRow, Store, WorkerRow};
use tokio::sync::{mpsc, watch};
use tracing::{info, warn};

use super::{
    contradiction::contradiction, error::EngineError, mailbox::Mailbox, message::Request,
    plausible::Plausibility, rules::Counted, second::Second, snapshot::Ledger,
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
    /// What is decided; all else here carries it out.
    pub(super) turn: Turn,
    pub(super) store: Store,
    pub(super) ledger: Ledger,
    /// Which accuracy counts.
    pub(super) selection: Selection,
    /// What comes after all trials have ended, or is under way then.
    pub(super) second: Option<Second>,
    /// Whether a worker is known to have ended with an earlier coordinator.
    pub(super) dead: fn(&WorkerId) -> bool,
    /// Where the files are that trials leave behind.
    pub(super) folder: ArtifactFolder,
    pub(super) started: Instant,
    pub(super) streams: HashMap<SessionId, Stream>,
    pub(super) plausibility: Plausibility,
    pub(super) batch: Batch,
    /// Attempts that ended without a result; what there is of their files is removed.
    pub(super) over: Vec<LeaseId>,
    /// Parts of files that wait for the commit.
    pub(super) parts: Vec<(LeaseId, ArtifactPart)>,
    /// What trials said, and where it is kept.
    pub(super) said: Vec<(LeaseId, LogPart)>,
    pub(super) logs: Option<LogFolder>,
    /// Bytes of answers that workers have not read.
    pub(super) unread: Arc<AtomicUsize>,
    pub(super) snapshots: watch::Sender<Snapshot>,
    pub(super) meters: Meters,
    /// Whether workers are told that a sweep is over.
    pub(super) sends_home: bool,
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
        store.set_trials(&specs)?;
        for event in store.journal()? {
            scheduler.evolve(Duration::ZERO, &event).map_err(contradicts_itself)?;
        }
        let rows = store.trials()?;
        if let Some(problem) = contradiction(&scheduler, &rows) {
            return Err(store.damaged(&problem).into());
        }
        let plausibility = Plausibility::of(&store, &scheduler)?;
        let mut ledger = Ledger::new(&scheduler, selection);
        for row in rows {
            if let (Some(outcome), Some(spec)) = (&row.outcome, scheduler.spec(row.id)) {
                ledger.add(spec, outcome);
            }
        }
        let holders = Holders::with_certificates(store.certificates()?);
        let (snapshots, _) =
            watch::channel(ledger.snapshot(&scheduler, Vec::new(), Duration::ZERO));
        let mut start = TurnContext { now: Duration::ZERO, rules: &mut Counted };
        let mut engine = Self {
            turn: Turn::resume(&mut start, scheduler, artifacts, holders, dead),
            store,
            ledger,
            selection,
            second: None,
            dead,
            folder,
            started: Instant::now(),
            streams: HashMap::new(),
            plausibility,
            batch: Batch::default(),
            over: Vec::new(),
            parts: Vec::new(),
            said: Vec::new(),
            logs: None,
            unread: Arc::default(),
            snapshots,
            meters: Meters::default(),
            sends_home: true,
            give_up: Arc::default(),
        };
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

    /// Does what a person commands before the sweep goes on, and counts from there what is done.
    pub(crate) fn command(
        &mut self,
        command: &PersonCommand,
    ) -> Result<Result<CommandOutcome, Refusal>, EngineError> {
        let at = &mut TurnContext { now: self.now(), rules: &mut Counted };
        let done = self.turn.command(at, command, Holder::Anyone);
        self.carry_out();
        self.ledger.start(&self.turn.scheduler);
        self.commit()?;
        Ok(done)
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
    pub(crate) fn run(
        mut self,
        mut requests: mpsc::Receiver<Request>,
    ) -> Result<Store, EngineError> {
        let mut arrived = Vec::with_capacity(REQUESTS);
        let (mut rooms, mut commanded) = (Vec::new(), Vec::new());
        loop {
            if requests.blocking_recv_many(&mut arrived, REQUESTS) == 0 {
                return Ok(self.into_store());
            }
            let (mut tick, mut stop) = (false, false);
            for request in arrived.drain(..) {
                let at = &mut TurnContext { now: self.now(), rules: &mut Counted };
                match request {
                    Request::Tick { taken } => {
                        drop(taken);
                        tick = true;
                    }
                    Request::Stop => stop = true,
                    Request::Command { command, holder, answer } => {
                        commanded.push((answer, self.turn.command(at, &command, holder)));
                    }
                    Request::Join { session, hello, row, replies, room } => {
                        rooms.push(room);
                        self.join(at, session, *hello, Stream { replies, worker: *row });
                    }
                    Request::Message { session, worker, sequence, message, room } => {
                        rooms.push(room);
                        self.hear(at, session, &worker, sequence, message);
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
            self.turn.end(
                &mut TurnContext { now: self.now(), rules: &mut Counted },
                tick,
                sends_home,
            );
            self.commit()?;
            for (answer, done) in commanded.drain(..) {
                // Who asked may be gone.
                answer.send(done).ok();
            }
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

    pub(super) fn now(&self) -> Duration {
        self.started.elapsed()
    }

    fn join(&mut self, at: &mut TurnContext<'_>, session: SessionId, hello: Hello, stream: Stream) {
        let (row, holder) = (&stream.worker, hello.holder);
        if let Err(reason) = self.turn.join(at, session, hello) {
            warn!(worker = %row.id, host = row.host, %holder, "refused: the id is another certificate's");
            stream.replies.post(&self.unread, Reply::Deny { reason }).ok();
            return;
        }
        info!(worker = %row.id, host = row.host, device = row.device, model = row.model, "worker joined");
        self.carry_out();
        self.meters.join(&stream.worker);
        self.batch.workers.push(stream.worker.clone());
        self.streams.insert(session, stream);
    }

    fn hear(
        &mut self,
        at: &mut TurnContext<'_>,
        session: SessionId,
        worker: &WorkerId,
        sequence: u64,
        message: FromWorker,
    ) {
        let message = self.believed(worker, session, message);
        self.turn.hear(at, (worker, session), sequence, message);
    }

    /// What a turn wants written waits for the commit; streams that it lets go of end.
    pub(super) fn carry_out(&mut self) {
        for (worker, session) in self.turn.closed() {
            self.streams.remove(&session);
            self.meters.leave(&worker);
        }
        for write in self.turn.writes() {
            match write {
                Write::Event(event) => self.keep(event),
                Write::Points { lease, worker, points } => {
                    self.meters.points(&worker, points.len());
                    self.batch.points.push((lease, points));
                }
                Write::Log(lease, part) => self.said.push((lease, part)),
                Write::File(lease, part) => self.parts.push((lease, part)),
                Write::Result { lease, worker, outcome, dataset_digest } => {
                    if let Some(spec) = self.turn.scheduler.spec(lease.trial) {
                        self.meters.result(&worker, spec, &outcome);
                        self.ledger.add(spec, &outcome);
                    }
                    self.batch.results.push(ResultRow { lease, worker, outcome, dataset_digest });
                }
            }
        }
    }

    fn keep(&mut self, event: Event) {
        let Some(lease) = event.durable() else { return };
        self.ledger.follow(&event);
        if !matches!(event, Event::Leased { .. }) {
            self.plausibility.forget(lease);
        }
        if matches!(event, Event::Failed { .. } | Event::Lost { .. } | Event::Released { .. })
            && self.turn.artifacts != Artifacts::default()
        {
            self.over.push(lease);
        }
        self.batch.events.push(event);
    }
}

fn contradicts_itself(why: String) -> Problem {
    problem!(
        "the journal contradicts itself: {why}";
        "restore the run directory from a backup, or start anew in another"
    )
}
