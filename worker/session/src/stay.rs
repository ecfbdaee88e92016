//! How long a worker stays: at most until its machine is taken away, and not idle for ever. Pure:
//! time is an argument.
//!
//! A trial that cannot end in time is not begun. The longest trial so far predicts how long the
//! next one takes; one that is still running counts, too.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use swfn_shared::ids::LeaseId;

/// Time before the end in which checkpoints are written, leases returned, and processes end.
const WIND_UP: Duration = Duration::from_secs(20);

/// The user's limits.
#[derive(Debug, Clone, Copy, Default)]
pub struct StayLimits {
    /// When the machine is taken away.
    pub end: Option<Instant>,
    /// Longest time without a trial.
    pub idle: Option<Duration>,
}

/// Start times of running trials, and the longest duration.
#[derive(Debug)]
pub(crate) struct Stay {
    limits: StayLimits,
    began: BTreeMap<LeaseId, Instant>,
    longest: Duration,
    /// Since when it has waited for a trial.
    idle_since: Instant,
}

impl Stay {
    pub(crate) fn new(limits: StayLimits, now: Instant) -> Self {
        Self { limits, began: BTreeMap::new(), longest: Duration::ZERO, idle_since: now }
    }

    /// Notes that a trial begins.
    pub(crate) fn granted(&mut self, now: Instant, lease: LeaseId) {
        self.began.insert(lease, now);
    }

    /// Notes that a trial ended. Its duration counts whether it succeeded or not.
    pub(crate) fn ended(&mut self, now: Instant, lease: LeaseId) {
        if let Some(began) = self.began.remove(&lease) {
            self.longest = self.longest.max(now.saturating_duration_since(began));
        }
    }

    /// Notes that there is work, or no coordinator that could give any.
    pub(crate) fn busy(&mut self, now: Instant) {
        self.idle_since = now;
    }

    /// Whether there was no work for too long.
    pub(crate) fn is_idle(&self, now: Instant) -> bool {
        let idle = now.saturating_duration_since(self.idle_since);
        self.limits.idle.is_some_and(|limit| idle >= limit)
    }

    /// When leases are returned.
    pub(crate) fn end(&self) -> Option<Instant> {
        self.limits.end.map(|end| end.checked_sub(WIND_UP).unwrap_or(end))
    }

    /// Whether a trial that begins now is expected to end too late. A tenth is added to the longest
    /// trial, since machines do not keep their speed.
    pub(crate) fn is_too_late(&self, now: Instant) -> bool {
        let Some(end) = self.end() else { return false };
        let running = self.began.values().map(|began| now.saturating_duration_since(*began)).max();
        let longest = self.longest.max(running.unwrap_or_default());
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
    fn the_longest_trial_decides_whether_another_fits() {
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
    fn without_limits_a_worker_stays() {
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
