//! Answers on their way to one worker. They wait until it reads them, and are bounded in bytes, for
//! each worker and for all workers.

use std::sync::Arc;

use swfn_scheduler::turn::Reply;
use swfn_shared::{ids::LeaseId, trial::TrialSpec};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

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

/// The room for answers to all workers.
pub(super) fn room_for_all() -> Arc<Semaphore> {
    Arc::new(Semaphore::new(ALL_BYTES))
}

/// The actor's end. Dropping it ends the stream.
#[derive(Debug)]
pub(crate) struct Mailbox {
    letters: mpsc::UnboundedSender<Letter>,
    /// The bytes that the worker may still leave unread.
    room: Arc<Semaphore>,
}

/// A waiting message.
#[derive(Debug)]
pub(crate) struct Letter {
    pub(crate) reply: Reply,
    /// Its bytes of the worker's room and of that for all.
    _room: Option<[OwnedSemaphorePermit; 2]>,
}

impl Mailbox {
    pub(crate) fn new() -> (Self, mpsc::UnboundedReceiver<Letter>) {
        let (letters, receiver) = mpsc::unbounded_channel();
        (Self { letters, room: Arc::new(Semaphore::new(WORKER_BYTES)) }, receiver)
    }

    /// Posts an answer, a large grant in several messages. `all` is the room for all workers.
    pub(crate) fn post(&self, all: &Arc<Semaphore>, reply: Reply) -> Result<(), PostError> {
        if self.letters.is_closed() {
            return Err(PostError::Closed);
        }
        let replies = match reply {
            Reply::Grant { leases, artifacts } => {
                let grant = |some: &[_]| Reply::Grant { leases: some.to_vec(), artifacts };
                leases.chunks(GRANTED_AT_ONCE).map(grant).collect()
            }
            other => vec![other],
        };
        let letter = |reply| {
            let bytes = u32::try_from(size(&reply)).unwrap_or(u32::MAX);
            let take = |room: &Arc<Semaphore>| Arc::clone(room).try_acquire_many_owned(bytes);
            let own = take(&self.room).map_err(|_| PostError::Full)?;
            let of_all = take(all).map_err(|_| PostError::AllFull)?;
            Ok(Letter { reply, _room: Some([own, of_all]) })
        };
        // None leaves unless all have room.
        let letters: Vec<_> = replies.into_iter().map(letter).collect::<Result<_, _>>()?;
        let mut letters = letters.into_iter();
        letters.try_for_each(|letter| self.letters.send(letter).map_err(|_| PostError::Closed))
    }

    pub(super) fn unread(&self) -> usize {
        WORKER_BYTES - self.room.available_permits()
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
        Self { reply: Reply::Refuse { reason }, _room: None }
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
        let all = room_for_all();
        let large = || Reply::Drain { reason: "x".repeat(WORKER_BYTES / 4), finished: false };
        let boxes: Vec<_> = (0..9).map(|_| Mailbox::new()).collect();
        let fill = |mailbox: &Mailbox| (0..9).find_map(|_| mailbox.post(&all, large()).err());
        let errors: Vec<_> = boxes.iter().map(|(mailbox, _)| fill(mailbox).unwrap()).collect();
        assert_eq!(errors[0], PostError::Full);
        assert_eq!(errors[8], PostError::AllFull, "though it has nothing to read");
        let mut boxes = boxes.into_iter();
        let (mailbox, mut letters) = boxes.next().unwrap();
        while letters.try_recv().is_ok() {}
        assert_eq!(mailbox.post(&all, large()), Ok(()));
        // Mailboxes that end with unread letters free their bytes, too.
        drop((mailbox, letters, boxes.collect::<Vec<_>>()));
        assert_eq!(all.available_permits(), ALL_BYTES);
    }
}
