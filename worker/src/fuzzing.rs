//! Fuzz targets: files of images, files in the cache folder, device lists. Each panics when a
//! promise is broken.

use std::{io::Write as _, path::Path};

use flate2::{Compression, Crc, read::DeflateDecoder, write::GzEncoder};
use swfn_shared::problem::Problem;

use crate::{
    data::{Idx, MAX_ELEMENTS, parse_idx},
    device, devices,
    train::width::fuzzing::lanes,
    trial::checkpoint::fuzzing::checkpoint,
    vae::file::fuzzing::vae,
};

/// A target: the name of its corpus, and its function.
pub type Target = (&'static str, fn(&[u8]));

/// All targets.
pub const TARGETS: &[Target] = &[
    ("idx", idx),
    ("gzip", gzip),
    ("checkpoint", checkpoint),
    ("vae", vae),
    ("lanes", lanes),
    ("devices", device_list),
];

/// An IDX file, plain or compressed.
pub fn idx(data: &[u8]) {
    let Some(found) = explained(parse(data)) else { return };
    // The same content however it is compressed.
    let plain = plain(&found);
    assert_eq!(parse(&plain).ok().as_ref(), Some(&found));
    let mut compressed = GzEncoder::new(Vec::new(), Compression::fast());
    compressed.write_all(&plain).expect("memory can be written");
    assert_eq!(parse(&compressed.finish().expect("memory can be written")).ok(), Some(found));
}

/// The body of a gzip file. Header and checksum are added, since random bytes would never match
/// them.
pub fn gzip(body: &[u8]) {
    use std::io::Read as _;
    let mut content = Vec::new();
    let whole = DeflateDecoder::new(body).take(1 << 20).read_to_end(&mut content).is_ok();
    let mut crc = Crc::new();
    crc.update(&content);
    let mut file = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];
    file.extend_from_slice(body);
    file.extend(crc.sum().to_le_bytes());
    file.extend(crc.amount().to_le_bytes());
    let read = explained(parse(&file));
    if let Some(found) = read {
        assert!(whole, "a damaged stream is refused");
        assert_eq!(plain(&found), content);
    }
}

/// The value of `--devices`.
pub fn device_list(data: &[u8]) {
    let Ok(list) = std::str::from_utf8(data) else { return };
    for gpus in [0, 3] {
        match devices::expand(list, gpus, 2, None) {
            Ok(names) => {
                assert!(!names.is_empty() && names.len() <= 1_024, "{} processes", names.len());
                // A device need not exist, but its name must be valid.
                for name in &names {
                    let known = device::parse(name);
                    assert!(known.is_ok() || name.starts_with("cuda:"), "{name}");
                    known.iter().for_each(|device| assert_eq!(device::name(*device), *name));
                }
                assert_eq!(devices::expand(&names.join(","), gpus, 2, None).ok(), Some(names));
            }
            Err(error) => {
                let error = error.to_string();
                assert!(error.contains("\nhint: ") && error.len() < 2_000, "{error}");
                assert!(error.chars().all(|c| c == '\n' || !c.is_control()), "{error:?}");
            }
        }
    }
}

fn parse(bytes: &[u8]) -> Result<Idx, Problem> {
    parse_idx(Path::new("file"), bytes.len() as u64, bytes, MAX_ELEMENTS)
}

/// The content that was read. Errors must name a place within the file.
fn explained(read: Result<Idx, Problem>) -> Option<Idx> {
    match read {
        Ok(idx) => {
            assert_eq!(idx.dims.iter().product::<usize>(), idx.data.len());
            assert!(matches!(idx.dims.len(), 1 | 3 | 4) && !idx.data.is_empty());
            Some(idx)
        }
        Err(Problem { what, .. }) => {
            assert!(what.starts_with("`file`, byte ") && what.len() < 400, "{what}");
            None
        }
    }
}

/// The file, uncompressed.
fn plain(idx: &Idx) -> Vec<u8> {
    let mut file = vec![0, 0, 8, idx.dims.len() as u8];
    idx.dims.iter().for_each(|size| file.extend((*size as u32).to_be_bytes()));
    file.extend_from_slice(&idx.data);
    file
}

#[cfg(test)]
mod tests {
    swfn_fuzz::corpora_hold!(super::TARGETS);
}
