//! Stop requests to a supervisor.

use tokio::sync::watch;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum StopRequest {
    None,
    InOrder,
    AtOnce,
}

impl StopRequest {
    /// Sends the request, unless it is no stronger than an earlier one.
    pub(super) fn send(self, stop: &watch::Sender<Self>) {
        stop.send_if_modified(|current| {
            let is_stronger = *current < self;
            *current = self.max(*current);
            is_stronger
        });
    }

    /// Sends the request of a signal. The second signal means at once. Other requests do not count,
    /// since a first signal may come after them.
    pub(super) fn send_signal(stop: &watch::Sender<Self>, signalled: &mut bool) {
        let request = if *signalled { Self::AtOnce } else { Self::InOrder };
        *signalled = true;
        request.send(stop);
    }
}
