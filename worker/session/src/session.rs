//! The session: connects, passes orders to the trainer and reports to the coordinator, reconnects,
//! and leaves in order.

use std::{
    sync::mpsc::Sender,
    time::{Duration, Instant},
};

use backon::{BackoffBuilder as _, ExponentialBuilder};
use swfn_proto::v1::{self, coordinator_message, worker_message::Kind};
use swfn_shared::{faults, problem};
use tokio::{
    sync::{mpsc, watch},
    time::{interval, sleep, sleep_until},
};
use tracing::{info, warn};

use crate::{
    address::Address,
    link::{Link, LinkError},
    messages::{Exit, Hooks, Order, Report},
    protocol::Protocol,
};

/// The longest pause between two attempts to connect.
const MAX_PAUSE: Duration = Duration::from_secs(15);

/// After a stream that lived so long, the next pause is short again.
const GOOD_STREAM: Duration = Duration::from_secs(30);

/// How long points are collected for one message.
const FLUSH: Duration = Duration::from_millis(500);

/// The session of one worker process.
pub struct Session {
    /// The worker's hello; each stream adds the leases that it holds.
    pub hello: v1::Hello,
    /// Where the coordinator is.
    pub address: Address,
    /// Leases, reports and requests.
    pub protocol: Protocol,
    /// Leads to the trainer.
    pub orders: Sender<Order>,
    /// Comes from the trainer.
    pub reports: mpsc::Receiver<Report>,
    /// True, once the session is to end in order.
    pub stop: watch::Receiver<bool>,
    /// Time without a coordinator after which the session ends; `None`: never.
    pub patience: Option<Duration>,
    /// Calls into the process.
    pub hooks: Hooks,
}

impl Session {
    /// Runs until there is nothing left to do, or until another attempt would fail as well.
    pub async fn run(mut self) -> Exit {
        let pauses = ExponentialBuilder::default()
            .with_jitter()
            .with_min_delay(Duration::from_millis(200))
            .with_max_delay(MAX_PAUSE)
            .without_max_times();
        let mut pause = pauses.build();
        let mut was_welcome = false;
        let mut longest = MAX_PAUSE;
        let mut alone_since = Instant::now();
        loop {
            let held = self.protocol.hello().into_iter().map(Into::into).collect();
            let hello = v1::Hello { held, ..self.hello.clone() };
            let address = self.address.clone();
            let opened = tokio::select! {
                link = Link::open(&address, hello, was_welcome) => link,
                exit = self.collect_reports() => return exit,
            };
            let began = Instant::now();
            let result = match opened {
                Ok(link) => {
                    // A lease outlives several attempts to reconnect.
                    let lease = Duration::from_secs(link.welcome.lease_seconds.into());
                    longest = MAX_PAUSE.min(lease / 4);
                    info!(sweep = link.welcome.sweep, coordinator = %address.endpoint.uri(), "connected");
                    was_welcome = true;
                    (self.hooks.welcomed)();
                    let ended = self.converse(link).await;
                    alone_since = Instant::now();
                    ended
                }
                Err(error) => Err(error),
            };
            let reason = match result {
                Ok(exit) | Err(LinkError::Over(exit)) => return exit,
                Err(LinkError::Lost(reason)) => reason,
            };
            if let Some(exit) = self.protocol.end_stream() {
                return exit;
            }
            if began.elapsed() >= GOOD_STREAM {
                pause = pauses.build();
            }
            let alone = alone_since.elapsed();
            let left = self.patience.map_or(MAX_PAUSE, |most| most.saturating_sub(alone));
            if left == Duration::ZERO && !faults::bug("nobody-gives-up") {
                return self.give_up(alone);
            }
            let length = pause.next().unwrap_or(MAX_PAUSE).min(longest).min(left);
            let uri = address.endpoint.uri();
            warn!(coordinator = %uri, "no connection: {reason}; trying again in {length:.1?}");
            tokio::select! {
                () = sleep(length) => {}
                exit = self.collect_reports() => return exit,
            }
        }
    }

    /// The exit when no coordinator came. A new one would not know this process; trials that were
    /// not acknowledged are resumed from their last checkpoints.
    fn give_up(&self, alone: Duration) -> Exit {
        let problem = problem!(
            "no coordinator at `{}` for {alone:.0?}: giving up, with {} trials and {} reports that \
             are not acknowledged",
            self.address.endpoint.uri(),
            self.protocol.held().len(),
            self.protocol.unacknowledged().count();
            "start the worker again: trials resume from their checkpoints; --give-up-after sets \
             how long it waits"
        );
        Exit::Unreachable(problem.to_string())
    }

    /// Keeps the trainer's reports while there is no stream. Returns when the process is asked to
    /// stop or its time is up; leases then expire by themselves.
    async fn collect_reports(&mut self) -> Exit {
        let end = self.protocol.deadline();
        loop {
            tokio::select! {
                report = next(&mut self.reports), if self.protocol.accepts_reports() => self.handle_report(report),
                () = stopped(&mut self.stop) => return Exit::Done,
                () = until(end) => return Exit::OutOfTime,
            }
        }
    }

    /// Exchanges messages until the stream breaks; returns the exit, when the session ends with it.
    async fn converse(&mut self, mut link: Link) -> Result<Exit, LinkError> {
        self.protocol.begin_stream(Instant::now(), &link.welcome);
        let mut heartbeat =
            interval(Duration::from_secs(link.welcome.heartbeat_seconds.max(1).into()));
        let mut flush = interval(FLUSH);
        let end = self.protocol.deadline();
        loop {
            let sender = link.outgoing.clone();
            let running = !self.protocol.is_stopping();
            tokio::select! {
                message = link.receive() => self.handle_message(message?),
                report = next(&mut self.reports), if self.protocol.accepts_reports() => self.handle_report(report),
                () = stopped(&mut self.stop), if running && !faults::bug("stop-is-ignored") => {
                    info!("asked to stop: giving leases back");
                    self.protocol.stop(Instant::now(), Exit::Done);
                }
                () = until(end), if running => {
                    info!("time is up: giving leases back");
                    self.protocol.stop(Instant::now(), Exit::OutOfTime);
                }
                slot = sender.reserve(), if self.protocol.has_outgoing() => {
                    let slot = slot.map_err(|_| LinkError::closed())?;
                    let message = self.protocol.next_message();
                    let broken = |reason| LinkError::Over(Exit::Broken(reason));
                    if let Some(message) = message.map_err(broken)? {
                        let [before, after] = fault_points(&message);
                        faults::point(before);
                        slot.send(message);
                        faults::point(after);
                    }
                }
                _ = flush.tick() => self.protocol.flush(Instant::now()),
                _ = heartbeat.tick() => {
                    if let Some(exit) = self.protocol.heartbeat(Instant::now()) {
                        return Ok(exit);
                    }
                }
            }
            if let Some(exit) = self.protocol.take_exit() {
                link.close().await;
                return Ok(exit);
            }
        }
    }

    fn handle_report(&mut self, report: Report) {
        if let Report::Ended { lease, .. } = &report {
            (self.hooks.let_go)(lease.trial);
        }
        self.protocol.handle_report(Instant::now(), report);
    }

    fn handle_message(&mut self, message: coordinator_message::Kind) {
        let acknowledges = matches!(message, coordinator_message::Kind::Acknowledge(_));
        if acknowledges {
            faults::point("session/acknowledged");
        }
        let effects = self.protocol.handle_message(Instant::now(), message);
        effects.settled.into_iter().for_each(&self.hooks.settled);
        if acknowledges {
            faults::point("session/settled");
        }
        for order in effects.orders {
            (self.hooks.leased)(order.lease.trial);
            // If the trainer is gone, its next report says so.
            self.orders.send(order).ok();
        }
    }
}

/// The trainer's next report; [`Report::Broken`], if its thread has panicked.
async fn next(reports: &mut mpsc::Receiver<Report>) -> Report {
    let gone = || Report::Broken { error: "the trainer's thread ended".to_owned(), retry: true };
    reports.recv().await.unwrap_or_else(gone)
}

/// Waits until that time, or for ever.
async fn until(end: Option<Instant>) {
    match end {
        Some(end) => sleep_until(end.into()).await,
        None => std::future::pending().await,
    }
}

async fn stopped(stop: &mut watch::Receiver<bool>) {
    if stop.wait_for(|stop| *stop).await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// Where tests kill the process, before and after it sends a message.
fn fault_points(message: &v1::WorkerMessage) -> [&'static str; 2] {
    match message.kind {
        Some(Kind::Succeeded(_)) => ["session/result", "session/result-sent"],
        _ if message.sequence > 0 => ["session/report", "session/report-sent"],
        _ => ["session/other", "session/other-sent"],
    }
}
