//! What happens to messages on their way, by a seed.

use std::time::Duration;

use rand::{Rng, RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

/// How often what happens.
#[derive(Debug, Clone, Copy, Default)]
pub struct Mischief {
    /// So many times, at most, is something sent again after each message: the message itself, or any earlier one of the same
    /// worker, of streams and leases that are over, too.
    pub repeats: u32,
    /// Each message waits up to so long.
    pub delay: Duration,
    /// After so many reports, a stream loses so many of the next and is cut then: they were sent, and nobody got them.
    pub lose: Option<(u32, u32)>,
    /// Nobody hears that a result has arrived, or that the sweep is over: the stream is cut instead.
    pub deaf: bool,
}

/// Faults that have happened.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Faults {
    /// Messages that were sent again at once.
    pub duplicates: u64,
    /// Earlier messages that were sent again.
    pub replays: u64,
    /// Messages that waited.
    pub delays: u64,
    /// Reports that were lost with their stream.
    pub lost: u64,
    /// Streams that were cut.
    pub cuts: u64,
}

impl Faults {
    /// Messages that came more than once.
    pub fn repeated(&self) -> u64 {
        self.duplicates + self.replays
    }
}

/// Random choices of a test, the same for the same seed.
pub fn random(seed: u64) -> ChaCha8Rng {
    ChaCha8Rng::seed_from_u64(seed)
}

/// A time up to that one.
pub fn up_to(random: &mut impl Rng, most: Duration) -> Duration {
    most.mul_f64(random.random_range(0.0..1.0))
}

/// What is sent after a message: places in `history`, whose last message it is.
pub fn again(random: &mut impl Rng, mischief: &Mischief, history: usize) -> Vec<usize> {
    if mischief.repeats == 0 || history == 0 {
        return Vec::new();
    }
    let count = random.random_range(0..=mischief.repeats);
    // Half of them the newest: what a network would repeat.
    let place =
        |_| if random.random_bool(0.5) { history - 1 } else { random.random_range(0..history) };
    (0..count).map(place).collect()
}
