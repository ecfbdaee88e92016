//! Handwritten digits without a download: strokes, a hand that varies them, and ink. They are 28 x
//! 28 grey images of ten classes, with the pixel statistics and about the difficulty of MNIST.

mod digits;
mod geometry;
mod pose;
mod render;
mod stream;
mod strokes;
#[cfg(test)]
mod tests;

pub use digits::{IMAGE_SIDE, Part, SYNTHETIC_VERSION, TEST_LEN, TRAIN_LEN, draw};
