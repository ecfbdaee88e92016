//! A small data set as IDX files, as users bring their own.

use std::{fs::File, io, io::Write as _, path::Path, sync::OnceLock};

use flate2::{Compression, write::GzEncoder};
use tempfile::TempDir;

/// Height and width of the images.
pub const SIDE: usize = 32;

fn write(folder: &Path, name: &str, sizes: &[usize], content: &[u8]) -> io::Result<()> {
    let mut file =
        GzEncoder::new(File::create(folder.join(format!("{name}.gz")))?, Compression::fast());
    file.write_all(&[0, 0, 8, sizes.len() as u8])?;
    sizes.iter().try_for_each(|size| file.write_all(&(*size as u32).to_be_bytes()))?;
    file.write_all(content)?;
    file.finish().map(drop)
}

/// Writes images and labels of a part, `train` or `t10k`: noise with horizontal, vertical or
/// diagonal stripes, one class each.
///
/// # Panics
/// If the folder cannot be written.
pub fn write_images(folder: &Path, part: &str, count: usize) {
    write_images_of(SIDE, folder, part, count);
}

/// The `[data]` of a tiny set. A small trial on the synthetic digits would spend most of its time
/// on drawing and evaluating ten thousand test images. Workers check the digest.
pub const FEW: &str = "[data]\ndataset = \"idx\"\ndigest = \"6833280294abd6d62ad65a3a514d40fb3e75c250963856faa0d8d4fa7c22fadb\"\n\
                       height = 28\nwidth = 28\nclasses = 3\ntrain_images = 300\ntest_images = 90\n";

/// Returns the digest of the tiny set.
///
/// # Panics
/// Never: [`FEW`] has the digest.
pub fn few_digest() -> &'static str {
    FEW.split('"').nth(3).expect("the second text in quotes")
}

/// Returns the folder with the tiny set, which is written once per process.
///
/// # Panics
/// If it cannot be written.
pub fn few() -> &'static Path {
    static FOLDER: OnceLock<TempDir> = OnceLock::new();
    let folder = FOLDER.get_or_init(|| {
        let folder = TempDir::new().expect("a temporary folder can be made");
        write_images_of(28, folder.path(), "train", 300);
        write_images_of(28, folder.path(), "t10k", 90);
        folder
    });
    folder.path()
}

fn write_images_of(side: usize, folder: &Path, part: &str, count: usize) {
    let mut state = count as u32;
    let labels: Vec<u8> = (0..count).map(|index| (index % 3) as u8).collect();
    let mut pixels = Vec::new();
    for label in &labels {
        for (y, x) in (0..side).flat_map(|y| (0..side).map(move |x| (y, x))) {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let stripe = [y, x, x + y][usize::from(*label)] / 4 % 2;
            pixels.push((state >> 25) as u8 + stripe as u8 * 100);
        }
    }
    let images = write(folder, &format!("{part}-images-idx3-ubyte"), &[count, side, side], &pixels);
    let labels = write(folder, &format!("{part}-labels-idx1-ubyte"), &[count], &labels);
    images.and(labels).expect("the folder can be written");
}
