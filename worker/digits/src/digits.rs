//! The synthetic data set: image `i` as a pure function of (seed, split, `i`).

use super::pose::{SIDE, pose};
use super::render::{Pixels, render};
use super::stream::Stream;

// The version counts up whenever any image of any seed changes, because results on different images
// must not be taken for results of the same trial.
//
// A digest tests each version: SHA-256 over the first 1,000 training images of seed 0, in order,
// for each its label as one byte, then its 784 pixels row by row. All arithmetic is integer or IEEE
// 754 single precision with exactly rounded operations only (`+ - * /` and `sqrt`; no library
// function, no fused operations). So the digest holds on every platform whose `f32` is IEEE 754
// without excess precision: all but 32-bit x86 without SSE2.
pub use swfn_shared::catalogue::SYNTHETIC_VERSION;

/// Images in the training split.
pub const TRAIN_LEN: usize = 60_000;
/// Images in the test split.
pub const TEST_LEN: usize = 10_000;
/// Height and width of an image in pixels.
pub const IMAGE_SIDE: usize = SIDE;

/// The two splits; their images are drawn from different streams of random numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// 60,000 images.
    Train = 0,
    /// 10,000 images.
    Test = 1,
}

/// Draws one image: its class, uniform in 0..10, and its pixels. Independent of all other images,
/// so that a subset costs its own images only (7 us each on one core).
pub fn draw(seed: u64, part: Part, index: u64) -> (u8, Pixels) {
    let mut stream = Stream::new(seed, part as u8, SYNTHETIC_VERSION, index);
    let class = stream.below(10);
    let pose = pose(class as usize, &mut stream);
    (class as u8, render(&pose, &mut stream))
}
