//! Properties that others rely on: stable bytes, distinct images, MNIST-like statistics.

use std::collections::HashSet;

use sha2::{Digest, Sha256};

use super::{Part, TEST_LEN, TRAIN_LEN, draw};

/// The digest rule of `SYNTHETIC_VERSION`. If this test fails, the images have changed: raise the
/// version, then pin the new digest.
#[test]
fn the_bytes_of_version_1_never_change() {
    let mut hasher = Sha256::new();
    for index in 0..1000 {
        let (label, pixels) = draw(0, Part::Train, index);
        hasher.update([label]);
        hasher.update(pixels);
    }
    let digest: String = hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(digest, "c91f81b0a39ad7595a1a3e74b7622c4e8cedc063a61f8357925ec4a652f00bb6");
}

#[test]
fn all_images_are_distinct() {
    // Optimised builds look at every image, others at fewer, to stay within seconds.
    let part = if cfg!(debug_assertions) { 10 } else { 1 };
    let mut seen = HashSet::new();
    for (split, len) in [(Part::Train, TRAIN_LEN / part), (Part::Test, TEST_LEN / part)] {
        for index in 0..len as u64 {
            let (_, pixels) = draw(0, split, index);
            let digest: [u8; 32] = Sha256::digest(pixels).into();
            assert!(seen.insert(digest), "image {index} of {split:?} repeats another");
        }
    }
    let (_, pixels) = draw(1, Part::Train, 0);
    assert!(
        !seen.contains(&<[u8; 32]>::from(Sha256::digest(pixels))),
        "another seed, the same image"
    );
}

/// The pipeline normalises with MNIST's mean 0.1307 and standard deviation 0.3081, so these must
/// fit here as well. Over 4,000 images both vary by about 0.001; the tolerance leaves room for a
/// later version, not for a mistake.
#[test]
fn pixel_statistics_are_those_of_mnist() {
    let images = 4000;
    let (mut sum, mut squares, mut classes) = (0.0, 0.0, [0u32; 10]);
    for index in 0..images {
        let (label, pixels) = draw(0, Part::Train, index);
        classes[usize::from(label)] += 1;
        for pixel in pixels {
            let value = f64::from(pixel) / 255.0;
            sum += value;
            squares += value * value;
        }
    }
    let count = images as f64 * 784.0;
    let mean = sum / count;
    let deviation = (squares / count - mean * mean).sqrt();
    assert!((mean - 0.1307).abs() < 0.005, "mean {mean}");
    assert!((deviation - 0.3081).abs() < 0.008, "standard deviation {deviation}");
    // 400 of each expected with a standard deviation of 19.
    assert!(classes.iter().all(|&n| (310..490).contains(&n)), "{classes:?}");
}

/// The ink of every digit lies near the centre and leaves the border white, as the 20 x 20 box in
/// MNIST does.
#[test]
fn digits_are_centred() {
    for index in 0..500 {
        let (label, pixels) = draw(7, Part::Test, index);
        let (mut mass, mut x, mut y) = (0.0, 0.0, 0.0);
        for (i, &pixel) in pixels.iter().enumerate() {
            // Faint paper noise is no ink.
            let ink = if pixel > 40 { f64::from(pixel) } else { 0.0 };
            mass += ink;
            x += ink * (i % 28) as f64;
            y += ink * (i / 28) as f64;
        }
        let (x, y) = (x / mass - 13.5, y / mass - 13.5);
        assert!(
            x.abs() < 2.5 && y.abs() < 2.5,
            "image {index} of class {label} is off by {x}, {y}"
        );
    }
}
