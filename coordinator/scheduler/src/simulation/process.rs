//! A worker process: the session of `session/run.rs` of the worker around its ledger and its trainer.

use std::collections::{BTreeMap, BTreeSet};

use swfn_shared::ids::{LeaseId, TrialId, WorkerId};

use super::{
    ledger::{Ledger, Wishes},
    message::{Downward, Hello, Message, Said},
    oracle::{Broken, hold},
    plan::{SlotPlan, Subject},
    trainer::{Fate, Report, Stop, Trainer},
};

#[derive(Debug)]
pub(super) struct Process {
    pub(super) id: WorkerId,
    predecessor: Option<WorkerId>,
    ledger: Ledger,
    wishes: Wishes,
    trainer: Trainer,
    cancelled: BTreeMap<LeaseId, Stop>,
    /// Leases that the hello of this stream names and that have not been confirmed or revoked yet.
    unconfirmed: Vec<LeaseId>,
    /// What it held when it learnt that it is to leave: it may finish that, and begin nothing.
    last: BTreeSet<LeaseId>,
    /// The stream is open, and the coordinator has welcomed it.
    pub(super) connected: bool,
    pub(super) leaving: bool,
    /// The trainer has said its last word.
    pub(super) broken: bool,
    /// A stream was open at some time: the next process names this one as its predecessor.
    pub(super) welcomed: bool,
}

impl Process {
    pub(super) fn new(id: WorkerId, predecessor: Option<WorkerId>, plan: SlotPlan) -> Self {
        Self {
            id,
            predecessor,
            ledger: Ledger::default(),
            wishes: Wishes::default(),
            trainer: Trainer::new(plan.lanes, plan.ahead),
            cancelled: BTreeMap::new(),
            unconfirmed: Vec::new(),
            last: BTreeSet::new(),
            connected: false,
            leaving: false,
            broken: false,
            welcomed: false,
        }
    }

    pub(super) fn hello(&mut self) -> Hello {
        self.unconfirmed = self.ledger.held();
        Hello { worker: self.id.clone(), predecessor: self.predecessor.clone(), held: self.ledger.held() }
    }

    /// Whether nothing is held and nothing wanted: it says goodbye and ends.
    pub(super) fn is_done(&self) -> bool {
        self.leaving && self.ledger.is_empty()
    }

    /// Whether it could do with any trial and has none.
    pub(super) fn is_idle(&self) -> bool {
        let wants_any = self.wishes.wish.as_ref().is_some_and(|wish| wish.shape.is_none());
        self.connected && !self.leaving && !self.broken && wants_any && self.ledger.held().is_empty()
    }

    /// Reports that an acknowledgement up to this number would let go of.
    pub(super) fn waiting(&self, through: u64) -> impl Iterator<Item = &(u64, Said)> {
        self.ledger.waiting(through)
    }

    pub(super) fn heartbeat(&self) -> Message {
        Message { sequence: 0, said: self.ledger.heartbeat() }
    }

    /// An ask goes first: a wish is withdrawn before leases are given back.
    fn with_ask(&mut self, messages: Vec<Message>) -> Vec<Message> {
        let ask = if self.connected { self.wishes.ask(self.ledger.running().len()) } else { None };
        ask.into_iter().map(|said| Message { sequence: 0, said }).chain(messages).collect()
    }

    /// What is said at the beginning of a stream.
    fn converse(&mut self) -> Vec<Message> {
        (self.connected, self.welcomed) = (true, true);
        let reports = self.ledger.unacknowledged();
        self.ledger.forget_grants();
        self.wishes.forgotten();
        let asks = self.with_ask(Vec::new());
        reports.into_iter().chain(asks).collect()
    }

    /// Does as the coordinator says. `subjects` tell the shape of what is granted.
    pub(super) fn obey(&mut self, message: Downward, subjects: &BTreeMap<TrialId, Subject>) -> Vec<Message> {
        let messages = match message {
            Downward::Welcome => return self.converse(),
            Downward::Grant(leases) => leases.into_iter().flat_map(|lease| self.take(lease, subjects)).collect(),
            Downward::Acknowledge(through) => {
                self.ledger.acknowledge(through);
                Vec::new()
            }
            Downward::Revoke(lease) => {
                self.revoke(lease);
                Vec::new()
            }
            Downward::Confirm(confirmed) => {
                let unconfirmed = std::mem::take(&mut self.unconfirmed).into_iter();
                unconfirmed.filter(|lease| !confirmed.contains(lease)).for_each(|lease| self.revoke(lease));
                Vec::new()
            }
            Downward::Drain => {
                self.leave_for_good();
                self.wishes.withdraw();
                Vec::new()
            }
        };
        self.with_ask(messages)
    }

    fn revoke(&mut self, lease: LeaseId) {
        self.unconfirmed.retain(|named| *named != lease);
        if self.ledger.held().contains(&lease) {
            self.cancelled.insert(lease, Stop::Abandon);
        }
        self.ledger.revoke(lease);
    }

    fn leave_for_good(&mut self) {
        if !self.leaving {
            self.leaving = true;
            self.last = self.ledger.held().into_iter().collect();
        }
    }

    /// Whether it waits to hear what is still its own.
    pub(super) fn is_unconfirmed(&self) -> bool {
        !self.unconfirmed.is_empty()
    }

    /// Of these leases those that an answer tells it are over: revoked, or named by its hello and not confirmed.
    pub(super) fn told_over(&self, answer: &Downward) -> Vec<LeaseId> {
        match answer {
            Downward::Revoke(lease) => vec![*lease],
            Downward::Confirm(confirmed) => {
                self.unconfirmed.iter().copied().filter(|lease| !confirmed.contains(lease)).collect()
            }
            Downward::Welcome | Downward::Grant(_) | Downward::Acknowledge(_) | Downward::Drain => Vec::new(),
        }
    }

    pub(super) fn holds(&self, lease: LeaseId) -> bool {
        self.ledger.held().contains(&lease)
    }

    /// After a turn the trainer works on what the process holds, and on nothing new if it is to leave.
    pub(super) fn check_work(&self) -> Result<(), Broken> {
        // A trainer that is broken works on nothing, whatever it had.
        for lease in self.trainer.leases().filter(|_| !self.broken) {
            hold!(self.holds(lease), "{} works on {lease:?}, which is not its own any more", self.id);
            let begun = self.leaving && !self.last.contains(&lease);
            hold!(!begun, "{} has begun {lease:?} after it was told to leave", self.id);
        }
        Ok(())
    }

    fn take(&mut self, lease: LeaseId, subjects: &BTreeMap<TrialId, Subject>) -> Vec<Message> {
        if !self.ledger.grant(lease) {
            return Vec::new();
        }
        self.cancelled.remove(&lease);
        if self.leaving {
            return self.ledger.end(lease, super::ledger::End::Released);
        }
        self.wishes.granted(subjects[&lease.trial].shape);
        self.trainer.order(lease);
        Vec::new()
    }

    /// A turn of its trainer. `flush`: points that have come together become a report.
    pub(super) fn turn(&mut self, subjects: &mut BTreeMap<TrialId, Subject>, flush: bool) -> (Vec<Message>, Fate) {
        if self.broken {
            return (Vec::new(), Fate::Goes);
        }
        let (reports, fate) = self.trainer.turn(subjects, &mut self.cancelled);
        let mut messages: Vec<_> = reports.into_iter().flat_map(|report| self.absorb(report)).collect();
        if flush {
            messages.extend(self.ledger.flush());
        }
        (messages, fate)
    }

    fn absorb(&mut self, report: Report) -> Vec<Message> {
        let messages = match report {
            Report::Wants(wish) => {
                if !self.leaving {
                    self.wishes.say(wish);
                }
                Vec::new()
            }
            Report::Progress { lease, step } => {
                self.ledger.progress(lease, step);
                Vec::new()
            }
            Report::Ended { lease, end } => self.ledger.end(lease, end),
        };
        self.with_ask(messages)
    }

    /// Asked to stop: what is held is given back when the trainer notices.
    pub(super) fn leave(&mut self) -> Vec<Message> {
        self.give_up();
        self.with_ask(Vec::new())
    }

    fn give_up(&mut self) {
        self.leave_for_good();
        self.wishes.withdraw();
        for lease in self.ledger.held() {
            self.cancelled.entry(lease).or_insert(Stop::GiveBack);
        }
    }

    /// The trainer cannot go on in this process.
    pub(super) fn break_down(&mut self) -> Vec<Message> {
        self.give_up();
        self.broken = true;
        let released = self.ledger.release_all();
        self.with_ask(released)
    }
}

/// The last word.
pub(super) fn goodbye() -> Message {
    Message { sequence: 0, said: Said::Goodbye }
}
