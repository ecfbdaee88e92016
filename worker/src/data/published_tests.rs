//! Whole data sets: downloaded, found again, found in the user's folder, refused.

use std::fs;
use std::path::PathBuf;

use sha2::{Digest, Sha256};
use swfn_shared::catalogue::{DigestOf, Entry, IDX_FILES, MNIST, Origin, Published, PublishedFile};
use swfn_shared::dataset::{Dataset, Sizes, Units};
use swfn_shared::image::ImageShape;

use super::dataset::{LoadOptions, load};
use super::download_tests::{Server, good};
use super::idx::hex;
use super::idx_tests::{gzip, idx};

/// Reads the real files from the folder that `SWFN_TEST_MNIST` names; skipped without it.
#[test]
fn mnist_is_what_it_is_known_to_be() {
    let Some(dir) = std::env::var_os("SWFN_TEST_MNIST") else {
        eprintln!("skipped: SWFN_TEST_MNIST does not name a folder with the MNIST files");
        return;
    };
    let options = LoadOptions { data_dir: Some(PathBuf::from(dir)), ..LoadOptions::default() };
    let data = load(&Dataset::of(&MNIST), &options).unwrap();
    assert_eq!((data.train.len(), data.test.len(), data.classes), (60_000, 10_000, 10));
    let train = data.train.gather(&(0..60_000).collect::<Vec<_>>());
    assert_eq!(train.shape, ImageShape::grey(28, 28));
    assert_eq!(train.labels[..10], [5, 0, 4, 1, 9, 2, 1, 3, 1, 4]);
    assert_eq!(data.test.labels[..10], [7, 2, 1, 0, 4, 1, 4, 9, 5, 9]);
    // The mean with which everyone normalises, 0.1307, known to four digits.
    let sum: u64 = train.images.iter().map(|&pixel| u64::from(pixel)).sum();
    let mean = sum as f64 / train.images.len() as f64 / 255.0;
    assert!((mean - 0.1307).abs() < 0.00005, "{mean}");
}

/// A data set of three training images and one test image, and a mirror that serves it.
fn tiny(digest_of: DigestOf) -> (Dataset, Server) {
    let files = [
        idx(&[3, 2, 2], &[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]),
        idx(&[3], &[0, 9, 4]),
        idx(&[1, 2, 2], &[13, 14, 15, 16]),
        idx(&[1], &[5]),
    ];
    let digests = files.each_ref().map(|file| {
        let digest = match digest_of {
            DigestOf::Content => Sha256::digest(file),
            DigestOf::Gzip => Sha256::digest(gzip(file)),
        };
        &*hex(&digest).leak()
    });
    let server = Server::start(move |_, (name, range)| {
        let at = IDX_FILES.iter().position(|file| *name == format!("{file}.gz")).unwrap();
        good(&gzip(&files[at]), *range)
    });
    let files = IDX_FILES.iter().zip(digests).map(|(name, sha256)| PublishedFile { name, sha256 });
    let files = files.collect::<Vec<_>>().leak();
    let published = Published { files, digest_of, mirrors: &[], folders: &[] };
    let sizes =
        Sizes { image: ImageShape::grey(2, 2), classes: 10, train_images: 3, test_images: 1 };
    let entry = Entry {
        name: "tiny",
        title: "",
        source: "",
        sizes,
        units: Units::OF_MNIST,
        origin: Origin::Published(published),
    };
    (Dataset::of(Box::leak(Box::new(entry))), server)
}

#[test]
fn a_data_set_is_downloaded_only_once() {
    for digest_of in [DigestOf::Content, DigestOf::Gzip] {
        let (tiny, server) = tiny(digest_of);
        let folder = tempfile::tempdir().unwrap();
        let cache = LoadOptions { cache_dir: Some(folder.path().into()), ..LoadOptions::default() };
        let offline = LoadOptions { offline: true, ..cache.clone() };
        let error = load(&tiny, &offline).unwrap_err().to_string();
        assert!(error.contains("`train-images-idx3-ubyte.gz` of tiny not found"), "{error}");

        let online = LoadOptions { mirrors: vec![server.address.clone()], ..cache.clone() };
        let data = load(&tiny, &online).unwrap();
        assert_eq!((data.train.len(), data.test.len(), data.classes), (3, 1, 10));
        assert_eq!(data.train.gather(&[1]).images, [5, 6, 7, 8]);
        assert_eq!((data.test.labels.as_slice(), server.ranges().len()), (&[5][..], 4));
        load(&tiny, &offline).unwrap();

        // As the user's own folder, with the files of the cache; then one of them is changed.
        let dir = folder.path().join("data");
        let own = LoadOptions { data_dir: Some(dir.clone()), ..LoadOptions::default() };
        load(&tiny, &own).unwrap();
        let labels = dir.join("tiny/train-labels-idx1-ubyte.gz");
        fs::write(&labels, gzip(&idx(&[3], &[0, 9, 5]))).unwrap();
        let error = load(&tiny, &own).unwrap_err();
        let (file, wrong) = (labels.display().to_string(), "` has the SHA-256 `");
        assert!(error.what.contains(&format!("{file}{wrong}")), "{error}");
        fs::remove_file(&labels).unwrap();
        let error = load(&tiny, &own).unwrap_err().to_string();
        assert!(error.contains(&format!("`{}`", labels.display())), "{error}");

        // Uncompressed and right in the folder: fine where the checksum is of the content.
        fs::write(dir.join(IDX_FILES[1]), idx(&[3], &[0, 9, 4])).unwrap();
        assert_eq!(load(&tiny, &own).is_ok(), digest_of == DigestOf::Content);
    }
}
