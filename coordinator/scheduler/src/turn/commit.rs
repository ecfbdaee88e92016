//! The end of a turn: answers leave only when everything is written.

use std::time::Duration;

use swfn_shared::{ids::WorkerId, quote::one_line};
use tracing::info;

use super::{Reply, Revoked, Turn};

/// Time between two attempts to write on a full disk.
const RETRY_PERIOD: Duration = Duration::from_millis(500);

/// The result of an attempt to write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WriteOutcome {
    /// All of it is on the disk.
    All,
    /// It may work later: a disk is full, or does not answer.
    NotNow,
    Never,
}

/// The next step after an attempt to write.
#[derive(Debug, PartialEq)]
pub enum NextStep {
    /// Send these, in this order.
    Answer(Vec<(WorkerId, Reply)>),
    /// Write the same again after that time. Until then nothing is acknowledged: workers keep their
    /// reports, and flow control holds them up.
    Wait(Duration),
    /// End the coordinator without an answer.
    Stop,
}

/// Answers that wait for a write.
#[derive(Debug)]
pub struct Commit {
    answers: Vec<(WorkerId, Reply)>,
}

impl Commit {
    /// The next step. `give_up`: a write that may work later is not tried again.
    pub fn after(&mut self, written: WriteOutcome, give_up: bool) -> NextStep {
        match written {
            WriteOutcome::All => NextStep::Answer(std::mem::take(&mut self.answers)),
            WriteOutcome::NotNow if !give_up => NextStep::Wait(RETRY_PERIOD),
            WriteOutcome::NotNow | WriteOutcome::Never => NextStep::Stop,
        }
    }
}

impl Turn {
    /// Ends the turn. Its answers wait for its writes.
    pub fn commit(&mut self) -> Commit {
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
        Commit { answers }
    }
}
