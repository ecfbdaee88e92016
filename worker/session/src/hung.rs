//! Whether the trainer still listens. Pure: time is an argument.
//!
//! A lease whose step stands still expires, and the coordinator revokes it. A trainer that hangs does not notice: it would hold its device
//! for ever, doing nothing. So when it says nothing for as long as the coordinator waits for a step, the process is given up.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use swfn_shared::ids::LeaseId;

/// Leases that were revoked and that the trainer has not let go of.
#[derive(Debug)]
pub(crate) struct Watchdog {
    revoked: BTreeSet<LeaseId>,
    /// When the trainer last said something, or was last told to stop.
    since: Instant,
}

impl Watchdog {
    pub(crate) fn new(now: Instant) -> Self {
        Self { revoked: BTreeSet::new(), since: now }
    }

    /// The trainer was told to abandon a lease.
    pub(crate) fn revoked(&mut self, now: Instant, lease: LeaseId) {
        self.revoked.insert(lease);
        self.since = now;
    }

    /// The trainer said something.
    pub(crate) fn heard(&mut self, now: Instant) {
        self.since = now;
    }

    /// It let go of a lease.
    pub(crate) fn ended(&mut self, lease: LeaseId) {
        self.revoked.remove(&lease);
    }

    /// Whether it has been silent for so long, though it was told to stop.
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
