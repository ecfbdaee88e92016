//! Files that are whole, damaged, or made to do harm.

use std::io::Write;
use std::path::Path;

use flate2::Compression;
use flate2::write::GzEncoder;
use proptest::prelude::*;
use swfn_shared::problem::Problem;

use super::format::split;
use super::idx::{Idx, MAX_ELEMENTS, parse_idx};

fn parse(bytes: &[u8]) -> Result<Idx, Problem> {
    parse_idx(Path::new("some-file"), bytes.len() as u64, bytes, MAX_ELEMENTS)
}

/// The offset and the reason of the error that `bytes` must cause.
fn refused(bytes: &[u8]) -> (u64, String) {
    let what = parse(bytes).unwrap_err().what;
    let place = what.strip_prefix("`some-file`, byte ").and_then(|place| place.split_once(": "));
    let (offset, why) = place.unwrap_or_else(|| panic!("expected a format error: {what}"));
    (offset.parse().unwrap(), why.to_owned())
}

pub(super) fn idx(dims: &[u32], data: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0, 0, 8, dims.len() as u8];
    dims.iter().for_each(|size| bytes.extend(size.to_be_bytes()));
    bytes.extend(data);
    bytes
}

pub(super) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn plain_and_compressed_files_are_the_same() {
    let bytes = idx(&[2, 1, 3], &[1, 2, 3, 4, 5, 6]);
    let plain = parse(&bytes).unwrap();
    assert_eq!(
        (plain.dims.as_slice(), plain.data.as_slice()),
        (&[2, 1, 3][..], &[1, 2, 3, 4, 5, 6][..])
    );
    assert_eq!(parse(&gzip(&bytes)).unwrap(), plain);
}

#[test]
fn zeros_behind_compressed_data_are_padding() {
    let bytes = idx(&[2, 1, 3], &[1, 2, 3, 4, 5, 6]);
    let plain = parse(&bytes).unwrap();
    let padded = |zeros: usize| [gzip(&bytes), vec![0; zeros]].concat();
    for zeros in [1, 512, 100_000] {
        assert_eq!(parse(&padded(zeros)).unwrap(), plain, "{zeros}");
    }
    let two = [gzip(&bytes[..9]), vec![0; 512], gzip(&bytes[9..])].concat();
    assert_eq!(parse(&two).unwrap(), plain, "two members");
    assert!(refused(&[padded(512), b"more".to_vec()].concat()).1.contains("damaged gzip data"));
    // Zeros behind what is not compressed are elements too many.
    refused(&[bytes, vec![0; 512]].concat());
}

#[test]
fn every_truncation_is_an_error_at_the_cut() {
    let bytes = idx(&[2, 2, 2], &[9; 8]);
    for cut in 0..bytes.len() {
        let (offset, why) = refused(&gzip(&bytes[..cut]));
        // Sizes are named by where they begin, elements by how far the file goes.
        let expected = if cut < 16 { cut / 4 * 4 } else { cut };
        assert_eq!(offset, expected as u64, "cut at {cut}: {why}");
        refused(&bytes[..cut]);
    }
    let compressed = gzip(&bytes);
    for cut in 0..compressed.len() {
        refused(&compressed[..cut]);
    }
}

#[test]
fn lying_headers_are_refused_before_anything_is_allocated() {
    for (bytes, at, why) in [
        (idx(&[u32::MAX, 4096, 4096], &[]), 4, "promise `4294967295` bytes"),
        (idx(&[1, u32::MAX, 1], &[]), 8, "the size of dimension 1 is `4294967295`"),
        (idx(&[0], &[]), 4, "the size of dimension 0 is `0`"),
        (idx(&[5], &[1, 2, 3, 4]), 8, "promises `13` bytes in all, but the file has 12"),
        (idx(&[3], &[1, 2, 3, 4]), 8, "promises `11` bytes in all, but the file has 12"),
        (idx(&[2, 2], &[0; 4]), 0, "the magic number is `00000802`"),
        (
            idx(&[1, 2, 2, 4], &[0; 16]),
            16,
            "the images have `4` channels, not 1 (grey) or 3 (colour)",
        ),
        (vec![0, 0, 9, 1, 0, 0, 0, 1, 1], 0, "the magic number is `00000901`"),
        (gzip(&idx(&[100 << 20], &[])), 8, "compressed ones cannot hold"),
        (gzip(&idx(&[3], &[1, 2, 3, 4])), 11, "bytes follow after the last of 3"),
        ([gzip(&idx(&[1], &[1])), b"more".to_vec()].concat(), 9, "damaged gzip data"),
    ] {
        let (offset, text) = refused(&bytes);
        assert!(offset == at && text.contains(why), "byte {offset}: {text}");
    }
}

#[test]
fn bombs_end_at_once() {
    let started = std::time::Instant::now();
    // 64 MiB of zeros: without a header, and after one that promises 10 bytes.
    let zeros = vec![0; 64 << 20];
    assert_eq!(refused(&gzip(&zeros)).0, 0);
    let mut promised = idx(&[10], &[]);
    promised.extend(&zeros);
    let bomb = gzip(&promised);
    // The reader asks for its bytes as it goes, which shows how far it got: a fraction of the bomb.
    struct Counting<'a>(&'a [u8], usize);
    impl std::io::Read for Counting<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
            let n = self.0.read(buffer)?;
            self.1 += n;
            Ok(n)
        }
    }
    let mut counting = Counting(&bomb, 0);
    let reader = std::io::BufReader::with_capacity(4096, &mut counting);
    let parsed = parse_idx(Path::new("bomb"), bomb.len() as u64, reader, MAX_ELEMENTS);
    assert!(parsed.is_err());
    assert!(counting.1 <= 2 * 4096, "{} of {} bytes were read", counting.1, bomb.len());
    assert!(started.elapsed().as_secs() < 20, "mostly spent on building the bombs");
}

#[test]
fn images_and_labels_must_belong_together() {
    let read = |dims: &[u32], data: &[u8]| parse(&idx(dims, data)).unwrap();
    let (images, labels) = (Path::new("images"), Path::new("labels"));
    let join = |a, b| split((images, a), (labels, b), 10).map_err(|error| error.to_string());
    let good = join(read(&[2, 1, 2], &[1, 2, 3, 4]), read(&[2], &[9, 0])).unwrap();
    assert_eq!((good.image(1), good.labels[1]), (&[3, 4][..], 0));
    for (a, b, why) in [
        (
            read(&[2, 1, 1], &[1, 2]),
            read(&[1], &[9]),
            "`images` has `2` images, but `labels` has `1` labels",
        ),
        (
            read(&[2, 1, 1], &[1, 2]),
            read(&[2], &[9, 10]),
            "`labels`, byte 9: the label `10` is not below 10",
        ),
        (
            read(&[2], &[1, 2]),
            read(&[2], &[1, 2]),
            "`images`, byte 3: `1` dimensions are not those of images",
        ),
        (
            read(&[1, 1, 1], &[1]),
            read(&[1, 1, 1], &[1]),
            "`labels`, byte 3: `3` dimensions are not those of labels",
        ),
    ] {
        let text = join(a, b).unwrap_err();
        assert!(text.contains(why) && text.contains("\nhint: "), "{text}");
    }
}

proptest! {
    #[test]
    fn random_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = parse(&bytes);
        let _ = parse(&gzip(&bytes));
    }

    /// Damage behind a good beginning reaches deeper than noise from the first byte on.
    #[test]
    fn damaged_files_never_panic(
        sizes in prop::collection::vec(0u32..5, 3),
        at in 0usize..60,
        byte: u8,
        compress: bool,
    ) {
        let count = sizes.iter().product::<u32>() as usize;
        let mut bytes = idx(&sizes, &vec![7; count]);
        if compress {
            bytes = gzip(&bytes);
        }
        if let Some(target) = bytes.get_mut(at) {
            *target = byte;
        }
        if let Ok(idx) = parse(&bytes) {
            prop_assert_eq!(idx.dims.iter().product::<usize>(), idx.data.len());
        }
    }
}
