//! Fuzz targets: files of images, files in the cache folder, device lists. Each panics when a promise is
//! broken.

use std::{io::Write as _, path::Path};

use flate2::{Compression, Crc, read::DeflateDecoder, write::GzEncoder};

use crate::{
    data::{DataError, Idx, parse_idx},
    device, devices,
    train::width::fuzzing::lanes,
    trial::checkpoint::fuzzing::checkpoint,
    vae::file::fuzzing::vae,
};

/// The name of a target, which is that of its corpus, and what it does.
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

/// An IDX file, plain or compressed, as it lies on the disk.
pub fn idx(data: &[u8]) {
    let parse = |bytes: &[u8]| parse_idx(Path::new("file"), bytes.len() as u64, bytes);
    let Some(found) = explained(parse(data)) else { return };
    // The same content however it is compressed.
    let plain = plain(&found);
    assert_eq!(parse(&plain).ok().as_ref(), Some(&found));
    let mut compressed = GzEncoder::new(Vec::new(), Compression::fast());
    compressed.write_all(&plain).expect("memory can be written");
    assert_eq!(parse(&compressed.finish().expect("memory can be written")).ok(), Some(found));
}

/// The body of a gzip file: header and checksum, which no chance would find, are put around it.
pub fn gzip(body: &[u8]) {
    use std::io::Read as _;
    // As much as the largest file that the deflate stream could promise without being refused.
    let mut content = Vec::new();
    let whole = DeflateDecoder::new(body).take(1 << 20).read_to_end(&mut content).is_ok();
    let mut crc = Crc::new();
    crc.update(&content);
    let mut file = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];
    file.extend_from_slice(body);
    file.extend(crc.sum().to_le_bytes());
    file.extend(crc.amount().to_le_bytes());
    let read = explained(parse_idx(Path::new("file"), file.len() as u64, file.as_slice()));
    if let Some(found) = read {
        assert!(whole, "what cannot be decompressed is refused");
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
                // What the list asks for need not be there, but must be a device's name, or say what it should be.
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

/// What was read; an error names a place within the file, and has a hint.
fn explained(read: Result<Idx, DataError>) -> Option<Idx> {
    match read {
        Ok(idx) => {
            assert_eq!(idx.dims.iter().product::<usize>(), idx.data.len());
            assert!(matches!(idx.dims.len(), 1 | 3) && !idx.data.is_empty());
            Some(idx)
        }
        Err(error @ DataError::Idx { .. }) => {
            let text = error.to_string();
            assert!(
                text.starts_with("`file`, byte ") && text.contains("\nhint: ") && text.len() < 500,
                "{text}"
            );
            None
        }
        Err(other) => panic!("{other}"),
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
