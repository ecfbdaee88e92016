//! Whether the trainer still reacts. Pure: time is an argument.
//!
//! A lease whose step stands still expires, and the coordinator revokes it. A trainer that hangs
//! does not notice, and would hold its device for ever, doing nothing. So a process ends whose
//! trainer is silent for as long as the coordinator waits for a step.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use swfn_shared::ids::LeaseId;

/// Leases that were revoked and that the trainer has not let go of.
#[derive(Debug)]
pub(crate) struct Watchdog {
    revoked: BTreeSet<LeaseId>,
    /// Time of the trainer's last report, or of the last revocation.
    since: Instant,
}

impl Watchdog {
    pub(crate) fn new(now: Instant) -> Self {
        Self { revoked: BTreeSet::new(), since: now }
    }

    /// Notes that the trainer was told to abandon a lease.
    pub(crate) fn revoked(&mut self, now: Instant, lease: LeaseId) {
        self.revoked.insert(lease);
        self.since = now;
    }

    /// Notes a report of the trainer.
    pub(crate) fn heard(&mut self, now: Instant) {
        self.since = now;
    }

    /// Notes that the trainer let go of a lease.
    pub(crate) fn ended(&mut self, lease: LeaseId) {
        self.revoked.remove(&lease);
    }

    /// Whether the trainer has been silent for `limit`, though it was told to stop.
    pub(crate) fn is_hung(&self, now: Instant, limit: Duration) -> bool {
        !self.revoked.is_empty() && now.saturating_duration_since(self.since) >= limit
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_silence_after_a_revocation_counts() {
        let lease =
            LeaseId { trial: "0123456789abcdef0123456789abcdef".parse().unwrap(), attempt: 1 };
        let start = Instant::now();
        let (limit, at) = (Duration::from_secs(10), |seconds| start + Duration::from_secs(seconds));
        let mut watchdog = Watchdog::new(start);
        assert!(!watchdog.is_hung(at(1_000), limit), "it may have nothing to do");
        watchdog.revoked(at(1_000), lease);
        assert!(!watchdog.is_hung(at(1_009), limit));
        watchdog.heard(at(1_009));
        assert!(!watchdog.is_hung(at(1_018), limit) && watchdog.is_hung(at(1_019), limit));
        watchdog.ended(lease);
        assert!(!watchdog.is_hung(at(2_000), limit));
    }
}
