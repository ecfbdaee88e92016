//! The end of a turn: answers leave only when everything is written.

use std::time::Duration;

use swfn_shared::{ids::WorkerId, quote::one_line};
use tracing::info;

use super::{Reply, Revoked, Turn};

/// Time between two attempts to write on a full disk.
const RETRY_PERIOD: Duration = Duration::from_millis(500);

/// The pause before the same is written again, if the write may work later: a disk is full, or does
/// not answer. Until then nothing is acknowledged: workers keep their reports, and flow control
/// holds them up. Otherwise the coordinator ends without an answer.
pub fn retry_after(may_work_later: bool, give_up: bool) -> Option<Duration> {
    (may_work_later && !give_up).then_some(RETRY_PERIOD)
}

impl Turn {
    /// Ends the turn. Its answers, in this order, wait until its writes are on the disk.
    pub fn commit(&mut self) -> Vec<(WorkerId, Reply)> {
        for (worker, Revoked { leases, first }) in std::mem::take(&mut self.revoked) {
            let reason = first.unwrap_or_default();
            let (reason, count) = (one_line(&reason), leases.len());
            match leases.iter().next() {
                Some(lease) if count == 1 => info!(%worker, %lease, "lease revoked: {reason}"),
                _ => info!(%worker, leases = count, "leases revoked, the first one: {reason}"),
            }
        }
        // Revocations come first: a worker must know of them when its reports are acknowledged.
        let mut answers = std::mem::take(&mut self.replies);
        let acknowledged = std::mem::take(&mut self.acknowledge).into_iter();
        answers
            .extend(acknowledged.map(|(worker, through)| (worker, Reply::Acknowledge { through })));
        answers
    }
}
