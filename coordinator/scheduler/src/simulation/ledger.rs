//! What a worker process holds, wants and has not had acknowledged: `session/ledger.rs` and `session/wish.rs` of the worker, in short.

use std::collections::{BTreeMap, VecDeque};

use swfn_shared::{
    capacity::Capacity,
    ids::{Attempt, LeaseId, ShapeId, TrialId},
};

use super::{
    super::FailureKind,
    message::{Message, Said},
};

/// How a lease ended.
#[derive(Debug, Clone, Copy)]
pub(super) enum End {
    Succeeded,
    Failed(FailureKind),
    Released,
}

#[derive(Debug, Default)]
struct Held {
    step: u64,
    points: Vec<u64>,
    /// The number of the report that says that it ended.
    end: Option<u64>,
}

/// Leases and reports.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    leases: BTreeMap<LeaseId, Held>,
    outbox: VecDeque<(u64, Said)>,
    last: u64,
    /// The newest attempt of each trial that was granted on this stream.
    granted: BTreeMap<TrialId, Attempt>,
}

impl Ledger {
    pub(super) fn forget_grants(&mut self) {
        self.granted.clear();
    }

    /// False if it was granted before.
    pub(super) fn grant(&mut self, lease: LeaseId) -> bool {
        let newest = self.granted.entry(lease.trial).or_default();
        let new = lease.attempt > *newest && !self.leases.contains_key(&lease);
        if new {
            *newest = lease.attempt;
            self.leases.insert(lease, Held::default());
        }
        new
    }

    pub(super) fn revoke(&mut self, lease: LeaseId) {
        self.leases.remove(&lease);
    }

    pub(super) fn progress(&mut self, lease: LeaseId, step: u64) {
        if let Some(held) = self.leases.get_mut(&lease) {
            held.step = held.step.max(step);
            held.points.push(step);
        }
    }

    pub(super) fn flush(&mut self) -> Vec<Message> {
        let leases: Vec<_> = self.held();
        leases.into_iter().filter_map(|lease| self.flush_one(lease)).collect()
    }

    fn flush_one(&mut self, lease: LeaseId) -> Option<Message> {
        let steps = std::mem::take(&mut self.leases.get_mut(&lease)?.points);
        (!steps.is_empty()).then(|| self.report(Said::Points { lease, steps }))
    }

    pub(super) fn end(&mut self, lease: LeaseId, end: End) -> Vec<Message> {
        if !self.leases.contains_key(&lease) {
            return Vec::new();
        }
        let mut reports: Vec<_> = self.flush_one(lease).into_iter().collect();
        let said = match end {
            End::Succeeded => Said::Succeeded { lease },
            End::Failed(kind) => Said::Failed { lease, kind },
            End::Released => Said::Released { lease },
        };
        reports.push(self.report(said));
        if let Some(held) = self.leases.get_mut(&lease) {
            held.end = Some(self.last);
        }
        reports
    }

    pub(super) fn release_all(&mut self) -> Vec<Message> {
        self.running().into_iter().flat_map(|lease| self.end(lease, End::Released)).collect()
    }

    fn report(&mut self, said: Said) -> Message {
        self.last += 1;
        self.outbox.push_back((self.last, said.clone()));
        Message { sequence: self.last, said }
    }

    /// Reports that an acknowledgement up to this number would let go of.
    pub(super) fn waiting(&self, through: u64) -> impl Iterator<Item = &(u64, Said)> {
        self.outbox.iter().filter(move |(sequence, _)| *sequence <= through)
    }

    pub(super) fn acknowledge(&mut self, through: u64) {
        self.outbox.retain(|(sequence, _)| *sequence > through);
        self.leases.retain(|_, held| held.end.is_none_or(|report| report > through));
    }

    pub(super) fn unacknowledged(&self) -> Vec<Message> {
        self.outbox.iter().map(|(sequence, said)| Message { sequence: *sequence, said: said.clone() }).collect()
    }

    /// Leases that are worked on or whose reports wait.
    pub(super) fn held(&self) -> Vec<LeaseId> {
        self.leases.keys().copied().collect()
    }

    /// Leases that are worked on.
    pub(super) fn running(&self) -> Vec<LeaseId> {
        self.leases.iter().filter(|(_, held)| held.end.is_none()).map(|(lease, _)| *lease).collect()
    }

    pub(super) fn heartbeat(&self) -> Said {
        let running = self.leases.iter().filter(|(_, held)| held.end.is_none());
        Said::Heartbeat { progress: running.map(|(lease, held)| (*lease, held.step)).collect() }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.leases.is_empty() && self.outbox.is_empty()
    }
}

/// The latest wish, as far as it is not fulfilled.
#[derive(Debug, Default)]
pub(super) struct Wishes {
    pub(super) wish: Option<Capacity>,
    unsaid: bool,
}

impl Wishes {
    pub(super) fn say(&mut self, wish: Capacity) {
        let wish = Some(wish).filter(|wish| wish.lanes > 0);
        self.unsaid |= wish != self.wish;
        self.wish = wish;
    }

    pub(super) fn granted(&mut self, shape: ShapeId) {
        if let Some(wish) = &mut self.wish {
            wish.lanes -= 1;
            wish.shape = Some(shape);
        }
        self.wish.take_if(|wish| wish.lanes == 0);
    }

    pub(super) fn withdraw(&mut self) {
        (self.wish, self.unsaid) = (None, true);
    }

    /// A new stream begins: nothing was asked on it yet.
    pub(super) fn forgotten(&mut self) {
        self.unsaid = self.wish.is_some();
    }

    pub(super) fn ask(&mut self, running: usize) -> Option<Said> {
        let wish = || self.wish.clone().map(|wish| wish.with_held(running)).unwrap_or_default();
        std::mem::take(&mut self.unsaid).then(|| Said::Ask(wish()))
    }
}
