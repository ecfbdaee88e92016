//! Rate limits of streams, so that no worker fills a disk in minutes or starves the others.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::time::{Instant, sleep};

/// Bytes a second of one stream, as [`crate::engine::cost`] counts them.
const RATE: f64 = (2 << 20) as f64;

/// Bytes at once after a quiet time.
const BURST: f64 = (8 << 20) as f64;

/// Bytes at once of a new stream: a worker gains nothing from opening another.
const FIRST: f64 = (256 << 10) as f64;

/// Streams that one address may open at once, and per second.
const ARRIVALS: (f64, f64) = (256.0, 8.0);

/// Addresses that are remembered. Those that have been quiet for long are forgotten.
const ADDRESSES: usize = 4_096;

/// Credit that grows with time, up to a limit.
#[derive(Debug, Clone, Copy)]
struct Credit {
    left: f64,
    at: Instant,
}

impl Credit {
    fn grown(self, now: Instant, (most, rate): (f64, f64)) -> Self {
        let left = self.left + rate * now.saturating_duration_since(self.at).as_secs_f64();
        Self { left: left.min(most), at: now }
    }
}

/// The pace of one stream.
#[derive(Debug)]
pub(super) struct Pace(Credit);

impl Pace {
    pub(super) fn new() -> Self {
        Self(Credit { left: FIRST, at: Instant::now() })
    }

    /// The pause that a message of this cost requires.
    fn pause(&mut self, now: Instant, cost: usize) -> Duration {
        self.0 = self.0.grown(now, (BURST, RATE));
        self.0.left -= cost as f64;
        Duration::from_secs_f64((-self.0.left).max(0.0) / RATE)
    }

    /// Waits until the stream may go on; returns whether it had to.
    pub(super) async fn keep(&mut self, cost: usize) -> bool {
        let pause = self.pause(Instant::now(), cost);
        if !pause.is_zero() {
            sleep(pause).await;
        }
        !pause.is_zero()
    }
}

/// The credit of each address that opened streams of late.
#[derive(Debug, Default)]
pub(super) struct Arrivals(Mutex<HashMap<IpAddr, Credit>>);

impl Arrivals {
    /// Whether the address may open another stream.
    pub(super) fn admit(&self, address: IpAddr, now: Instant) -> bool {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= ADDRESSES && !known.contains_key(&address) {
            known.retain(|_, credit| credit.grown(now, ARRIVALS).left < ARRIVALS.0);
            if known.len() >= ADDRESSES {
                return false;
            }
        }
        let credit = known.entry(address).or_insert(Credit { left: ARRIVALS.0, at: now });
        *credit = credit.grown(now, ARRIVALS);
        let admitted = credit.left >= 1.0;
        if admitted {
            credit.left -= 1.0;
        }
        admitted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quiet_stream_saves_up_to_a_limit() {
        let start = Instant::now();
        let mut pace = Pace(Credit { left: FIRST, at: start });
        assert_eq!(pace.pause(start, FIRST as usize), Duration::ZERO);
        assert_eq!(pace.pause(start, RATE as usize), Duration::from_secs(1));
        let later = start + Duration::from_secs(3_600);
        assert_eq!(pace.pause(later, BURST as usize), Duration::ZERO);
        assert_eq!(pace.pause(later, 2 * RATE as usize), Duration::from_secs(2));
    }

    #[test]
    fn streams_of_one_address_are_limited() {
        let (now, arrivals) = (Instant::now(), Arrivals::default());
        let address = |last| IpAddr::from([127, 0, 0, last]);
        let admitted = |now| (0..1_000).filter(|_| arrivals.admit(address(2), now)).count();
        assert_eq!(admitted(now), 256);
        assert!(arrivals.admit(address(1), now));
        assert_eq!(admitted(now + Duration::from_secs(2)), 16);
    }
}
