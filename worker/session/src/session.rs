//! The session: connects, passes orders to the trainer and reports to the coordinator, reconnects, and leaves in order.

use std::{
    sync::mpsc::Sender,
    time::{Duration, Instant},
};

use backon::{BackoffBuilder as _, ExponentialBuilder};
use swfn_proto::v1::{self, coordinator_message, worker_message::Kind};
use swfn_shared::{faults, ids::TRAINER_REVISION, wire::PROTOCOL};
use tokio::{
    sync::{mpsc, watch},
    time::{interval, sleep, sleep_until},
};
use tracing::{info, warn};

use crate::{
    address::Address,
    link::{Link, LinkError},
    messages::{Exit, Hooks, Identity, Order, Report},
    protocol::Protocol,
};

/// The longest pause between two attempts to connect.
const MAX_PAUSE: Duration = Duration::from_secs(15);

/// A stream that lived so long was good: the next pause is short again.
const GOOD_STREAM: Duration = Duration::from_secs(30);

/// Points wait so long to become one message.
const FLUSH: Duration = Duration::from_millis(500);

/// The session of one worker process.
pub struct Session {
    identity: Identity,
    address: Address,
    protocol: Protocol,
    orders: Sender<Order>,
    reports: mpsc::Receiver<Report>,
    stop: watch::Receiver<bool>,
    /// So long without a coordinator, and the session ends; for ever, if nothing is said.
    patience: Option<Duration>,
    hooks: Hooks,
}

impl Session {
    /// `orders` and `reports` lead to the trainer; a change of `stop` ends the session in order.
    pub fn new(
        identity: Identity,
        address: Address,
        protocol: Protocol,
        orders: Sender<Order>,
        reports: mpsc::Receiver<Report>,
        stop: watch::Receiver<bool>,
        hooks: Hooks,
    ) -> Self {
        Self { identity, address, protocol, orders, reports, stop, patience: None, hooks }
    }

    /// Ends without a coordinator for so long.
    #[must_use]
    pub fn with_patience(self, patience: Option<Duration>) -> Self {
        Self { patience, ..self }
    }

    /// Runs until there is nothing left to do or no sense in going on.
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
            let hello = self.hello();
            let address = self.address.clone();
            let opened = tokio::select! {
                link = Link::open(&address, hello, was_welcome) => link,
                exit = self.absorb_until_stopped() => return exit,
            };
            let began = Instant::now();
            let result = match opened {
                Ok(link) => {
                    // Leases outlive several tries to come back.
                    longest =
                        MAX_PAUSE.min(Duration::from_secs(link.welcome.lease_seconds.into()) / 4);
                    info!(sweep = link.welcome.sweep, coordinator = %address.endpoint.uri(), "connected");
                    was_welcome = true;
                    (self.hooks.welcomed)();
                    let ended = self.converse(link).await;
                    alone_since = Instant::now();
                    ended
                }
                Err(error) => Err(error),
            };
            match result {
                Ok(exit) => return exit,
                Err(LinkError::Refused(reason)) => {
                    return Exit::Hopeless(format!(
                        "the coordinator refuses this worker: {reason}"
                    ));
                }
                Err(LinkError::Unreadable(reason)) => return Exit::Broken(reason),
                Err(LinkError::Distrusted(reason)) => return Exit::Hopeless(reason),
                Err(LinkError::Lost(reason)) => {
                    if let Some(exit) = self.protocol.lost() {
                        return exit;
                    }
                    if began.elapsed() >= GOOD_STREAM {
                        pause = pauses.build();
                    }
                    let alone = alone_since.elapsed();
                    let left = self.patience.map(|patience| patience.saturating_sub(alone));
                    if left == Some(Duration::ZERO) && !faults::bug("nobody-gives-up") {
                        return self.give_up(alone);
                    }
                    let length = pause
                        .next()
                        .unwrap_or(MAX_PAUSE)
                        .min(longest)
                        .min(left.unwrap_or(MAX_PAUSE));
                    let uri = address.endpoint.uri();
                    warn!(coordinator = %uri, "no connection: {reason}; trying again in {length:.1?}");
                    tokio::select! {
                        () = sleep(length) => {}
                        exit = self.absorb_until_stopped() => return exit,
                    }
                }
            }
        }
    }

    /// Whoever might come yet knows nothing of this process. What was reported in vain is trained again from the last
    /// checkpoints.
    fn give_up(&self, alone: Duration) -> Exit {
        let (uri, reports, trials) = (
            self.address.endpoint.uri(),
            self.protocol.unacknowledged().count(),
            self.protocol.held().len(),
        );
        Exit::Unreachable(format!(
            "no coordinator at `{uri}` for {alone:.0?}: giving up, with {trials} trials and {reports} reports that nobody has \
             acknowledged\nhint: trials go on from their checkpoints; --give-up-after says how long to wait"
        ))
    }

    fn hello(&mut self) -> v1::Hello {
        let held = self.protocol.hello().into_iter().map(Into::into).collect();
        let Identity { worker, predecessor, host, device, software, libtorch } = &self.identity;
        let predecessor = predecessor.clone();
        v1::Hello {
            protocol: PROTOCOL,
            worker: worker.to_string(),
            predecessor: predecessor.as_ref().map(|dead| dead.worker.to_string()),
            predecessor_innocent: predecessor.as_ref().is_some_and(|dead| dead.innocent),
            predecessor_end: predecessor.as_ref().map(|dead| dead.end.clone()).unwrap_or_default(),
            predecessor_log: predecessor.map(|dead| dead.log).unwrap_or_default(),
            host: host.clone(),
            device: Some(v1::Device {
                name: device.name.clone(),
                model: device.model.clone(),
                threads: device.threads,
                cuda_version: device.cuda.clone(),
            }),
            software_version: software.clone(),
            libtorch_version: libtorch.clone(),
            held,
            trainer_revision: TRAINER_REVISION,
        }
    }

    /// Without a stream: the trainer goes on, and its reports are kept. Returns only when the process is asked to stop or
    /// its time is up, and without a coordinator there is nothing else to do then: leases expire by themselves.
    async fn absorb_until_stopped(&mut self) -> Exit {
        let end = self.protocol.end();
        loop {
            tokio::select! {
                report = next(&mut self.reports), if self.protocol.listens() => self.absorb(report),
                () = stopped(&mut self.stop) => return Exit::Done,
                () = until(end) => return Exit::OutOfTime,
            }
        }
    }

    /// Until the stream breaks; the exit, when the session is over with it.
    async fn converse(&mut self, mut link: Link) -> Result<Exit, LinkError> {
        self.protocol.welcomed(Instant::now(), &link.welcome);
        let mut heartbeat =
            interval(Duration::from_secs(link.welcome.heartbeat_seconds.max(1).into()));
        let mut flush = interval(FLUSH);
        let end = self.protocol.end();
        loop {
            let sender = link.outgoing.clone();
            let goes_on = !self.protocol.is_stopping();
            tokio::select! {
                message = link.receive() => self.obey(message?),
                report = next(&mut self.reports), if self.protocol.listens() => self.absorb(report),
                () = stopped(&mut self.stop), if goes_on && !faults::bug("stop-is-ignored") => {
                    info!("asked to stop: giving leases back");
                    self.protocol.stop(Instant::now(), Exit::Done);
                }
                () = until(end), if goes_on => {
                    info!("time is up: giving leases back");
                    self.protocol.stop(Instant::now(), Exit::OutOfTime);
                }
                room = sender.reserve(), if self.protocol.has_news() => {
                    let room = room.map_err(|_| LinkError::Lost("the stream is closed".to_owned()))?;
                    if let Some(message) = self.protocol.next_message().map_err(LinkError::Unreadable)? {
                        let [before, after] = points_of(&message);
                        faults::point(before);
                        room.send(message);
                        faults::point(after);
                    }
                }
                _ = flush.tick() => self.protocol.flush(Instant::now()),
                _ = heartbeat.tick() => {
                    if let Some(exit) = self.protocol.beat(Instant::now()) {
                        return Ok(exit);
                    }
                }
            }
            if let Some(exit) = self.protocol.done() {
                // A courtesy: nothing is held, so if it gets lost, nothing is lost with it.
                link.send(v1::WorkerMessage {
                    sequence: 0,
                    kind: Some(Kind::Goodbye(v1::Goodbye {})),
                })
                .await
                .ok();
                link.close().await;
                return Ok(exit);
            }
        }
    }

    fn absorb(&mut self, report: Report) {
        if let Report::Ended { lease, .. } = &report {
            (self.hooks.let_go)(lease.trial);
        }
        self.protocol.absorb(Instant::now(), report);
    }

    fn obey(&mut self, message: coordinator_message::Kind) {
        let acknowledges = matches!(message, coordinator_message::Kind::Acknowledge(_));
        if acknowledges {
            faults::point("session/acknowledged");
        }
        let heard = self.protocol.obey(Instant::now(), message);
        heard.settled.into_iter().for_each(&self.hooks.settled);
        if acknowledges {
            faults::point("session/settled");
        }
        for order in heard.orders {
            (self.hooks.leased)(order.lease.trial);
            // If nobody is there to take it, that is the trainer's next report.
            self.orders.send(order).ok();
        }
    }
}

/// The trainer's next report; when its thread is gone, which only a panic can cause, that it is broken.
async fn next(reports: &mut mpsc::Receiver<Report>) -> Report {
    let gone = || Report::Broken { error: "the trainer's thread ended".to_owned(), retry: true };
    reports.recv().await.unwrap_or_else(gone)
}

/// A moment that may never come.
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
fn points_of(message: &v1::WorkerMessage) -> [&'static str; 2] {
    match message.kind {
        Some(Kind::Succeeded(_)) => ["session/result", "session/result-sent"],
        _ if message.sequence > 0 => ["session/report", "session/report-sent"],
        _ => ["session/other", "session/other-sent"],
    }
}
