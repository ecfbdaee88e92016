//! Answers on their way to one worker. They wait until it reads them, and are bounded in bytes, for
//! each worker and for all workers.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use swfn_scheduler::turn::Reply;
use swfn_shared::{ids::LeaseId, trial::TrialSpec};
use tokio::sync::mpsc;

/// Bytes that one worker may leave unread. A turn may revoke all leases of a worker and send it the
/// largest grant.
const WORKER_BYTES: usize = 8 << 20;

/// Bytes that all workers together may leave unread.
const ALL_BYTES: usize = 32 << 20;

/// Trials of one message, so that a stream holds few of them in its own buffers.
const GRANTED_AT_ONCE: usize = 64;

/// Why an answer was not posted.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum PostError {
    #[error("its stream is over")]
    Closed,
    #[error("it does not read its answers")]
    Full,
    /// Another worker may be to blame.
    #[error("too many answers are unread")]
    AllFull,
}

/// The actor's end. Dropping it ends the stream.
#[derive(Debug)]
pub(crate) struct Mailbox {
    letters: mpsc::UnboundedSender<Letter>,
    unread: Arc<AtomicUsize>,
}

/// A waiting message.
#[derive(Debug)]
pub(crate) struct Letter {
    pub(crate) reply: Reply,
    _unread: Option<UnreadBytes>,
}

/// Bytes that count as unread, for a worker and for all, until this is dropped.
#[derive(Debug)]
struct UnreadBytes {
    bytes: usize,
    counters: [Arc<AtomicUsize>; 2],
}

impl Drop for UnreadBytes {
    fn drop(&mut self) {
        for counter in &self.counters {
            counter.fetch_sub(self.bytes, Ordering::Relaxed);
        }
    }
}

impl Mailbox {
    pub(crate) fn new() -> (Self, mpsc::UnboundedReceiver<Letter>) {
        let (letters, receiver) = mpsc::unbounded_channel();
        (Self { letters, unread: Arc::default() }, receiver)
    }

    /// Posts an answer, a large grant in several messages. `all` counts what all have not read.
    pub(crate) fn post(&self, all: &Arc<AtomicUsize>, reply: Reply) -> Result<(), PostError> {
        let bytes = size(&reply);
        let fits = |unread: &AtomicUsize, most| unread.load(Ordering::Relaxed) + bytes <= most;
        if self.letters.is_closed() {
            return Err(PostError::Closed);
        }
        if !fits(&self.unread, WORKER_BYTES) {
            return Err(PostError::Full);
        }
        if !fits(all, ALL_BYTES) {
            return Err(PostError::AllFull);
        }
        let replies = match reply {
            Reply::Grant { leases, artifacts } => {
                let grant = |some: &[_]| Reply::Grant { leases: some.to_vec(), artifacts };
                leases.chunks(GRANTED_AT_ONCE).map(grant).collect()
            }
            other => vec![other],
        };
        replies.into_iter().try_for_each(|reply| {
            let bytes = size(&reply);
            let counters = [Arc::clone(&self.unread), Arc::clone(all)];
            for counter in &counters {
                counter.fetch_add(bytes, Ordering::Relaxed);
            }
            let letter = Letter { reply, _unread: Some(UnreadBytes { bytes, counters }) };
            self.letters.send(letter).map_err(|_| PostError::Closed)
        })
    }

    pub(super) fn unread(&self) -> usize {
        self.unread.load(Ordering::Relaxed)
    }

    /// The session's end, which does not keep the stream open.
    pub(crate) fn downgrade(&self) -> mpsc::WeakUnboundedSender<Letter> {
        self.letters.downgrade()
    }

    /// Waits until nobody reads any more.
    pub(crate) async fn closed(&self) {
        self.letters.closed().await;
    }
}

impl Letter {
    /// Ends the stream with the reason.
    pub(crate) fn refusal(reason: String) -> Self {
        Self { reply: Reply::Refuse { reason }, _unread: None }
    }
}

/// About the bytes of an answer in memory.
fn size(reply: &Reply) -> usize {
    size_of::<Letter>()
        + match reply {
            Reply::Grant { leases, .. } => leases.len() * size_of::<(LeaseId, TrialSpec)>(),
            Reply::Confirm { leases } => leases.len() * size_of::<LeaseId>(),
            Reply::Revoke { reason, .. }
            | Reply::Drain { reason, .. }
            | Reply::Refuse { reason }
            | Reply::Deny { reason } => reason.len(),
            Reply::Acknowledge { .. } => 0,
        }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unread_answers_are_bounded_until_they_are_read() {
        let all = Arc::default();
        let large = || Reply::Drain { reason: "x".repeat(WORKER_BYTES / 4), finished: false };
        let boxes: Vec<_> = (0..9).map(|_| Mailbox::new()).collect();
        let fill = |mailbox: &Mailbox| (0..9).find_map(|_| mailbox.post(&all, large()).err());
        let errors: Vec<_> = boxes.iter().map(|(mailbox, _)| fill(mailbox).unwrap()).collect();
        assert_eq!(errors[0], PostError::Full);
        assert_eq!(errors[8], PostError::AllFull, "though it has nothing to read");
        assert!(all.load(Ordering::Relaxed) <= ALL_BYTES);
        let mut boxes = boxes.into_iter();
        let (mailbox, mut letters) = boxes.next().unwrap();
        while letters.try_recv().is_ok() {}
        assert_eq!(mailbox.post(&all, large()), Ok(()));
        // Mailboxes that end with unread letters free their bytes, too.
        drop((mailbox, letters, boxes.collect::<Vec<_>>()));
        assert_eq!(all.load(Ordering::Relaxed), 0);
    }
}
