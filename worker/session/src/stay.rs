//! How long a worker stays: not without work for ever, and not beyond the time that its machine is lent. Pure: time is an argument.
//!
//! A trial that cannot end in time is not begun. How long one takes is known from those before: the longest counts, also one that is
//! still under way.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use swfn_shared::ids::LeaseId;

/// Before the end: time for checkpoints to be written, leases to be given back, and processes to end.
const WIND_UP: Duration = Duration::from_secs(20);

/// What the user says of it.
#[derive(Debug, Clone, Copy, Default)]
pub struct StayLimits {
    /// Whoever ends this process otherwise does it then.
    pub end: Option<Instant>,
    /// So long without a trial.
    pub idle: Option<Duration>,
}

/// The trials of this process as far as time is concerned.
#[derive(Debug)]
pub(crate) struct Stay {
    limits: StayLimits,
    began: BTreeMap<LeaseId, Instant>,
    longest: Duration,
    /// Since when it wants a trial and has none.
    idle_since: Instant,
}

impl Stay {
    pub(crate) fn new(limits: StayLimits, now: Instant) -> Self {
        Self { limits, began: BTreeMap::new(), longest: Duration::ZERO, idle_since: now }
    }

    /// A trial begins.
    pub(crate) fn granted(&mut self, now: Instant, lease: LeaseId) {
        self.began.insert(lease, now);
    }

    /// It ended, by success or otherwise: that it took so long is true in any case.
    pub(crate) fn ended(&mut self, now: Instant, lease: LeaseId) {
        if let Some(began) = self.began.remove(&lease) {
            self.longest = self.longest.max(now.saturating_duration_since(began));
        }
    }

    /// There is work, or nobody who could give any.
    pub(crate) fn busy(&mut self, now: Instant) {
        self.idle_since = now;
    }

    /// Whether there was no work for too long.
    pub(crate) fn is_idle(&self, now: Instant) -> bool {
        self.limits
            .idle
            .is_some_and(|limit| now.saturating_duration_since(self.idle_since) >= limit)
    }

    /// When what is held is given back.
    pub(crate) fn end(&self) -> Option<Instant> {
        self.limits.end.map(|end| end.checked_sub(WIND_UP).unwrap_or(end))
    }

    /// Whether a trial that begins now is not expected to end in time. A tenth more than the longest, since machines are not always as fast.
    pub(crate) fn is_too_late(&self, now: Instant) -> bool {
        let Some(end) = self.end() else { return false };
        let under_way =
            self.began.values().map(|began| now.saturating_duration_since(*began)).max();
        let longest = self.longest.max(under_way.unwrap_or_default());
        now + longest + longest / 10 >= end
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lease(attempt: u32) -> LeaseId {
        LeaseId { trial: "0123456789abcdef0123456789abcdef".parse().unwrap(), attempt }
    }

    #[test]
    fn the_longest_trial_tells_whether_another_fits() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut stay = Stay::new(StayLimits { end: Some(at(1_020)), idle: None }, start);
        assert_eq!(stay.end(), Some(at(1_000)));
        assert!(
            !stay.is_too_late(at(999)) && stay.is_too_late(at(1_000)),
            "nothing is known of trials"
        );
        stay.granted(at(0), lease(1));
        stay.granted(at(0), lease(2));
        stay.ended(at(100), lease(1));
        assert!(
            !stay.is_too_late(at(400)),
            "the other has taken 400 s so far, and 440 more would fit"
        );
        assert!(stay.is_too_late(at(500)));
        stay.ended(at(300), lease(2));
        stay.ended(at(900), lease(2));
        assert!(!stay.is_too_late(at(669)) && stay.is_too_late(at(670)), "330 s fit until 670");
    }

    #[test]
    fn who_sets_no_limit_stays() {
        let start = Instant::now();
        let far = start + Duration::from_secs(1 << 30);
        let stay = Stay::new(StayLimits::default(), start);
        assert_eq!((stay.end(), stay.is_too_late(far), stay.is_idle(far)), (None, false, false));
    }

    #[test]
    fn idleness_counts_from_the_last_work() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut stay =
            Stay::new(StayLimits { end: None, idle: Some(Duration::from_secs(10)) }, start);
        assert!(!stay.is_idle(at(9)) && stay.is_idle(at(10)));
        stay.busy(at(8));
        assert!(!stay.is_idle(at(17)) && stay.is_idle(at(18)));
    }
}
