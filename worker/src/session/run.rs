//! The session: connects, passes orders to the trainer and reports to the coordinator, reconnects, and leaves in order.

use std::{
    collections::VecDeque,
    sync::mpsc::Sender,
    time::{Duration, Instant},
};

use backon::{BackoffBuilder as _, ExponentialBuilder};
use swfn_proto::v1::{self, coordinator_message, worker_message::Kind};
use swfn_shared::{
    faults,
    ids::{LeaseId, TRAINER_REVISION},
    trial::TrialSpec,
    wire::{self, PROTOCOL},
};
use tokio::{
    sync::{mpsc, watch},
    time::{interval, sleep},
};
use tracing::{info, warn};

use super::{
    address::Address,
    hung::Watchdog,
    ledger::{End, Ledger},
    link::{Link, LinkError},
    outbox::OutboxLimits,
    wish::{Wish, Wishes},
    words::{Exit, Hooks, Identity, Order, Report},
};

/// Points wait so long to become one message.
const FLUSH: Duration = Duration::from_millis(500);

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
    /// The trainer has said its last word.
    broken: bool,
    /// Leases that the hello of this stream names and that have not been confirmed or revoked yet.
    unconfirmed: Vec<LeaseId>,
    watchdog: Watchdog,
    hooks: Hooks,
}

/// What is to be sent on this stream. Reports are read when their turn comes: there may be more of them than memory holds.
#[derive(Debug)]
enum Outgoing {
    Report(u64),
    Ask(v1::Ask),
    Heartbeat,
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
            broken: false,
            unconfirmed: Vec::new(),
            watchdog: Watchdog::new(Instant::now()),
            hooks,
        }
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
        loop {
            let hello = self.hello();
            self.unconfirmed = self.ledger.held();
            let address = self.address.clone();
            let opened = tokio::select! {
                link = Link::open(&address, hello, was_welcome) => link,
                () = self.absorb_until_stopped() => return Exit::Done,
            };
            let began = Instant::now();
            let result = match opened {
                Ok(link) => {
                    // Leases outlive several tries to come back.
                    longest = MAX_PAUSE.min(Duration::from_secs(link.welcome.lease_seconds.into()) / 4);
                    info!(sweep = link.welcome.sweep, coordinator = %address.endpoint.uri(), "connected");
                    was_welcome = true;
                    (self.hooks.welcomed)();
                    self.converse(link).await
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
                    if self.ledger.is_empty()
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
                    let length = pause.next().unwrap_or(MAX_PAUSE).min(longest);
                    warn!(coordinator = %address.endpoint.uri(), "no connection: {reason}; trying again in {length:.1?}");
                    tokio::select! {
                        () = sleep(length) => {}
                        () = self.absorb_until_stopped() => return Exit::Done,
                    }
                }
            }
        }
    }

    fn hello(&self) -> v1::Hello {
        let Identity { worker, predecessor, host, device, libtorch } = &self.identity;
        let predecessor = predecessor.clone();
        v1::Hello {
            protocol: PROTOCOL,
            worker: worker.to_string(),
            predecessor: predecessor.as_ref().map(|dead| dead.worker.to_string()),
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
            held: self.ledger.held().into_iter().map(Into::into).collect(),
            trainer_revision: TRAINER_REVISION,
        }
    }

    /// Without a stream: the trainer goes on, and its reports are kept. Returns only when the process is asked to stop, which
    /// without a coordinator is all there is to do: leases expire by themselves.
    async fn absorb_until_stopped(&mut self) {
        loop {
            tokio::select! {
                report = next(&mut self.reports), if self.listens() => { self.absorb(report); }
                () = stopped(&mut self.stop) => return,
            }
        }
    }

    async fn converse(&mut self, mut link: Link) -> Result<Exit, LinkError> {
        let mut outgoing = VecDeque::new();
        if !faults::bug("reports-are-not-sent-again") {
            outgoing.extend(self.ledger.unacknowledged().map(Outgoing::Report));
        }
        self.ledger.forget_grants();
        self.wishes.forgotten();
        outgoing.extend(self.ask());
        let stall = Duration::from_secs(link.welcome.stall_seconds.into());
        let mut heartbeat = interval(Duration::from_secs(link.welcome.heartbeat_seconds.max(1).into()));
        let mut flush = interval(FLUSH);
        loop {
            let sender = link.outgoing.clone();
            let reports = tokio::select! {
                message = link.receive() => self.obey(message?),
                report = next(&mut self.reports), if self.listens() => self.absorb(report),
                () = stopped(&mut self.stop), if self.leaving.is_none() && !faults::bug("stop-is-ignored") => {
                    info!("asked to stop: giving leases back");
                    self.leave(Exit::Done);
                    Vec::new()
                }
                room = sender.reserve(), if !outgoing.is_empty() => {
                    let room = room.map_err(|_| LinkError::Lost("the stream is closed".to_owned()))?;
                    if let Some(message) = outgoing.pop_front().map(|next| self.message(next)).transpose()?.flatten() {
                        let [before, after] = points_of(&message);
                        faults::point(before);
                        room.send(message);
                        faults::point(after);
                    }
                    Vec::new()
                }
                _ = flush.tick() => self.ledger.flush(),
                _ = heartbeat.tick() => {
                    if stall > Duration::ZERO && self.watchdog.is_hung(Instant::now(), stall) {
                        return Ok(Exit::Broken(format!("the trainer has been silent for {stall:?} and was told to stop: it hangs")));
                    }
                    // One that has not left yet will say what is true when it leaves.
                    if !outgoing.iter().any(|waiting| matches!(waiting, Outgoing::Heartbeat)) {
                        outgoing.push_back(Outgoing::Heartbeat);
                    }
                    Vec::new()
                }
            };
            // First: a wish is withdrawn before leases are given back, or they would come again.
            outgoing.extend(self.ask());
            outgoing.extend(reports.into_iter().map(Outgoing::Report));
            if self.ledger.is_empty()
                && let Some(exit) = self.leaving.take()
            {
                // A courtesy: nothing is held, so if it gets lost, nothing is lost with it.
                link.send(v1::WorkerMessage { sequence: 0, kind: Some(Kind::Goodbye(v1::Goodbye {})) }).await.ok();
                link.close().await;
                return Ok(exit);
            }
        }
    }

    /// What the coordinator has to be told of the trainer's wishes, if anything.
    fn ask(&mut self) -> Option<Outgoing> {
        self.wishes.ask(self.ledger.running()).map(Outgoing::Ask)
    }

    /// `None` for a report that has been acknowledged meanwhile.
    fn message(&mut self, outgoing: Outgoing) -> Result<Option<v1::WorkerMessage>, LinkError> {
        let kind = match outgoing {
            Outgoing::Report(sequence) => {
                let unreadable =
                    |error| LinkError::Unreadable(format!("report {sequence} cannot be read back: {error}"));
                return self.ledger.report(sequence).map_err(unreadable);
            }
            Outgoing::Ask(ask) => Kind::Ask(ask),
            Outgoing::Heartbeat => Kind::Heartbeat(self.ledger.heartbeat()),
        };
        Ok(Some(v1::WorkerMessage { sequence: 0, kind: Some(kind) }))
    }

    fn listens(&self) -> bool {
        !self.broken && !self.ledger.is_full()
    }

    /// Takes what the trainer says; returns the numbers of the reports that are to be sent.
    fn absorb(&mut self, report: Report) -> Vec<u64> {
        self.watchdog.heard(Instant::now());
        match report {
            Report::Wants { lanes, shape, vaes } => {
                if self.leaving.is_none() {
                    self.wishes.say(Wish { lanes, shape, vaes });
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
                self.watchdog.ended(lease);
                self.ledger.end(lease, end)
            }
            Report::Broken { error, retry } => {
                self.broken = true;
                self.leave(if retry { Exit::Broken(error) } else { Exit::Hopeless(error) });
                self.ledger.release_all()
            }
        }
    }

    /// No more trials; what is held is given up as soon as the trainer notices.
    fn leave(&mut self, exit: Exit) {
        self.leaving.get_or_insert(exit);
        self.wishes.withdraw();
        self.ledger.cancel_all();
    }

    /// Does as the coordinator says; returns the numbers of the reports that are to be sent.
    fn obey(&mut self, message: coordinator_message::Kind) -> Vec<u64> {
        match message {
            coordinator_message::Kind::Welcome(_) => {}
            coordinator_message::Kind::Grant(grant) => {
                return grant.leases.into_iter().flat_map(|lease| self.take(lease)).collect();
            }
            coordinator_message::Kind::Acknowledge(acknowledge) => {
                faults::point("session/acknowledged");
                self.ledger.acknowledge(acknowledge.through).into_iter().for_each(&self.hooks.settled);
                faults::point("session/settled");
            }
            coordinator_message::Kind::Revoke(_) | coordinator_message::Kind::Confirm(_)
                if faults::bug("revocations-are-ignored") => {}
            coordinator_message::Kind::Revoke(revoke) => {
                if let Ok(lease) = wire::lease(revoke.lease) {
                    self.revoke(lease, &revoke.reason);
                }
            }
            coordinator_message::Kind::Confirm(confirm) => {
                let confirmed: Vec<_> =
                    confirm.leases.into_iter().filter_map(|id| LeaseId::try_from(id).ok()).collect();
                for lease in std::mem::take(&mut self.unconfirmed) {
                    if !confirmed.contains(&lease) {
                        self.revoke(lease, "the coordinator does not know it");
                    }
                }
            }
            coordinator_message::Kind::Drain(drain) => {
                info!("no more trials: {}", drain.reason);
                // What is held ends in its own time.
                self.leaving.get_or_insert(Exit::Done);
                self.wishes.withdraw();
            }
        }
        Vec::new()
    }

    fn revoke(&mut self, lease: LeaseId, reason: &str) {
        self.unconfirmed.retain(|named| *named != lease);
        warn!(%lease, "lease revoked: {reason}");
        if self.ledger.revoke(lease) {
            self.watchdog.revoked(Instant::now(), lease);
        }
    }

    fn take(&mut self, lease: v1::Lease) -> Vec<u64> {
        let Ok(id) = wire::lease(lease.id) else {
            warn!("a lease without an id was granted");
            return Vec::new();
        };
        let spec = lease.spec.ok_or_else(|| "it has no specification".to_owned());
        let spec = spec.and_then(|spec| TrialSpec::try_from(spec).map_err(|error| error.to_string()));
        let artifacts = lease.artifacts.unwrap_or_default().into();
        let Some(cancel) = self.ledger.grant(id) else {
            warn!(lease = %id, "a lease was granted that was granted before");
            return Vec::new();
        };
        // The grant and the wish to leave crossed.
        if self.leaving.is_some() {
            return self.ledger.end(id, End::Released);
        }
        match spec {
            Ok(spec) if spec.id() == id.trial => {
                self.wishes.granted(spec.shape());
                // If nobody is there to take it, that is the trainer's next report.
                self.orders.send(Order { lease: id, spec, artifacts, cancel }).ok();
            }
            Ok(_) => self.misunderstood(id, "its specification has another id"),
            Err(error) => self.misunderstood(id, &error),
        }
        Vec::new()
    }

    /// A lease that makes no sense means that both sides differ in version: nothing good can come of going on.
    fn misunderstood(&mut self, lease: LeaseId, problem: &str) {
        self.ledger.revoke(lease);
        self.leave(Exit::Hopeless(format!(
            "lease `{lease}` cannot be understood: {problem}\nhint: run the same version of swfn on both sides"
        )));
    }
}

/// Sends a report of the trainer, or what is no report.
/// Where tests kill the process, before and after it sends a message.
fn points_of(message: &v1::WorkerMessage) -> [&'static str; 2] {
    match message.kind {
        Some(Kind::Succeeded(_)) => ["session/result", "session/result-sent"],
        _ if message.sequence > 0 => ["session/report", "session/report-sent"],
        _ => ["session/other", "session/other-sent"],
    }
}

/// The trainer's next report; when its thread is gone, which only a panic can cause, that it is broken.
async fn next(reports: &mut mpsc::Receiver<Report>) -> Report {
    let gone = || Report::Broken { error: "the trainer's thread ended".to_owned(), retry: true };
    reports.recv().await.unwrap_or_else(gone)
}

async fn stopped(stop: &mut watch::Receiver<bool>) {
    if stop.wait_for(|stop| *stop).await.is_err() {
        std::future::pending::<()>().await;
    }
}

#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
#[cfg(test)]
mod tests;
