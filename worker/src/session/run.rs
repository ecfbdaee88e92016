//! The session: connects, passes orders to the trainer and reports to the coordinator, reconnects, and leaves in order.

use std::{
    sync::{Arc, mpsc::Sender},
    time::Duration,
};

use backon::{BackoffBuilder as _, ExponentialBuilder};
use swfn_proto::v1::{self, coordinator_message, worker_message::Kind};
use swfn_shared::{
    artifacts::Artifacts,
    faults,
    ids::{LeaseId, ShapeId, TRAINER_REVISION, TrialId, VaeId, WorkerId},
    metrics::MetricPoint,
    trial::TrialSpec,
    wire::{self, PROTOCOL},
};
use tokio::{
    sync::{mpsc, watch},
    time::{Instant, interval, sleep},
};
use tonic::transport::Endpoint;
use tracing::{info, warn};

use super::{
    cancel::Cancel,
    ledger::{End, Ledger},
    link::{Link, LinkError},
    wish::{Wish, Wishes},
};
use crate::device::DeviceInfo;

/// Points wait so long to become one message.
const FLUSH: Duration = Duration::from_millis(500);

/// The longest pause between two attempts to connect.
const MAX_PAUSE: Duration = Duration::from_secs(15);

/// A stream that lived so long was good: the next pause is short again.
const GOOD_STREAM: Duration = Duration::from_secs(30);

/// A trial for the trainer.
#[derive(Debug)]
pub(crate) struct Order {
    pub(crate) lease: LeaseId,
    pub(crate) spec: TrialSpec,
    /// What it is to leave behind.
    pub(crate) artifacts: Artifacts,
    /// Whether the trial is to be stopped.
    pub(crate) cancel: Arc<Cancel>,
}

/// What the trainer says.
#[derive(Debug)]
pub(crate) enum Report {
    /// How many more trials it has room for, now that it took all orders that had reached it; 0: none. Orders that were on their way when
    /// it said so may come on top of them: they wait until there is room.
    Wants {
        lanes: u32,
        /// Of which shape; `None`: of any one.
        shape: Option<ShapeId>,
        /// The VAEs that it has at hand.
        vaes: Vec<VaeId>,
    },
    Progress {
        lease: LeaseId,
        step: u64,
        points: Vec<MetricPoint>,
    },
    Ended {
        lease: LeaseId,
        end: End,
    },
    /// It cannot go on in this process; what it holds goes back.
    Broken {
        error: String,
        retry: bool,
    },
}

/// How the session ended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Nothing is left to do, or the process was asked to stop.
    Done,
    /// Another process would end the same.
    Hopeless(String),
    /// Another process may do better.
    Broken(String),
}

/// Who this worker is.
#[derive(Debug, Clone)]
pub(crate) struct Identity {
    pub(crate) worker: WorkerId,
    pub(crate) predecessor: Option<WorkerId>,
    pub(crate) host: String,
    pub(crate) device: DeviceInfo,
    pub(crate) libtorch: String,
}

/// What the process does when the session learns something.
pub(crate) struct Hooks {
    /// At each welcome of the coordinator.
    pub(crate) welcomed: fn(),
    /// The coordinator has the trial's end on its disk, and nobody will try it again.
    pub(crate) settled: Box<dyn Fn(TrialId) + Send>,
}

/// The session of one worker process.
pub(crate) struct Session {
    identity: Identity,
    endpoint: Endpoint,
    ledger: Ledger,
    orders: Sender<Order>,
    reports: mpsc::Receiver<Report>,
    stop: watch::Receiver<bool>,
    wishes: Wishes,
    /// Why no more trials are wanted, once that is so.
    leaving: Option<Exit>,
    /// The trainer has said its last word.
    broken: bool,
    hooks: Hooks,
}

impl Session {
    /// `orders` and `reports` lead to the trainer; a change of `stop` ends the session in order.
    pub(crate) fn new(
        identity: Identity,
        endpoint: Endpoint,
        orders: Sender<Order>,
        reports: mpsc::Receiver<Report>,
        stop: watch::Receiver<bool>,
        hooks: Hooks,
    ) -> Self {
        Self {
            identity,
            endpoint,
            ledger: Ledger::new(),
            orders,
            reports,
            stop,
            wishes: Wishes::default(),
            leaving: None,
            broken: false,
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
        let mut longest = MAX_PAUSE;
        loop {
            let hello = self.hello();
            let endpoint = self.endpoint.clone();
            let opened = tokio::select! {
                link = Link::open(&endpoint, hello) => link,
                () = self.absorb_until_stopped() => return Exit::Done,
            };
            let began = Instant::now();
            let result = match opened {
                Ok(link) => {
                    // Leases outlive several tries to come back.
                    longest = MAX_PAUSE.min(Duration::from_secs(link.welcome.lease_seconds.into()) / 4);
                    info!(sweep = link.welcome.sweep, coordinator = %endpoint.uri(), "connected");
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
                    warn!(coordinator = %endpoint.uri(), "no connection: {reason}; trying again in {length:.1?}");
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
        v1::Hello {
            protocol: PROTOCOL,
            worker: worker.to_string(),
            predecessor: predecessor.as_ref().map(ToString::to_string),
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
        if !faults::bug("reports-are-not-sent-again") {
            for report in self.ledger.unacknowledged() {
                link.send(report).await?;
            }
        }
        self.wishes.forgotten();
        self.ask(&link).await?;
        let mut heartbeat = interval(Duration::from_secs(link.welcome.heartbeat_seconds.max(1).into()));
        let mut flush = interval(FLUSH);
        loop {
            let messages = tokio::select! {
                message = link.receive() => self.obey(message?),
                report = next(&mut self.reports), if self.listens() => self.absorb(report),
                () = stopped(&mut self.stop), if self.leaving.is_none() && !faults::bug("stop-is-ignored") => {
                    info!("asked to stop: giving leases back");
                    self.leave(Exit::Done);
                    Vec::new()
                }
                _ = flush.tick() => self.ledger.flush(),
                _ = heartbeat.tick() => {
                    let heartbeat = self.ledger.heartbeat();
                    vec![v1::WorkerMessage { sequence: 0, kind: Some(Kind::Heartbeat(heartbeat)) }]
                }
            };
            // First: a wish is withdrawn before leases are given back, or they would come again.
            self.ask(&link).await?;
            for message in messages {
                send(&link, message).await?;
            }
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

    async fn ask(&mut self, link: &Link) -> Result<(), LinkError> {
        match self.wishes.ask(self.ledger.running()) {
            Some(ask) => link.send(v1::WorkerMessage { sequence: 0, kind: Some(Kind::Ask(ask)) }).await,
            None => Ok(()),
        }
    }

    fn listens(&self) -> bool {
        !self.broken && !self.ledger.is_full()
    }

    /// Takes what the trainer says; returns what is to be sent.
    fn absorb(&mut self, report: Report) -> Vec<v1::WorkerMessage> {
        match report {
            Report::Wants { lanes, shape, vaes } => {
                if self.leaving.is_none() {
                    self.wishes.say(Wish { lanes, shape, vaes });
                }
                Vec::new()
            }
            Report::Progress { lease, step, points } => {
                if self.ledger.progress(lease, step, points) {
                    self.ledger.flush()
                } else {
                    Vec::new()
                }
            }
            Report::Ended { lease, end } => self.ledger.end(lease, end),
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

    /// Does as the coordinator says; returns what is to be sent.
    fn obey(&mut self, message: coordinator_message::Kind) -> Vec<v1::WorkerMessage> {
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
            coordinator_message::Kind::Revoke(_) if faults::bug("revocations-are-ignored") => {}
            coordinator_message::Kind::Revoke(revoke) => {
                if let Ok(lease) = wire::lease(revoke.lease) {
                    warn!(%lease, "lease revoked: {}", revoke.reason);
                    self.ledger.revoke(lease);
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

    fn take(&mut self, lease: v1::Lease) -> Vec<v1::WorkerMessage> {
        let Ok(id) = wire::lease(lease.id) else {
            warn!("a lease without an id was granted");
            return Vec::new();
        };
        let spec = lease.spec.ok_or_else(|| "it has no specification".to_owned());
        let spec = spec.and_then(|spec| TrialSpec::try_from(spec).map_err(|error| error.to_string()));
        let artifacts = lease.artifacts.unwrap_or_default().into();
        let Some(cancel) = self.ledger.grant(id) else {
            info!(lease = %id, "granted before");
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
async fn send(link: &Link, message: v1::WorkerMessage) -> Result<(), LinkError> {
    let result = matches!(message.kind, Some(Kind::Succeeded(_)));
    faults::point(if result { "session/result" } else { "session/report" });
    link.send(message).await?;
    faults::point(if result { "session/result-sent" } else { "session/report-sent" });
    Ok(())
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

#[cfg(test)]
mod tests;
