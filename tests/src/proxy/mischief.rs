//! Faults of messages on their way, chosen by a seed.

use std::time::Duration;

use rand::{Rng, RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

/// The kinds of faults and how often they happen.
#[derive(Debug, Clone, Copy, Default)]
pub struct Mischief {
    /// The most messages sent again after each message: the newest or any earlier one of the same
    /// worker, even of ended streams and leases.
    pub repeats: u32,
    /// The longest delay of a message.
    pub delay: Duration,
    /// After so many reports, a stream loses so many of the next and is then cut. They were sent
    /// but never arrive.
    pub lose: Option<(u32, u32)>,
    /// A stream is cut in place of acknowledging a result or ending the sweep, so that the worker
    /// learns of neither.
    pub deaf: bool,
}

/// Counts of faults that have happened.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Faults {
    /// Messages that were sent again at once.
    pub duplicates: u64,
    /// Earlier messages that were sent again.
    pub replays: u64,
    /// Messages that were delayed.
    pub delays: u64,
    /// Reports that were lost with their stream.
    pub lost: u64,
    /// Streams that were cut.
    pub cuts: u64,
}

impl Faults {
    /// Returns the number of messages that came more than once.
    pub fn repeated(&self) -> u64 {
        self.duplicates + self.replays
    }
}

/// Starts the random choices of a test, which repeat for the same seed.
pub fn random(seed: u64) -> ChaCha8Rng {
    ChaCha8Rng::seed_from_u64(seed)
}

/// Chooses a time up to `most`.
pub fn up_to(random: &mut impl Rng, most: Duration) -> Duration {
    most.mul_f64(random.random_range(0.0..1.0))
}

/// Chooses the positions in `history` of the messages to repeat; its last message is the newest.
pub fn repeat_positions(random: &mut impl Rng, mischief: &Mischief, history: usize) -> Vec<usize> {
    if mischief.repeats == 0 || history == 0 {
        return Vec::new();
    }
    let count = random.random_range(0..=mischief.repeats);
    // Half of them are the newest, as a network would repeat it.
    let place =
        |_| if random.random_bool(0.5) { history - 1 } else { random.random_range(0..history) };
    (0..count).map(place).collect()
}
