//! Pauses of the coordinator itself, when workers only seem silent.

use std::time::Duration;

use crate::Limits;

/// Watches the ticks, which come several times a second. They pause if the process is stopped, its
/// machine is suspended, or its disk is slow.
#[derive(Debug)]
pub struct Pauses {
    limits: Limits,
    /// The last tick.
    last: Duration,
    /// When a pause was last found.
    found: Option<Duration>,
}

impl Pauses {
    pub fn new(limits: Limits) -> Self {
        Self { limits, last: Duration::ZERO, found: None }
    }

    /// Whether a tick ends a pause, for which no lease may expire. Frequent pauses do not count:
    /// with a disk that is always slow, leases would live for ever.
    pub fn tick(&mut self, now: Duration) -> bool {
        let gap = now.saturating_sub(std::mem::replace(&mut self.last, now));
        let rare =
            self.found.is_none_or(|before| now.saturating_sub(before) >= 2 * self.limits.stall);
        let found = rare && gap >= self.limits.lease / 4;
        if found {
            self.found = Some(now);
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_rare_gap_is_a_pause() {
        let seconds = Duration::from_secs;
        let limits = Limits {
            max_failures: 3,
            max_losses: 3,
            lease: seconds(60),
            stall: seconds(100),
            longest: None,
            portion: 64,
        };
        let mut pauses = Pauses::new(limits);
        let ticks = [
            (1, false),
            (15, false),
            (30, true),
            (60, false),
            (229, false),
            (230, false),
            (245, true),
        ];
        for (now, found) in ticks {
            assert_eq!(pauses.tick(seconds(now)), found, "at {now} s");
        }
    }
}
