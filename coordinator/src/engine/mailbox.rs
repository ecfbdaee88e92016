//! Answers on their way to one worker. They wait until it reads them, and are bounded in bytes: of one worker, and of all.

use std::{
    mem,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use swfn_scheduler::turn::Reply;
use swfn_shared::{ids::LeaseId, trial::TrialSpec};
use tokio::sync::mpsc;

/// Bytes that one worker may leave unread. A turn may revoke all that a worker can hold, beside the largest grant.
const OF_ONE: usize = 8 << 20;

/// Bytes that all workers together may leave unread.
const OF_ALL: usize = 32 << 20;

/// Trials of one message, so that a stream holds few of them in its own buffers.
const GRANTED_AT_ONCE: usize = 64;

/// Bytes that wait; they count until their letter is gone.
type Unread = Arc<AtomicUsize>;

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
    unread: Unread,
}

/// The session's end, which does not keep the stream open.
#[derive(Debug)]
pub(crate) struct WeakMailbox {
    letters: mpsc::WeakUnboundedSender<Letter>,
    unread: Unread,
}

/// An answer that waits.
#[derive(Debug)]
pub(crate) struct Letter {
    pub(crate) reply: Reply,
    bytes: usize,
    unread: [Unread; 2],
}

impl Drop for Letter {
    fn drop(&mut self) {
        for unread in &self.unread {
            unread.fetch_sub(self.bytes, Ordering::Relaxed);
        }
    }
}

impl Mailbox {
    pub(crate) fn new() -> (Self, mpsc::UnboundedReceiver<Letter>) {
        let (letters, receiver) = mpsc::unbounded_channel();
        (Self { letters, unread: Unread::default() }, receiver)
    }

    /// `all`: what all workers have not read.
    pub(crate) fn post(&self, all: &Unread, reply: Reply) -> Result<(), PostError> {
        let bytes = bytes_of(&reply);
        let room = |unread: &Unread, most| unread.load(Ordering::Relaxed) + bytes <= most;
        if self.letters.is_closed() {
            return Err(PostError::Closed);
        }
        if !room(&self.unread, OF_ONE) {
            return Err(PostError::Full);
        }
        if !room(all, OF_ALL) {
            return Err(PostError::AllFull);
        }
        let unread = [Arc::clone(&self.unread), Arc::clone(all)];
        for unread in &unread {
            unread.fetch_add(bytes, Ordering::Relaxed);
        }
        self.letters.send(Letter { reply, bytes, unread }).map_err(|_| PostError::Closed)
    }

    pub(super) fn unread(&self) -> usize {
        self.unread.load(Ordering::Relaxed)
    }

    pub(crate) fn downgrade(&self) -> WeakMailbox {
        WeakMailbox { letters: self.letters.downgrade(), unread: Arc::clone(&self.unread) }
    }

    /// Waits until nobody reads any more.
    pub(crate) async fn closed(&self) {
        self.letters.closed().await;
    }
}

impl WeakMailbox {
    /// Ends the stream with the reason.
    pub(crate) fn refuse(self, reason: String) {
        if let Some(letters) = self.letters.upgrade() {
            Mailbox { letters, unread: self.unread }
                .post(&Unread::default(), Reply::Refuse { reason })
                .ok();
        }
    }
}

impl Letter {
    /// The answer in messages that are small.
    pub(crate) fn replies(mut self) -> impl Iterator<Item = Reply> {
        let whole = match &mut self.reply {
            Reply::Grant { leases, artifacts } => Err((mem::take(leases), *artifacts)),
            other => Ok(mem::replace(other, Reply::Acknowledge { through: 0 })),
        };
        let (one, (mut leases, artifacts)) = match whole {
            Ok(reply) => (Some(reply), Default::default()),
            Err(grant) => (None, grant),
        };
        let grants = std::iter::from_fn(move || {
            // It counts until the last one has left.
            let _letter = &self;
            let rest = leases.split_off(leases.len().min(GRANTED_AT_ONCE));
            let leases = mem::replace(&mut leases, rest);
            (!leases.is_empty()).then_some(Reply::Grant { leases, artifacts })
        });
        one.into_iter().chain(grants)
    }
}

fn bytes_of(reply: &Reply) -> usize {
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
    fn what_is_unread_is_bounded_in_bytes_and_free_again_once_it_is_read() {
        let all = Unread::default();
        let large = || Reply::Drain { reason: "x".repeat(OF_ONE / 4), finished: false };
        let boxes: Vec<_> = (0..9).map(|_| Mailbox::new()).collect();
        let fill = |mailbox: &Mailbox| (0..9).find_map(|_| mailbox.post(&all, large()).err());
        let errors: Vec<_> = boxes.iter().map(|(mailbox, _)| fill(mailbox).unwrap()).collect();
        assert_eq!(errors[0], PostError::Full);
        assert_eq!(errors[8], PostError::AllFull, "though it has nothing to read");
        assert!(all.load(Ordering::Relaxed) <= OF_ALL);
        let mut boxes = boxes.into_iter();
        let (mailbox, mut letters) = boxes.next().unwrap();
        while let Ok(letter) = letters.try_recv() {
            assert_eq!(letter.replies().count(), 1);
        }
        assert_eq!(mailbox.post(&all, large()), Ok(()));
        // Those that end with their letters unread, too.
        drop((mailbox, letters, boxes.collect::<Vec<_>>()));
        assert_eq!(all.load(Ordering::Relaxed), 0);
    }
}
