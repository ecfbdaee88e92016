//! A small data set of one's own, as IDX files.

use std::{fs::File, io, io::Write as _, path::Path};

use flate2::{Compression, write::GzEncoder};

/// Height and width of its images.
pub const SIDE: usize = 32;

fn write(folder: &Path, name: &str, sizes: &[usize], content: &[u8]) -> io::Result<()> {
    let mut file = GzEncoder::new(File::create(folder.join(format!("{name}.gz")))?, Compression::fast());
    file.write_all(&[0, 0, 8, sizes.len() as u8])?;
    sizes.iter().try_for_each(|size| file.write_all(&(*size as u32).to_be_bytes()))?;
    file.write_all(content)?;
    file.finish().map(drop)
}

/// Writes images and labels of a part, `train` or `t10k`: noise with horizontal, vertical or diagonal stripes, one class
/// each.
///
/// # Panics
/// If the folder cannot be written.
pub fn write_images(folder: &Path, part: &str, count: usize) {
    let mut state = count as u32;
    let labels: Vec<u8> = (0..count).map(|index| (index % 3) as u8).collect();
    let mut pixels = Vec::new();
    for label in &labels {
        for (y, x) in (0..SIDE).flat_map(|y| (0..SIDE).map(move |x| (y, x))) {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let stripe = [y, x, x + y][usize::from(*label)] / 4 % 2;
            pixels.push((state >> 25) as u8 + stripe as u8 * 100);
        }
    }
    let images = write(folder, &format!("{part}-images-idx3-ubyte"), &[count, SIDE, SIDE], &pixels);
    let labels = write(folder, &format!("{part}-labels-idx1-ubyte"), &[count], &labels);
    images.and(labels).expect("the folder can be written");
}
