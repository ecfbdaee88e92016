//! A worker process: the protocol of `swfn-session` around a trainer, and the rules for it.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Instant,
};

use swfn_proto::v1::{self, worker_message::Kind};
use swfn_session::{Exit, OutboxLimits, Protocol, Report, StayLimits};
use swfn_shared::ids::{LeaseId, TrialId, WorkerId};

use super::{
    message::{Downward, Hello},
    oracle::{Broken, hold},
    plan::{SlotPlan, Subject},
    trainer::{Fate, Trainer},
    wire,
};

#[derive(Debug)]
pub(super) struct Process {
    pub(super) id: WorkerId,
    predecessor: Option<WorkerId>,
    pub(super) protocol: Protocol,
    trainer: Trainer,
    /// Leases that the hello of this stream names and that are neither confirmed nor revoked yet.
    unconfirmed: Vec<LeaseId>,
    /// The leases that it held when it began to leave: it may finish them, but begin none.
    last: Option<BTreeSet<LeaseId>>,
    /// All reports that it has sent, with the lease that each ends, and whether by a success; and
    /// those sent on this stream.
    reports: BTreeMap<u64, Option<(LeaseId, bool)>>,
    sent: BTreeSet<u64>,
    /// The lanes that it has asked for on this stream.
    asked: u32,
    /// The stream is open, and the coordinator has welcomed it.
    pub(super) connected: bool,
    /// Whether the trainer is broken.
    pub(super) broken: bool,
    /// Whether a stream was ever open: the next process names this one as its predecessor.
    pub(super) welcomed: bool,
    /// Whether it ends in order.
    pub(super) done: bool,
}

impl Process {
    pub(super) fn new(
        id: WorkerId,
        predecessor: Option<WorkerId>,
        plan: SlotPlan,
        stay: StayLimits,
        now: Instant,
    ) -> Self {
        // Reports are small: none goes to the disk.
        let outbox = OutboxLimits::in_folder(std::env::temp_dir());
        Self {
            id,
            predecessor,
            protocol: Protocol::new(outbox, stay, now),
            trainer: Trainer::new(plan.lanes, plan.ahead),
            unconfirmed: Vec::new(),
            last: None,
            reports: BTreeMap::new(),
            sent: BTreeSet::new(),
            asked: 0,
            connected: false,
            broken: false,
            welcomed: false,
            done: false,
        }
    }

    pub(super) fn hello(&mut self) -> Result<Hello, Broken> {
        let held = self.protocol.hello();
        hold!(held == self.protocol.held(), "{} names {held:?} of what it holds", self.id);
        self.unconfirmed.clone_from(&held);
        Ok(Hello { worker: self.id.clone(), predecessor: self.predecessor.clone(), held })
    }

    /// Records that there is no stream. Returns the exit, if it ends with it.
    pub(super) fn lost(&mut self) -> Option<Exit> {
        self.connected = false;
        self.protocol.end_stream()
    }

    /// Whether it is leaving.
    pub(super) fn is_leaving(&self) -> bool {
        self.last.is_some()
    }

    /// Whether it could train any trial and has none.
    pub(super) fn is_idle(&self) -> bool {
        let waits = self.connected && !self.is_leaving() && !self.broken;
        waits && self.trainer.wants_any() && self.protocol.held().is_empty()
    }

    /// The reports up to this number, with the lease that each ends.
    pub(super) fn waiting(
        &self,
        through: u64,
    ) -> impl Iterator<Item = (u64, Option<(LeaseId, bool)>)> {
        let waiting =
            self.protocol.unacknowledged().take_while(move |sequence| *sequence <= through);
        waiting.map(|sequence| (sequence, self.reports.get(&sequence).copied().flatten()))
    }

    /// Takes a message of the coordinator. Returns the leases that it learned are over.
    pub(super) fn obey(&mut self, now: Instant, answer: Downward) -> Result<Vec<LeaseId>, Broken> {
        let mut over = Vec::new();
        let mut left = None;
        match &answer {
            Downward::Welcome(welcome) => {
                (self.connected, self.welcomed, self.asked) = (true, true, 0);
                self.sent.clear();
                self.protocol.begin_stream(now, welcome);
                return Ok(over);
            }
            Downward::Grant(_) => {}
            Downward::Acknowledge(v1::Acknowledge { through }) => {
                left = Some(
                    self.protocol
                        .unacknowledged()
                        .filter(|sequence| sequence > through)
                        .collect::<Vec<_>>(),
                );
            }
            Downward::Revoke(revoke) => over.push(wire::lease(revoke.lease.clone())),
            Downward::Confirm(confirm) => {
                let confirmed: BTreeSet<_> =
                    confirm.leases.iter().map(|lease| wire::lease(Some(lease.clone()))).collect();
                over.extend(
                    std::mem::take(&mut self.unconfirmed)
                        .into_iter()
                        .filter(|named| !confirmed.contains(named)),
                );
            }
            Downward::Drain(_) => self.begin_to_leave(),
        }
        self.unconfirmed.retain(|lease| !over.contains(lease));
        let heard = self.protocol.handle_message(now, answer);
        if let Some(left) = left {
            hold!(
                self.protocol.unacknowledged().eq(left.iter().copied()),
                "{} keeps other reports than {left:?}",
                self.id
            );
            self.reports.retain(|sequence, _| left.first().is_some_and(|first| sequence >= first));
        }
        let held = self.protocol.held();
        for lease in &over {
            hold!(
                !held.contains(lease),
                "{} goes on with {lease:?}, which it was told is over",
                self.id
            );
        }
        heard.orders.into_iter().for_each(|order| self.trainer.order(order));
        Ok(over)
    }

    fn begin_to_leave(&mut self) {
        let held = || self.protocol.held().into_iter().collect();
        self.last.get_or_insert_with(held);
    }

    /// Whether it waits for the confirmation of its leases.
    pub(super) fn is_unconfirmed(&self) -> bool {
        !self.unconfirmed.is_empty()
    }

    /// Checks that the trainer works on leases that the process holds, each once, and on no new one
    /// if it is leaving.
    pub(super) fn check_work(&self) -> Result<(), Broken> {
        let held: BTreeSet<_> = self.protocol.held().into_iter().collect();
        let mut seen = BTreeSet::new();
        // A broken trainer works on nothing.
        for lease in self.trainer.leases().filter(|_| !self.broken) {
            hold!(
                held.contains(&lease),
                "{} works on {lease:?}, which is not its own any more",
                self.id
            );
            let begun = self.last.as_ref().is_some_and(|last| !last.contains(&lease));
            hold!(!begun, "{} has begun {lease:?} after it was told to leave", self.id);
            hold!(seen.insert(lease), "{} works on {lease:?} twice", self.id);
        }
        Ok(())
    }

    /// Runs a turn of its trainer. `flush`: collected points become a report.
    pub(super) fn turn(
        &mut self,
        now: Instant,
        subjects: &mut BTreeMap<TrialId, Subject>,
        flush: bool,
    ) -> Fate {
        if self.broken {
            return Fate::Goes;
        }
        let (reports, fate) = self.trainer.turn(subjects);
        reports.into_iter().for_each(|report| self.protocol.handle_report(now, report));
        if flush {
            self.protocol.flush(now);
        }
        fate
    }

    /// Its next messages, as far as the stream takes them.
    pub(super) fn next_messages(&mut self, room: usize) -> Result<Vec<v1::WorkerMessage>, Broken> {
        let mut messages = Vec::new();
        while messages.len() < room && self.protocol.has_outgoing() {
            messages.extend(self.protocol.next_message().map_err(Broken)?);
        }
        for message in &messages {
            match &message.kind {
                Some(Kind::Ask(ask)) => self.asked = ask.lanes,
                Some(kind) if message.sequence > 0 => {
                    self.reports.insert(message.sequence, wire::ended(kind));
                    self.sent.insert(message.sequence);
                }
                _ => {}
            }
        }
        if !self.protocol.has_outgoing() {
            let unsent: Vec<_> = self
                .protocol
                .unacknowledged()
                .filter(|number| !self.sent.contains(number))
                .collect();
            hold!(unsent.is_empty(), "{} does not send {unsent:?} on this stream", self.id);
            let ended = self.reports.values().flatten().map(|(lease, _)| *lease);
            let known: BTreeSet<_> = self.trainer.leases().chain(ended).collect();
            let lost = self.protocol.held().into_iter().find(|lease| !known.contains(lease));
            hold!(
                lost.is_none(),
                "{} holds {lost:?}, which it neither works on nor has given back",
                self.id
            );
            let asks = self.is_leaving() && self.asked > 0;
            hold!(!asks, "{} asks for {} lanes, and was told to leave", self.id, self.asked);
        }
        Ok(messages)
    }

    /// Stops: held leases are returned when the trainer notices.
    pub(super) fn leave(&mut self, now: Instant, exit: Exit) {
        self.begin_to_leave();
        self.protocol.stop(now, exit);
    }

    /// Breaks the trainer of this process.
    pub(super) fn break_down(&mut self, now: Instant) {
        self.begin_to_leave();
        self.broken = true;
        self.protocol.handle_report(
            now,
            Report::Broken { error: "a test breaks it".to_owned(), retry: true },
        );
    }
}

/// The last message.
pub(super) fn goodbye() -> v1::WorkerMessage {
    v1::WorkerMessage { sequence: 0, kind: Some(Kind::Goodbye(v1::Goodbye {})) }
}
