//! The random streams of a trial.
//!
//! Each use of randomness has its own stream, a function of (seed, purpose) alone. So trials of one
//! seed are paired: they share subset, initial weights and batches whatever their lambda or weight
//! decay. And a trial draws the same numbers on a CPU, on a GPU, alone and beside others. Torch's
//! global generator is never used: numbers are drawn on the host and copied to the device.

use rand::{Rng, RngExt as _, SeedableRng as _, seq::SliceRandom as _};
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution as _, StandardNormal};
use sha2::{Digest as _, Sha256};

/// The purpose of a stream, by its name in the stream's key: another name is another stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Purpose(&'static str);

impl Purpose {
    /// Choice of the subset.
    pub const SUBSET: Self = Self("subset");
    /// Choice of the validation images.
    pub const VALIDATION: Self = Self("validation");
    /// Initial weights of the VAE.
    pub const VAE_INIT: Self = Self("vae init");
    /// Order of the VAE's training images.
    pub const VAE_BATCHES: Self = Self("vae batches");
    /// Noise of the latent codes while the VAE trains.
    pub const VAE_NOISE: Self = Self("vae noise");
    /// Initial weights and biases of the classifier.
    pub const CLASSIFIER_INIT: Self = Self("classifier init");
    /// Initial scales of batch norm. Initial weights are thus equal with and without batch norm.
    pub const BATCH_NORM_INIT: Self = Self("batch norm init");
    /// Order of the classifier's training images.
    pub const CLASSIFIER_BATCHES: Self = Self("classifier batches");
    /// Dropout masks.
    pub const DROPOUT: Self = Self("dropout");
    /// Latent codes of the penalty samples.
    pub const PENALTY_NOISE: Self = Self("penalty noise");
    /// Latent codes of the sample sheet.
    pub const SAMPLE_SHEET: Self = Self("sample sheet");
}

/// SHA-256(prefix, length of the purpose's name, name, seed).
pub(crate) fn key(prefix: &str, seed: u64, Purpose(name): Purpose) -> [u8; 32] {
    let digest = Sha256::new()
        .chain_update(prefix)
        .chain_update((name.len() as u64).to_le_bytes())
        .chain_update(name)
        .chain_update(seed.to_le_bytes())
        .finalize();
    digest.into()
}

/// A stream of random numbers: ChaCha8 under the key SHA-256("swfn stream", length of the purpose's
/// name, name, seed).
#[derive(Debug, Clone)]
pub(crate) struct Stream(ChaCha8Rng);

impl Stream {
    /// The stream of that seed and purpose, from its start.
    pub(crate) fn new(seed: u64, purpose: Purpose) -> Self {
        Self(ChaCha8Rng::from_seed(key("swfn stream", seed, purpose)))
    }

    /// The streams of these seeds and that purpose.
    pub(crate) fn each(seeds: &[u64], purpose: Purpose) -> Vec<Self> {
        seeds.iter().map(|seed| Self::new(*seed, purpose)).collect()
    }

    /// `count` numbers, uniform in [low, high).
    pub(crate) fn uniform(&mut self, low: f32, high: f32, count: usize) -> Vec<f32> {
        (0..count).map(|_| low + (high - low) * self.0.random::<f32>()).collect()
    }

    /// `count` numbers from the normal distribution of mean 0 and variance 1.
    pub(crate) fn normal(&mut self, count: usize) -> Vec<f32> {
        (0..count).map(|_| StandardNormal.sample(&mut self.0)).collect()
    }

    /// `count` whole numbers, uniform in 0..bound.
    pub(crate) fn below(&mut self, bound: i64, count: usize) -> Vec<i64> {
        (0..count).map(|_| self.0.random_range(0..bound)).collect()
    }

    /// Puts the items into a uniformly random order.
    pub(crate) fn shuffle(&mut self, items: &mut [i64]) {
        items.shuffle(&mut self.0);
    }

    /// Number of 32-bit words that were drawn.
    pub(crate) fn position(&self) -> u64 {
        u64::try_from(self.0.get_word_pos()).expect("no trial draws 2^64 words")
    }

    /// Continues after that many 32-bit words.
    pub(crate) fn go_to(&mut self, position: u64) {
        self.0.set_word_pos(position.into());
    }

    /// The generator, for code that draws by its own rules.
    pub(crate) fn generator(&mut self) -> &mut impl Rng {
        &mut self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_depend_on_seed_and_purpose_alone() {
        let draw = |seed, purpose| Stream::new(seed, purpose).uniform(0.0, 1.0, 8);
        assert_eq!(draw(1, Purpose::SUBSET), draw(1, Purpose::SUBSET));
        assert_ne!(draw(1, Purpose::SUBSET), draw(2, Purpose::SUBSET));
        assert_ne!(draw(1, Purpose::SUBSET), draw(1, Purpose::DROPOUT));
    }

    /// Results stay comparable over years only if these numbers never change. If an update of a
    /// library changes them, raise `TRAINER_REVISION`.
    #[test]
    fn streams_are_pinned() {
        let mut stream = Stream::new(7, Purpose::CLASSIFIER_INIT);
        let mut items: Vec<i64> = (0..8).collect();
        stream.shuffle(&mut items);
        let text = format!("{:?} {:?} {items:?}", stream.uniform(-1.0, 1.0, 2), stream.normal(2));
        assert_eq!(
            text,
            "[0.9440708, -0.93317056] [-1.5800734, 0.08577294] [0, 2, 1, 5, 7, 6, 4, 3]"
        );
    }

    #[test]
    fn a_stream_goes_on_from_a_position() {
        let mut stream = Stream::new(7, Purpose::DROPOUT);
        for draws in [0, 1, 62, 1, 3, 64] {
            stream.uniform(0.0, 1.0, draws);
            stream.normal(draws / 2);
            let mut other = Stream::new(7, Purpose::DROPOUT);
            other.go_to(stream.position());
            assert_eq!(other.normal(70), stream.clone().normal(70), "{draws}");
        }
    }
}
