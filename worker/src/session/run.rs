//! The session: connects, passes orders to the trainer and reports to the coordinator, reconnects, and leaves in order.

use std::{
    sync::mpsc::Sender,
    time::{Duration, Instant},
};

use backon::{BackoffBuilder as _, ExponentialBuilder};
use swfn_proto::v1;
use swfn_shared::{
    faults,
    ids::{LeaseId, TRAINER_REVISION},
    wire::PROTOCOL,
};
use tokio::{
    sync::{mpsc, watch},
    time::{sleep, sleep_until},
};
use tracing::{info, warn};

use super::{
    address::Address,
    hung::Watchdog,
    ledger::Ledger,
    link::{Link, LinkError},
    outbox::OutboxLimits,
    stay::{Stay, StayLimits},
    wish::Wishes,
    words::{Exit, Hooks, Identity, Order, Report},
};

/// The longest pause between two attempts to connect.
const MAX_PAUSE: Duration = Duration::from_secs(15);

/// A stream that lived so long was good: the next pause is short again.
const GOOD_STREAM: Duration = Duration::from_secs(30);

/// The session of one worker process.
pub(crate) struct Session {
    identity: Identity,
    address: Address,
    ledger: Ledger,
    orders: Sender<Order>,
    reports: mpsc::Receiver<Report>,
    stop: watch::Receiver<bool>,
    wishes: Wishes,
    /// Why no more trials are wanted, once that is so.
    leaving: Option<Exit>,
    /// The sweep has ended: nobody misses what is not acknowledged.
    over: bool,
    /// The process was asked to stop, and what it holds to be given back.
    stopping: bool,
    /// The trainer has said its last word.
    broken: bool,
    /// Leases that the hello of this stream names and that have not been confirmed or revoked yet.
    unconfirmed: Vec<LeaseId>,
    watchdog: Watchdog,
    stay: Stay,
    /// So long without a coordinator, and the session ends; for ever, if nothing is said.
    patience: Option<Duration>,
    hooks: Hooks,
}

impl Session {
    /// `orders` and `reports` lead to the trainer; a change of `stop` ends the session in order.
    pub(crate) fn new(
        identity: Identity,
        address: Address,
        outbox: OutboxLimits,
        orders: Sender<Order>,
        reports: mpsc::Receiver<Report>,
        stop: watch::Receiver<bool>,
        hooks: Hooks,
    ) -> Self {
        Self {
            identity,
            address,
            ledger: Ledger::new(outbox),
            orders,
            reports,
            stop,
            wishes: Wishes::default(),
            leaving: None,
            over: false,
            stopping: false,
            broken: false,
            unconfirmed: Vec::new(),
            watchdog: Watchdog::new(Instant::now()),
            stay: Stay::new(StayLimits::default(), Instant::now()),
            patience: None,
            hooks,
        }
    }

    /// Ends without a coordinator for so long.
    pub(crate) fn with_patience(self, patience: Option<Duration>) -> Self {
        Self { patience, ..self }
    }

    /// Leaves by itself within these limits.
    pub(crate) fn with_limits(self, limits: StayLimits) -> Self {
        Self { stay: Stay::new(limits, Instant::now()), ..self }
    }

    /// Runs until there is nothing left to do or no sense in going on.
    pub(crate) async fn run(mut self) -> Exit {
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
            self.unconfirmed = self.ledger.held();
            let address = self.address.clone();
            let opened = tokio::select! {
                link = Link::open(&address, hello, was_welcome) => link,
                exit = self.absorb_until_stopped() => return exit,
            };
            let began = Instant::now();
            let result = match opened {
                Ok(link) => {
                    // Leases outlive several tries to come back.
                    longest = MAX_PAUSE.min(Duration::from_secs(link.welcome.lease_seconds.into()) / 4);
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
                    return Exit::Hopeless(format!("the coordinator refuses this worker: {reason}"));
                }
                Err(LinkError::Unreadable(reason)) => return Exit::Broken(reason),
                Err(LinkError::Distrusted(reason)) => return Exit::Hopeless(reason),
                Err(LinkError::Lost(reason)) => {
                    // The coordinator may be gone before it has heard the goodbye.
                    if (self.over || self.ledger.is_empty())
                        && let Some(exit) = self.leaving.take()
                    {
                        return exit;
                    }
                    if faults::bug("reports-end-with-the-stream") {
                        self.ledger.acknowledge(u64::MAX);
                    }
                    if began.elapsed() >= GOOD_STREAM {
                        pause = pauses.build();
                    }
                    let alone = alone_since.elapsed();
                    let left = self.patience.map(|patience| patience.saturating_sub(alone));
                    if left == Some(Duration::ZERO) && !faults::bug("nobody-gives-up") {
                        return self.give_up(alone);
                    }
                    let length = pause.next().unwrap_or(MAX_PAUSE).min(longest).min(left.unwrap_or(MAX_PAUSE));
                    warn!(coordinator = %address.endpoint.uri(), "no connection: {reason}; trying again in {length:.1?}");
                    tokio::select! {
                        () = sleep(length) => {}
                        exit = self.absorb_until_stopped() => return exit,
                    }
                }
            }
        }
    }

    /// Whoever might come yet knows nothing of this process. What was reported in vain is trained again from the last checkpoints.
    fn give_up(&self, alone: Duration) -> Exit {
        let (uri, reports, trials) =
            (self.address.endpoint.uri(), self.ledger.unacknowledged().count(), self.ledger.held().len());
        Exit::Unreachable(format!(
            "no coordinator at `{uri}` for {alone:.0?}: giving up, with {trials} trials and {reports} reports that nobody has \
             acknowledged\nhint: trials go on from their checkpoints; --give-up-after says how long to wait"
        ))
    }

    fn hello(&self) -> v1::Hello {
        let Identity { worker, predecessor, host, device, libtorch } = &self.identity;
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
            software_version: env!("SWFN_VERSION").to_owned(),
            libtorch_version: libtorch.clone(),
            held: if faults::bug("held-leases-are-not-named") {
                Vec::new()
            } else {
                self.ledger.held().into_iter().map(Into::into).collect()
            },
            trainer_revision: TRAINER_REVISION,
        }
    }

    /// Without a stream: the trainer goes on, and its reports are kept. Returns only when the process is asked to stop or its time is up,
    /// and without a coordinator there is nothing else to do then: leases expire by themselves.
    async fn absorb_until_stopped(&mut self) -> Exit {
        let end = self.stay.end();
        loop {
            tokio::select! {
                report = next(&mut self.reports), if self.listens() => { self.absorb(report); }
                () = stopped(&mut self.stop) => return Exit::Done,
                () = until(end) => return Exit::OutOfTime,
            }
        }
    }

    fn listens(&self) -> bool {
        !self.broken && !self.ledger.is_full()
    }

    /// Takes what the trainer says; returns the numbers of the reports that are to be sent.
    fn absorb(&mut self, report: Report) -> Vec<u64> {
        self.watchdog.heard(Instant::now());
        match report {
            Report::Wants(room) => {
                if self.leaving.is_none() {
                    self.wishes.say(room);
                }
                Vec::new()
            }
            Report::Progress { lease, step, points, log } => {
                if self.ledger.progress(lease, step, points, &log) {
                    self.ledger.flush()
                } else {
                    Vec::new()
                }
            }
            Report::Ended { lease, end } => {
                (self.hooks.let_go)(lease.trial);
                self.watchdog.ended(lease);
                self.stay.ended(Instant::now(), lease);
                self.ledger.end(lease, end)
            }
            Report::Broken { error, retry } => {
                self.broken = true;
                self.leave(if retry { Exit::Broken(error) } else { Exit::Hopeless(error) });
                self.ledger.release_all()
            }
        }
    }

    /// Who has no time for another trial, or has had none for too long, leaves; what is held ends first.
    fn mind_the_time(&mut self) {
        let now = Instant::now();
        if !self.ledger.is_empty() || !self.wishes.stand() {
            self.stay.busy(now);
        }
        let (exit, reason) = if self.stay.is_too_late(now) {
            (Exit::OutOfTime, "another one would not end in time")
        } else if self.stay.is_idle(now) {
            (Exit::Done, "there was none for too long")
        } else {
            return;
        };
        if self.leaving.is_none() {
            info!("no more trials: {reason}");
            self.leaving = Some(exit);
            self.wishes.withdraw();
        }
    }

    /// No more trials; what is held is given up as soon as the trainer notices.
    fn leave(&mut self, exit: Exit) {
        self.leaving.get_or_insert(exit);
        self.wishes.withdraw();
        self.ledger.cancel_all();
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

mod answers;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
mod stream;
#[cfg(test)]
mod stream_tests;
#[cfg(test)]
mod tests;
