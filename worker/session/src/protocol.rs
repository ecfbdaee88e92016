//! The worker's half of the protocol: what it says in answer to what it hears, and when it leaves. Pure: no clock, no
//! socket, no thread; time is an argument. The session carries it out on a stream, the simulation in virtual time.

use std::{
    collections::{HashSet, VecDeque},
    time::{Duration, Instant},
};

use swfn_proto::v1::{self, coordinator_message, worker_message::Kind};
use swfn_shared::{
    artifacts::Artifacts,
    capacity::Capacity,
    faults,
    ids::{LeaseId, TrialId},
    wire::{self, WireError},
};
use tracing::{info, warn};

use crate::{
    hung::Watchdog,
    ledger::{End, Ledger},
    messages::{Exit, Order, Report},
    outbox::OutboxLimits,
    stay::{Stay, StayLimits},
    wishes::Wishes,
};

/// What is to be sent on this stream. Reports are read when their turn comes: there may be more of them than memory holds.
#[derive(Debug, PartialEq)]
enum Outgoing {
    Report(u64),
    Ask(Capacity),
    Heartbeat,
}

/// What follows from a message of the coordinator, outside of the protocol.
#[derive(Debug, Default)]
pub struct Heard {
    /// Trials for the trainer.
    pub orders: Vec<Order>,
    /// Trials whose end the coordinator has on its disk, and that nobody will try again.
    pub settled: Vec<TrialId>,
}

/// Leases, reports and wishes of one worker process, over all of its streams.
#[derive(Debug)]
pub struct Protocol {
    ledger: Ledger,
    wishes: Wishes,
    watchdog: Watchdog,
    stay: Stay,
    /// Leases that the hello of this stream names and that have not been confirmed or revoked yet.
    unconfirmed: Vec<LeaseId>,
    /// What waits for room on the stream; `None`: there is no stream.
    outgoing: Option<VecDeque<Outgoing>>,
    /// So long may the trainer be silent after it was told to stop; 0: for ever.
    stall: Duration,
    /// Why no more trials are wanted, once that is so.
    leaving: Option<Exit>,
    /// The sweep has ended: nobody misses what is not acknowledged.
    over: bool,
    /// What is held was asked back.
    stopping: bool,
    /// The trainer has said its last word.
    broken: bool,
}

impl Protocol {
    /// A process that begins.
    pub fn new(outbox: OutboxLimits, stay: StayLimits, now: Instant) -> Self {
        Self {
            ledger: Ledger::new(outbox),
            wishes: Wishes::default(),
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

    /// A stream begins: the coordinator has welcomed this worker. All that was not acknowledged is sent again.
    pub fn welcomed(&mut self, now: Instant, welcome: &v1::Welcome) {
        self.stall = Duration::from_secs(welcome.stall_seconds.into());
        let again = !faults::bug("reports-are-not-sent-again");
        self.outgoing =
            Some(self.ledger.unacknowledged().filter(|_| again).map(Outgoing::Report).collect());
        self.ledger.forget_grants();
        self.wishes.forgotten();
        // Without a coordinator it had no work and did not idle.
        self.stay.busy(now);
        self.say(now, Vec::new());
    }

    /// The stream is lost. The exit, if the coordinator may be gone before it has heard the goodbye.
    pub fn lost(&mut self) -> Option<Exit> {
        self.outgoing = None;
        let exit = self.leaving.take_if(|_| self.over || self.ledger.is_empty());
        if exit.is_none() && faults::bug("reports-end-with-the-stream") {
            self.ledger.acknowledge(u64::MAX);
        }
        exit
    }

    /// Does as the coordinator says.
    pub fn obey(&mut self, now: Instant, message: coordinator_message::Kind) -> Heard {
        let (mut heard, mut reports) = (Heard::default(), Vec::new());
        match message {
            coordinator_message::Kind::Welcome(_) => {}
            coordinator_message::Kind::Grant(grant) => {
                for lease in grant.leases {
                    match self.take(now, lease) {
                        Ok(order) => heard.orders.extend(order),
                        Err(released) => reports.extend(released),
                    }
                }
            }
            coordinator_message::Kind::Acknowledge(acknowledge) => {
                heard.settled = self.ledger.acknowledge(acknowledge.through);
            }
            coordinator_message::Kind::Revoke(_) | coordinator_message::Kind::Confirm(_)
                if faults::bug("revocations-are-ignored") => {}
            coordinator_message::Kind::Revoke(revoke) => {
                if let Ok(lease) = wire::lease(revoke.lease) {
                    self.revoke(now, lease, &revoke.reason);
                }
            }
            coordinator_message::Kind::Confirm(confirm) => {
                let confirmed: HashSet<_> = confirm
                    .leases
                    .into_iter()
                    .filter_map(|id| LeaseId::try_from(id).ok())
                    .collect();
                for lease in std::mem::take(&mut self.unconfirmed) {
                    if !confirmed.contains(&lease) {
                        self.revoke(now, lease, "the coordinator does not know it");
                    }
                }
            }
            coordinator_message::Kind::Drain(drain) => {
                info!("no more trials: {}", drain.reason);
                // What is held ends in its own time.
                self.leaving.get_or_insert(Exit::Done);
                self.over |= drain.finished;
                self.wishes.withdraw();
            }
        }
        self.say(now, reports);
        heard
    }

    fn revoke(&mut self, now: Instant, lease: LeaseId, reason: &str) {
        self.unconfirmed.retain(|named| *named != lease);
        warn!(%lease, "lease revoked: {reason}");
        match self.ledger.revoke(lease) {
            Some(true) => {
                self.watchdog.revoked(now, lease);
                self.wishes.doubt();
            }
            // The trainer has said what it wants since, and the coordinator may have dropped that.
            Some(false) => self.wishes.repeat(),
            None => {}
        }
    }

    /// A granted lease: an order for the trainer if there is anything to train, or the reports that give it back.
    fn take(&mut self, now: Instant, lease: v1::Lease) -> Result<Option<Order>, Vec<u64>> {
        let Ok(id) = wire::lease(lease.id) else {
            warn!("a lease without an id was granted");
            return Ok(None);
        };
        let spec = wire::trial(id, &lease.spec);
        let artifacts: Artifacts = lease.artifacts.unwrap_or_default().into();
        let Some(cancel) = self.ledger.grant(id) else {
            warn!(lease = %id, "a lease was granted that was granted before");
            return Ok(None);
        };
        // The grant and the wish to leave crossed.
        if self.leaving.is_some() {
            return Err(self.ledger.end(id, End::Released));
        }
        match spec {
            Ok(spec) => {
                self.wishes.granted(spec.shape());
                self.stay.granted(now, id);
                return Ok(Some(Order { lease: id, spec, artifacts, cancel }));
            }
            Err(error) => self.misunderstood(id, &error),
        }
        Ok(None)
    }

    /// A lease that makes no sense means that both sides differ in version: nothing good can come of going on.
    fn misunderstood(&mut self, lease: LeaseId, problem: &WireError) {
        self.ledger.revoke(lease);
        self.leave(Exit::Hopeless(format!(
            "lease `{lease}` cannot be understood: {problem}\nhint: run the same version of swfn on both sides"
        )));
    }

    /// Takes what the trainer says.
    pub fn absorb(&mut self, now: Instant, report: Report) {
        self.watchdog.heard(now);
        let reports = match report {
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
                self.watchdog.ended(lease);
                self.stay.ended(now, lease);
                self.ledger.end(lease, end)
            }
            Report::Broken { error, retry } => {
                self.broken = true;
                self.leave(if retry { Exit::Broken(error) } else { Exit::Hopeless(error) });
                self.ledger.release_all()
            }
        };
        self.say(now, reports);
    }

    /// Points have waited for long enough to become a report.
    pub fn flush(&mut self, now: Instant) {
        let reports = self.ledger.flush();
        self.say(now, reports);
    }

    /// It is time for a sign of life. The exit, if the trainer hangs.
    pub fn beat(&mut self, now: Instant) -> Option<Exit> {
        if self.ledger.is_full() {
            // It is not listened to.
            self.watchdog.heard(now);
        }
        let stall = self.stall;
        if stall > Duration::ZERO && self.watchdog.is_hung(now, stall) {
            let text =
                format!("the trainer has been silent for {stall:?} and was told to stop: it hangs");
            return Some(Exit::Broken(text));
        }
        // One that has not left yet will say what is true when it leaves. Before all reports: leases must not expire
        // while those wait.
        if let Some(outgoing) = &mut self.outgoing
            && outgoing.front() != Some(&Outgoing::Heartbeat)
        {
            outgoing.push_front(Outgoing::Heartbeat);
        }
        self.say(now, Vec::new());
        None
    }

    /// The process is asked to stop, or its time is up: what is held goes back. Also one that was to finish what it
    /// holds: nobody waits for that now.
    pub fn stop(&mut self, now: Instant, exit: Exit) {
        self.stopping = true;
        self.leave(exit);
        self.say(now, Vec::new());
    }

    /// No more trials; what is held is given up as soon as the trainer notices.
    fn leave(&mut self, exit: Exit) {
        self.leaving.get_or_insert(exit);
        self.wishes.withdraw();
        self.ledger.cancel_all();
    }

    /// Puts reports on the stream, if there is one, and before them what has become of the wishes.
    fn say(&mut self, now: Instant, reports: Vec<u64>) {
        self.mind_the_time(now);
        let Some(outgoing) = &mut self.outgoing else { return };
        // First: a wish is withdrawn before leases are given back, or they would come again.
        outgoing.extend(self.wishes.ask(self.ledger.running()).map(Outgoing::Ask));
        outgoing.extend(reports.into_iter().map(Outgoing::Report));
    }

    /// Who has no time for another trial, or has had none for too long, leaves; what is held ends first.
    fn mind_the_time(&mut self, now: Instant) {
        if self.outgoing.is_none() || !self.ledger.is_empty() || !self.wishes.stand() {
            self.stay.busy(now);
        }
        let (exit, reason) = if self.stay.is_too_late(now) {
            (Exit::OutOfTime, "another one would not end in time")
        } else if self.stay.is_idle(now) {
            (Exit::Done, "there was none for too long")
        } else {
            return;
        };
        if self.leaving.is_none() && self.outgoing.is_some() {
            info!("no more trials: {reason}");
            self.leaving = Some(exit);
            self.wishes.withdraw();
        }
    }

    /// Whether anything waits for room on the stream.
    pub fn has_news(&self) -> bool {
        self.outgoing.as_ref().is_some_and(|outgoing| !outgoing.is_empty())
    }

    /// What is to be sent next. `None` in place of a report that has been acknowledged meanwhile.
    ///
    /// # Errors
    /// A report that cannot be read back from the disk.
    pub fn next_message(&mut self) -> Result<Option<v1::WorkerMessage>, String> {
        let Some(outgoing) = &mut self.outgoing else { return Ok(None) };
        let kind = match outgoing.pop_front() {
            None => return Ok(None),
            Some(Outgoing::Report(sequence)) => {
                let unreadable = |error| format!("report {sequence} cannot be read back: {error}");
                return self.ledger.report(sequence).map_err(unreadable);
            }
            Some(Outgoing::Ask(room)) => Kind::Ask(room.into()),
            Some(Outgoing::Heartbeat) => {
                let report = |outgoing: &Outgoing| match outgoing {
                    Outgoing::Report(number) => Some(*number),
                    Outgoing::Ask(_) | Outgoing::Heartbeat => None,
                };
                let unsent = outgoing.iter().find_map(report);
                Kind::Heartbeat(self.ledger.heartbeat(unsent))
            }
        };
        Ok(Some(v1::WorkerMessage { sequence: 0, kind: Some(kind) }))
    }

    /// The exit, when it wants to leave and nothing is held or waits.
    pub fn done(&mut self) -> Option<Exit> {
        self.leaving.take_if(|_| self.ledger.is_empty())
    }

    /// Whether the trainer is heard: not while reports fill the outbox.
    pub fn listens(&self) -> bool {
        !self.broken && !self.ledger.is_full()
    }

    /// Whether what is held was asked back.
    pub fn is_stopping(&self) -> bool {
        self.stopping
    }

    /// When its time is up.
    pub fn end(&self) -> Option<Instant> {
        self.stay.end()
    }

    /// Leases that are worked on or whose reports wait.
    pub fn held(&self) -> Vec<LeaseId> {
        self.ledger.held()
    }

    /// The numbers of reports that wait for their acknowledgement, in order.
    pub fn unacknowledged(&self) -> impl Iterator<Item = u64> {
        self.ledger.unacknowledged()
    }
}
