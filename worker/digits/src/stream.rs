//! The random numbers of one image. Own arithmetic on ChaCha8's words, so that no library's choice
//! of a sampling method can change an image.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// The stream of image `index` of a split of the data set `seed`: independent of all other images'
/// streams.
pub(super) struct Stream(ChaCha8Rng);

impl Stream {
    pub(super) fn new(seed: u64, split: u8, version: u32, index: u64) -> Stream {
        let mut key = [0; 32];
        key[..8].copy_from_slice(&seed.to_le_bytes());
        key[8] = split;
        key[12..16].copy_from_slice(&version.to_le_bytes());
        let mut rng = ChaCha8Rng::from_seed(key);
        rng.set_stream(index);
        Stream(rng)
    }

    /// 32 random bits.
    pub(super) fn bits(&mut self) -> u32 {
        self.0.next_u32()
    }

    /// Uniform in 0..n; the bias is below n / 2^32.
    pub(super) fn below(&mut self, n: u32) -> u32 {
        ((u64::from(self.bits()) * u64::from(n)) >> 32) as u32
    }

    /// Uniform in [0, 1), a multiple of 2^-24 and thereby exact.
    pub(super) fn unit(&mut self) -> f32 {
        (self.bits() >> 8) as f32 / (1u32 << 24) as f32
    }

    /// Uniform in [low, high).
    pub(super) fn between(&mut self, low: f32, high: f32) -> f32 {
        low + (high - low) * self.unit()
    }

    /// True with probability `p`.
    pub(super) fn chance(&mut self, p: f32) -> bool {
        self.unit() < p
    }

    /// Nearly normal with mean 0 and standard deviation 1, within +-3.47: the sum of four uniform
    /// 16-bit numbers. It has no logarithm or cosine, whose last bit differs between platforms, and
    /// no far tails, which would be illegible.
    pub(super) fn normal(&mut self) -> f32 {
        let (a, b) = (self.bits(), self.bits());
        let sum = (a & 0xffff) + (a >> 16) + (b & 0xffff) + (b >> 16);
        // The sum has mean 2 * 65535 and variance 4 * (65536^2 - 1) / 12.
        (sum as f32 - 131_070.0) / 37_837.227
    }
}
