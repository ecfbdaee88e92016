//! Capacity that the trainer requests, and whether the coordinator knows it. Pure: no clock, no
//! socket.

use swfn_shared::{capacity::Capacity, ids::ShapeId};

/// The trainer's latest request, as far as it is open.
#[derive(Debug, Default)]
pub(crate) struct CapacityRequest {
    open: Option<Capacity>,
    /// The coordinator knows another request, so this one has to be sent.
    unsent: bool,
    /// The coordinator may have dropped the request: the next one is sent in any case.
    doubtful: bool,
}

impl CapacityRequest {
    /// Replaces what was left of the request before.
    pub(crate) fn update(&mut self, request: Capacity) {
        let request = Some(request).filter(|request| request.lanes > 0);
        self.unsent |= request != self.open || std::mem::take(&mut self.doubtful);
        self.open = request;
    }

    /// Takes off a granted trial. The rest of the request is for trials of the same shape, as the
    /// coordinator knows.
    pub(crate) fn granted(&mut self, shape: ShapeId) {
        if let Some(request) = &mut self.open {
            request.lanes -= 1;
            request.shape = Some(shape);
        }
        self.open.take_if(|request| request.lanes == 0);
    }

    /// Notes a revoked lease. If its trial stood still, the coordinator drops the request, too: a
    /// stalled worker would lose the next lease as well. A trainer that reports again is not
    /// stalled.
    pub(crate) fn doubt(&mut self) {
        self.doubtful = true;
    }

    /// Sends the request again, after a lease was revoked whose trial has ended here: the trainer
    /// is not stalled.
    pub(crate) fn repeat(&mut self) {
        self.unsent |= self.open.is_some();
    }

    /// Withdraws the request, and sends that in any case. The coordinator may still count leases
    /// that had ended; then returned trials would come again for ever.
    pub(crate) fn withdraw(&mut self) {
        (self.open, self.unsent) = (None, true);
    }

    /// Whether the trainer has room for a trial that it was not given.
    pub(crate) fn is_open(&self) -> bool {
        self.open.is_some()
    }

    /// Prepares for a new stream, on which nothing was requested yet.
    pub(crate) fn reset(&mut self) {
        self.unsent = self.open.is_some();
    }

    /// The request to send now, if any. `running`: trials of the trainer that have not ended.
    pub(crate) fn take_unsent(&mut self, running: usize) -> Option<Capacity> {
        let request = || self.open.clone().map(|open| open.with_held(running)).unwrap_or_default();
        std::mem::take(&mut self.unsent).then(request)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: &str = "0123456789abcdef0123456789abcdef";
    const B: &str = "fedcba9876543210fedcba9876543210";

    fn capacity(lanes: u32, shape: Option<&str>) -> Capacity {
        Capacity {
            lanes,
            shape: shape.map(|shape| shape.parse().unwrap()),
            vaes: vec![A.parse().unwrap()],
        }
    }

    fn sent(lanes: u32, shape: Option<&str>) -> Option<Capacity> {
        Some(capacity(lanes, shape))
    }

    #[test]
    fn a_request_is_sent_when_it_changes() {
        let mut request = CapacityRequest::default();
        request.update(capacity(0, None));
        assert_eq!(request.take_unsent(0), None, "nothing was wanted before");
        request.update(capacity(3, None));
        assert_eq!((request.take_unsent(0), request.take_unsent(0)), (sent(3, None), None));
        request.granted(B.parse().unwrap());
        assert_eq!(request.take_unsent(1), None);
        request.update(capacity(2, Some(B)));
        assert_eq!(request.take_unsent(1), None, "the same is open");
        // A trial ended.
        request.update(capacity(3, Some(B)));
        assert_eq!(request.take_unsent(0), sent(3, Some(B)));
        request.update(capacity(3, None));
        assert_eq!(request.take_unsent(0), sent(3, None));
        request.update(capacity(0, None));
        assert_eq!(
            (request.take_unsent(0), request.take_unsent(0)),
            (Some(Capacity::default()), None),
            "withdrawn"
        );
    }

    #[test]
    fn a_revocation_repeats_the_request_once() {
        let mut request = CapacityRequest::default();
        request.update(capacity(1, None));
        assert_eq!(request.take_unsent(1), sent(2, None));
        request.doubt();
        assert_eq!(request.take_unsent(0), None, "the trainer may stand still");
        request.update(capacity(1, None));
        assert_eq!((request.take_unsent(0), request.take_unsent(0)), (sent(1, None), None));
        request.update(capacity(1, None));
        assert_eq!(request.take_unsent(0), None);
        request.repeat();
        assert_eq!(
            (request.take_unsent(0), request.take_unsent(0)),
            (sent(1, None), None),
            "the trial had ended"
        );
    }

    #[test]
    fn the_next_stream_gets_the_open_request() {
        let mut request = CapacityRequest::default();
        request.update(capacity(2, None));
        assert!(request.take_unsent(5).is_some());
        request.granted(B.parse().unwrap());
        request.reset();
        assert_eq!(request.take_unsent(6), sent(7, Some(B)));
        // A grant beyond the request does no harm.
        request.granted(B.parse().unwrap());
        request.granted(B.parse().unwrap());
        request.reset();
        assert_eq!(request.take_unsent(8), None);
        request.withdraw();
        assert_eq!(
            (request.take_unsent(8), request.take_unsent(8)),
            (Some(Capacity::default()), None),
            "withdrawn in any case"
        );
    }
}
