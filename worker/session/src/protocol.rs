//! The worker's half of the protocol: its messages to the coordinator, and when it leaves. Pure: no
//! clock, no socket, no thread; time is an argument. The session drives it on a stream, the
//! simulation in virtual time.

use std::{
    collections::{HashSet, VecDeque},
    time::{Duration, Instant},
};

use swfn_proto::v1::{self, coordinator_message, worker_message::Kind};
use swfn_shared::{
    capacity::Capacity,
    faults,
    ids::{LeaseId, TrialId},
    problem, wire,
};
use tracing::{info, warn};

use crate::{
    hung::Watchdog,
    ledger::{End, Ledger},
    messages::{Exit, Order, Report},
    outbox::OutboxLimits,
    request::CapacityRequest,
    stay::{Stay, StayLimits},
};

/// A message for this stream. Reports are read when their turn comes: there may be more of them
/// than memory holds.
#[derive(Debug, PartialEq)]
enum Outgoing {
    Report(u64),
    Ask(Capacity),
    Heartbeat,
}

/// Effects of a coordinator's message outside of the protocol.
#[derive(Debug, Default)]
pub struct Effects {
    /// Trials for the trainer.
    pub orders: Vec<Order>,
    /// Trials that the coordinator has on its disk and will not retry.
    pub settled: Vec<TrialId>,
}

/// Leases, reports and requests of one worker process, over all of its streams.
#[derive(Debug)]
pub struct Protocol {
    ledger: Ledger,
    request: CapacityRequest,
    watchdog: Watchdog,
    stay: Stay,
    /// Leases that the hello of this stream names and that are neither confirmed nor revoked yet.
    unconfirmed: Vec<LeaseId>,
    /// Messages that wait for room on the stream; `None`: there is no stream.
    outgoing: Option<VecDeque<Outgoing>>,
    /// How long the trainer may be silent after it was told to stop; 0: for ever.
    stall: Duration,
    /// Why no more trials are wanted, once that is so.
    leaving: Option<Exit>,
    /// The sweep has ended: nothing is lost that is not acknowledged.
    over: bool,
    /// The trainer was asked to return all leases.
    stopping: bool,
    /// The trainer reported that it cannot go on.
    broken: bool,
}

impl Protocol {
    /// The state of a process that begins.
    pub fn new(outbox: OutboxLimits, stay: StayLimits, now: Instant) -> Self {
        Self {
            ledger: Ledger::new(outbox),
            request: CapacityRequest::default(),
            watchdog: Watchdog::new(now),
            stay: Stay::new(stay, now),
            unconfirmed: Vec::new(),
            outgoing: None,
            stall: Duration::ZERO,
            leaving: None,
            over: false,
            stopping: false,
            broken: false,
        }
    }

    /// The leases that the hello of the next stream names.
    pub fn hello(&mut self) -> Vec<LeaseId> {
        self.unconfirmed = self.ledger.held();
        if faults::bug("held-leases-are-not-named") { Vec::new() } else { self.unconfirmed.clone() }
    }

    /// Begins a stream, on which the coordinator has welcomed this worker. Reports that are not
    /// acknowledged are sent again.
    pub fn begin_stream(&mut self, now: Instant, welcome: &v1::Welcome) {
        self.stall = Duration::from_secs(welcome.stall_seconds.into());
        let resend = !faults::bug("reports-are-not-sent-again");
        let reports = self.unacknowledged().filter(|_| resend).map(Outgoing::Report).collect();
        self.outgoing = Some(reports);
        self.ledger.forget_grants();
        self.request.reset();
        // Time without a coordinator does not count as idle.
        self.stay.busy(now);
        self.enqueue(now, Vec::new());
    }

    /// Ends a broken stream. Returns the exit, if the coordinator may have ended before it heard
    /// the goodbye.
    pub fn end_stream(&mut self) -> Option<Exit> {
        self.outgoing = None;
        let exit = self.leaving.take_if(|_| self.over || self.ledger.is_empty());
        if exit.is_none() && faults::bug("reports-end-with-the-stream") {
            self.ledger.acknowledge(u64::MAX);
        }
        exit
    }

    /// Applies a message of the coordinator.
    pub fn handle_message(&mut self, now: Instant, message: coordinator_message::Kind) -> Effects {
        let (mut effects, mut reports) = (Effects::default(), Vec::new());
        match message {
            coordinator_message::Kind::Welcome(_) => {}
            coordinator_message::Kind::Grant(grant) => {
                for lease in grant.leases {
                    effects.orders.extend(self.grant(now, lease, &mut reports));
                }
            }
            coordinator_message::Kind::Acknowledge(acknowledge) => {
                effects.settled = self.ledger.acknowledge(acknowledge.through);
            }
            coordinator_message::Kind::Revoke(_) | coordinator_message::Kind::Confirm(_)
                if faults::bug("revocations-are-ignored") => {}
            coordinator_message::Kind::Revoke(revoke) => {
                if let Ok(lease) = wire::lease(revoke.lease) {
                    self.revoke(now, lease, &revoke.reason);
                }
            }
            coordinator_message::Kind::Confirm(confirm) => {
                let ids = confirm.leases.into_iter().map(LeaseId::try_from);
                let confirmed: HashSet<_> = ids.filter_map(Result::ok).collect();
                for lease in std::mem::take(&mut self.unconfirmed) {
                    if !confirmed.contains(&lease) {
                        self.revoke(now, lease, "the coordinator does not know it");
                    }
                }
            }
            coordinator_message::Kind::Drain(drain) => {
                info!("no more trials: {}", drain.reason);
                // Running trials are finished.
                self.leaving.get_or_insert(Exit::Done);
                self.over |= drain.finished;
                self.request.withdraw();
            }
        }
        self.enqueue(now, reports);
        effects
    }

    fn revoke(&mut self, now: Instant, lease: LeaseId, reason: &str) {
        self.unconfirmed.retain(|named| *named != lease);
        warn!(%lease, "lease revoked: {reason}");
        match self.ledger.revoke(lease) {
            Some(true) => {
                self.watchdog.revoked(now, lease);
                self.request.doubt();
            }
            // The coordinator may have dropped a request that came after the trial's end.
            Some(false) => self.request.repeat(),
            None => {}
        }
    }

    /// Takes a granted lease. Returns the order for the trainer if there is anything to train; else
    /// `reports` gets those that return the lease.
    fn grant(&mut self, now: Instant, lease: v1::Lease, reports: &mut Vec<u64>) -> Option<Order> {
        let Ok(id) = wire::lease(lease.id) else {
            warn!("a lease without an id was granted");
            return None;
        };
        let Some(cancel) = self.ledger.grant(id) else {
            warn!(lease = %id, "a lease was granted twice");
            return None;
        };
        // The grant and the worker's withdrawal crossed.
        if self.leaving.is_some() {
            reports.extend(self.ledger.end(id, End::Released));
            return None;
        }
        match wire::trial(id, &lease.spec) {
            Ok(spec) => {
                self.request.granted(spec.shape());
                self.stay.granted(now, id);
                let artifacts = lease.artifacts.unwrap_or_default();
                Some(Order { lease: id, spec, artifacts, cancel })
            }
            // Both sides differ in version, so the next lease would be no better.
            Err(error) => {
                self.ledger.revoke(id);
                let problem = problem!(
                    "lease `{id}` cannot be understood: {error}";
                    "run the same version of swfn on both sides"
                );
                self.leave(Exit::Hopeless(problem.to_string()));
                None
            }
        }
    }

    /// Applies a report of the trainer.
    pub fn handle_report(&mut self, now: Instant, report: Report) {
        self.watchdog.heard(now);
        let mut reports = Vec::new();
        match report {
            Report::Wants(capacity) => {
                if self.leaving.is_none() {
                    self.request.update(capacity);
                }
            }
            Report::Began { lease } => self.ledger.begin(lease),
            Report::Progress { lease, step, points, log } => {
                if self.ledger.progress(lease, step, points, &log) {
                    reports = self.ledger.flush();
                }
            }
            Report::Ended { lease, end } => {
                self.watchdog.ended(lease);
                self.stay.ended(now, lease);
                reports = self.ledger.end(lease, end);
            }
            Report::Broken { error, retry } => {
                self.broken = true;
                self.leave(if retry { Exit::Broken(error) } else { Exit::Hopeless(error) });
                reports = self.ledger.release_all();
            }
        }
        self.enqueue(now, reports);
    }

    /// Makes reports of points that have waited.
    pub fn flush(&mut self, now: Instant) {
        let reports = self.ledger.flush();
        self.enqueue(now, reports);
    }

    /// Sends a heartbeat. Returns the exit, if the trainer hangs.
    pub fn heartbeat(&mut self, now: Instant) -> Option<Exit> {
        if self.ledger.outbox.is_full() {
            // The trainer has to wait with its reports.
            self.watchdog.heard(now);
        }
        let stall = self.stall;
        if stall > Duration::ZERO && self.watchdog.is_hung(now, stall) {
            let text =
                format!("the trainer has been silent for {stall:?} and was told to stop: it hangs");
            return Some(Exit::Broken(text));
        }
        // One heartbeat at a time, since it is filled in when it leaves; and before all reports,
        // since leases must not expire while those wait.
        if let Some(outgoing) = &mut self.outgoing
            && outgoing.front() != Some(&Outgoing::Heartbeat)
        {
            outgoing.push_front(Outgoing::Heartbeat);
        }
        self.enqueue(now, Vec::new());
        None
    }

    /// Returns all leases: the process is asked to stop, or its time is up. A worker that was
    /// draining does not finish its trials then.
    pub fn stop(&mut self, now: Instant, exit: Exit) {
        self.stopping = true;
        self.leave(exit);
        self.enqueue(now, Vec::new());
    }

    /// Asks the trainer to return all leases, and takes no more.
    fn leave(&mut self, exit: Exit) {
        self.leaving.get_or_insert(exit);
        self.request.withdraw();
        self.ledger.cancel_all();
    }

    /// Puts an unsent request and then these reports on the stream, if there is one.
    fn enqueue(&mut self, now: Instant, reports: Vec<u64>) {
        self.check_stay(now);
        let Some(outgoing) = &mut self.outgoing else { return };
        // A request is withdrawn before leases are returned, or they would come back.
        outgoing.extend(self.request.take_unsent(self.ledger.running()).map(Outgoing::Ask));
        outgoing.extend(reports.into_iter().map(Outgoing::Report));
    }

    /// Drains a worker that has no time for another trial, or has had none for too long.
    fn check_stay(&mut self, now: Instant) {
        if self.outgoing.is_none() || !self.ledger.is_empty() || !self.request.is_open() {
            self.stay.busy(now);
        }
        if self.leaving.is_some() || self.outgoing.is_none() {
            return;
        }
        let (exit, reason) = if self.stay.is_too_late(now) {
            (Exit::OutOfTime, "another one would not end in time")
        } else if self.stay.is_idle(now) {
            (Exit::Done, "there was none for too long")
        } else {
            return;
        };
        info!("no more trials: {reason}");
        self.leaving = Some(exit);
        self.request.withdraw();
    }

    /// Whether a message waits for room on the stream.
    pub fn has_outgoing(&self) -> bool {
        self.outgoing.as_ref().is_some_and(|outgoing| !outgoing.is_empty())
    }

    /// The next message to send; `None` in place of a report that has been acknowledged meanwhile.
    ///
    /// # Errors
    /// A report cannot be read back from the disk.
    pub fn next_message(&mut self) -> Result<Option<v1::WorkerMessage>, String> {
        let Some(outgoing) = &mut self.outgoing else { return Ok(None) };
        let kind = match outgoing.pop_front() {
            None => return Ok(None),
            Some(Outgoing::Report(sequence)) => {
                let message = self.ledger.outbox.message(sequence);
                return message
                    .map_err(|error| format!("cannot read back report {sequence}: {error}"));
            }
            Some(Outgoing::Ask(capacity)) => Kind::Ask(capacity.into()),
            Some(Outgoing::Heartbeat) => {
                let unsent = outgoing.iter().find_map(|outgoing| match outgoing {
                    Outgoing::Report(sequence) => Some(*sequence),
                    Outgoing::Ask(_) | Outgoing::Heartbeat => None,
                });
                Kind::Heartbeat(self.ledger.heartbeat(unsent))
            }
        };
        Ok(Some(v1::WorkerMessage { sequence: 0, kind: Some(kind) }))
    }

    /// The exit, once the worker wants to leave, holds no lease and has no report left.
    pub fn take_exit(&mut self) -> Option<Exit> {
        self.leaving.take_if(|_| self.ledger.is_empty())
    }

    /// Whether reports of the trainer are read: not while the outbox is full.
    pub fn accepts_reports(&self) -> bool {
        !self.broken && !self.ledger.outbox.is_full()
    }

    /// Whether the trainer was asked to return all leases.
    pub fn is_stopping(&self) -> bool {
        self.stopping
    }

    /// When the worker's time is up.
    pub fn deadline(&self) -> Option<Instant> {
        self.stay.end()
    }

    /// Leases that are worked on or whose reports wait.
    pub fn held(&self) -> Vec<LeaseId> {
        self.ledger.held()
    }

    /// The numbers of reports that are not acknowledged, in order.
    pub fn unacknowledged(&self) -> impl Iterator<Item = u64> {
        self.ledger.outbox.sequences()
    }
}
