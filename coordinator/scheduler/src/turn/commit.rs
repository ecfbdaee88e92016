//! The end of a turn: what was decided is written, and only then do the answers leave.

use std::time::Duration;

use swfn_shared::{ids::WorkerId, quote::one_line};
use tracing::info;

use super::{Reply, Revoked, Turn};

/// Time between two attempts to write on a full disk.
const RETRY_PERIOD: Duration = Duration::from_millis(500);

/// What became of an attempt to write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Written {
    /// All of it is on the disk.
    All,
    /// It may be possible later: a disk was full, or gave no answer.
    NotNow,
    Never,
}

/// What is to be done then.
#[derive(Debug, PartialEq)]
pub enum Next {
    /// These may leave, in this order.
    Answer(Vec<(WorkerId, Reply)>),
    /// The same is to be written again after that time. Meanwhile nothing is acknowledged: workers keep what they have, and are held up by
    /// flow control.
    Wait(Duration),
    /// The coordinator ends, and nobody is answered.
    Stop,
}

/// Answers that wait until all that they are about is written.
#[derive(Debug)]
pub struct Commit {
    answers: Vec<(WorkerId, Reply)>,
}

impl Commit {
    /// After an attempt to write. `give_up`: what cannot be written now is not to be waited for any longer.
    pub fn after(&mut self, written: Written, give_up: bool) -> Next {
        match written {
            Written::All => Next::Answer(std::mem::take(&mut self.answers)),
            Written::NotNow if !give_up => Next::Wait(RETRY_PERIOD),
            Written::NotNow | Written::Never => Next::Stop,
        }
    }
}

impl Turn {
    /// Ends the turn: its answers wait for what it wants written.
    pub fn commit(&mut self) -> Commit {
        for (worker, Revoked { leases, first }) in std::mem::take(&mut self.revoked) {
            let reason = first.unwrap_or_default();
            match leases.iter().next() {
                Some(lease) if leases.len() == 1 => {
                    info!(%worker, %lease, "revoked: {}", one_line(&reason))
                }
                _ => {
                    info!(%worker, leases = leases.len(), "revoked many; the first: {}", one_line(&reason))
                }
            }
        }
        // Revocations first: who reads that a result is kept must know already if it was not theirs to report.
        let mut answers = std::mem::take(&mut self.replies);
        let acknowledged = std::mem::take(&mut self.acknowledge).into_iter();
        answers
            .extend(acknowledged.map(|(worker, through)| (worker, Reply::Acknowledge { through })));
        Commit { answers }
    }
}
