//! VAEs on disk are read back as they were written, or not at all.

use std::{
    fs::{self, File},
    path::PathBuf,
    time::Duration,
};

use swfn_shared::metrics::{MetricPoint, VAE_LOSS};
use tch::{Device, Kind, Tensor};
use tempfile::TempDir;

use super::*;
use crate::{
    store_file::ABANDONED,
    vae::{conv::ConvVae, family::Either, model::Vae, trained::Densities},
};

const SIDE: i64 = 8;

/// A VAE with numbers of its own.
fn trained(seed: u64) -> TrainedVae {
    let points = [(100, 0.1 + seed as f64 / 3.0), (130, f64::MIN_POSITIVE)];
    let losses = points.map(|(step, value)| MetricPoint { metric: VAE_LOSS, step, value }).to_vec();
    TrainedVae { losses, ..blank(seed) }
}

/// The same without a curve.
fn blank(seed: u64) -> TrainedVae {
    let code = |factor: f64| {
        Tensor::from_slice(&[0.1, -0.2, 0.3]).view([1, 1, 3]).to_kind(Kind::Float) * factor
    };
    let vae = Vae::new(SIDE * SIDE, 5, 3, &[seed], Device::Cpu.into());
    let reconstructions = Tensor::full([2, SIDE * SIDE], seed as f64, (Kind::Float, Device::Cpu));
    let density = Densities::new(Either::Vanilla(vae.decoder), &code(seed as f64), &code(-1.0));
    TrainedVae::new(density, reconstructions)
}

fn convolutional(seed: u64) -> TrainedVae {
    let code = Tensor::full([1, 1, 3], seed as f64, (Kind::Float, Device::Cpu));
    let vae = ConvVae::new([SIDE, SIDE, 1], 16, 3, &[seed], Device::Cpu);
    let decoder = Either::Convolutional(Box::new(vae.decoder));
    let density = Densities::new(decoder, &code, &code);
    TrainedVae::new(density, Tensor::zeros_like(&code.squeeze_dim(0)))
}

/// Names, places in memory and bits of all tensors, and bits of all points.
type Bits = (Vec<(String, Vec<i64>, Vec<i64>, Vec<u32>)>, Vec<(u64, u64)>);

fn bits(vae: &TrainedVae) -> Bits {
    let bits = |tensor: &Tensor| Vec::<f32>::try_from(tensor.detach().flatten(0, -1)).unwrap();
    let tensors = vae.tensors().into_iter().map(|(name, tensor)| {
        (
            name.into_owned(),
            tensor.size(),
            tensor.stride(),
            bits(&tensor).into_iter().map(f32::to_bits).collect(),
        )
    });
    (
        tensors.collect(),
        vae.losses.iter().map(|point| (point.step, point.value.to_bits())).collect(),
    )
}

fn id(digit: &str) -> VaeId {
    digit.repeat(32).parse().unwrap()
}

fn cache() -> (TempDir, DiskCache) {
    let folder = tempfile::tempdir().unwrap();
    let cache = DiskCache::open(folder.path(), Device::Cpu, DEFAULT_LIMIT).unwrap();
    (folder, cache)
}

/// Names of all files, sorted.
fn files(folder: &TempDir) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(folder.path())
        .unwrap()
        .map(|e| e.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

fn set_age(path: PathBuf, age: Duration) {
    File::open(path).unwrap().set_modified(SystemTime::now() - age).unwrap();
}

#[test]
fn a_vae_is_read_back_bit_for_bit() {
    let (_folder, cache) = cache();
    assert!(cache.get(id("a"), 130, || unreachable!("there is no file")).is_none());
    cache.put(id("a"), &trained(1));
    cache.put(id("b"), &trained(2));
    cache.put(id("c"), &convolutional(3));
    assert_eq!(bits(&cache.get(id("a"), 130, || blank(9)).unwrap()), bits(&trained(1)));
    assert_eq!(bits(&cache.get(id("b"), 130, || blank(9)).unwrap()), bits(&trained(2)));
    assert_eq!(
        bits(&cache.get(id("c"), 130, || convolutional(9)).unwrap()),
        bits(&convolutional(3))
    );
    assert_ne!(bits(&trained(1)).0, bits(&trained(9)).0);
}

/// Puts a changed file in place of a good one. It must not be used, must be removed, and must be
/// replaced by the next.
fn refused(what: &str, change: impl FnOnce(&mut Vec<u8>)) {
    let (folder, cache) = cache();
    cache.put(id("a"), &trained(1));
    let path = cache.folder.path(id("a"));
    let mut content = fs::read(&path).unwrap();
    change(&mut content);
    fs::write(&path, content).unwrap();
    assert!(cache.get(id("a"), 130, || blank(9)).is_none(), "{what}");
    assert_eq!(files(&folder), [""; 0], "{what}");
    cache.put(id("a"), &trained(1));
    assert!(cache.get(id("a"), 130, || blank(9)).is_some(), "{what}");
}

#[test]
fn a_file_with_impossible_numbers_is_not_used() {
    let with = |points: &[(u64, f64)]| {
        let point = |(step, value): &(u64, f64)| MetricPoint {
            metric: VAE_LOSS,
            step: *step,
            value: *value,
        };
        TrainedVae { losses: points.iter().map(point).collect(), ..trained(1) }
    };
    let vae = trained(1);
    let mut tensors = vae.tensors();
    {
        let _guard = tch::no_grad_guard();
        let _filled = tensors[0].1.f_fill_(f64::NAN).unwrap();
    }
    for (what, vae) in [
        ("a step of no training", with(&[(u64::MAX, 1.0)])),
        ("a step beyond the last", with(&[(100, 1.0), (131, 1.0)])),
        ("a loss beyond all sums", with(&[(100, 1.7e308)])),
        ("a number that is none", vae),
    ] {
        let (folder, cache) = cache();
        cache.put(id("a"), &vae);
        assert_eq!(files(&folder).len(), 1);
        assert!(cache.get(id("a"), 130, || blank(9)).is_none(), "{what}");
        assert_eq!(files(&folder), [""; 0], "{what}");
    }
}

#[test]
fn a_file_with_a_wrong_byte_is_rejected() {
    let small = |seed: i64| {
        let vae = Vae::new(2, 1, 1, &[seed.unsigned_abs()], Device::Cpu.into());
        let code = Tensor::full([1, 1, 1], seed, (Kind::Float, Device::Cpu));
        TrainedVae::new(
            Densities::new(Either::Vanilla(vae.decoder), &code, &code),
            code.squeeze_dim(0),
        )
    };
    let vae = TrainedVae { losses: trained(1).losses, ..small(1) };
    let file = file::encode(id("a"), Device::Cpu, &vae).unwrap();
    for at in 0..file.len() {
        let mut damaged = file.clone();
        damaged[at] ^= 0x80;
        assert!(file::decode(&damaged, id("a"), Device::Cpu, 130, small(9)).is_err(), "byte {at}");
        assert!(
            file::decode(&file[..at], id("a"), Device::Cpu, 130, small(9)).is_err(),
            "cut at {at}"
        );
    }
    assert!(file::decode(&file, id("a"), Device::Cpu, 130, small(9)).is_ok());
}

#[test]
fn a_wrong_file_is_removed() {
    let replaced = |old: &'static str, new: &'static str| {
        move |content: &mut Vec<u8>| {
            assert_eq!(old.len(), new.len());
            let at = content.windows(old.len()).position(|part| part == old.as_bytes()).unwrap();
            content[at..at + old.len()].copy_from_slice(new.as_bytes());
        }
    };
    refused("a flipped bit", |content| *content.last_mut().unwrap() ^= 1);
    refused("a truncated file", |content| content.truncate(content.len() / 2));
    refused("an empty file", Vec::clear);
    refused("garbage", |content| content.fill(b'x'));
    refused("a header of 2^63 bytes", |content| {
        content[..8].copy_from_slice(&(1_u64 << 63).to_le_bytes())
    });
    refused("another format", replaced(r#"format\":3"#, r#"format\":1"#));
    refused("another revision", replaced(r#"trainer_revision\":3"#, r#"trainer_revision\":0"#));
    refused("another libtorch", replaced(crate::libtorch::TORCH_VERSION, "2.99.0"));
    refused("another key", replaced(r#"libtorch"#, r#"libtouch"#));
    refused("another kind of device", replaced(r#"\"cpu\""#, r#"\"gpu\""#));
    refused("another name of a tensor", replaced("latent.mu", "latent.mv"));
    refused("one that is too large", |content| content.resize(content.len() + (17 << 20), 0));
    refused("another shape", |content| {
        let vae = Vae::new(SIDE * SIDE, 6, 3, &[1], Device::Cpu.into());
        let code = Tensor::zeros([1, 1, 3], (Kind::Float, Device::Cpu));
        let other = TrainedVae::new(
            Densities::new(Either::Vanilla(vae.decoder), &code, &code),
            code.squeeze_dim(0),
        );
        *content = file::encode(id("a"), Device::Cpu, &other).unwrap();
    });
    refused("another family", |content| {
        *content = file::encode(id("a"), Device::Cpu, &convolutional(1)).unwrap();
    });
    refused("another VAE", |content| {
        *content = file::encode(id("b"), Device::Cpu, &trained(1)).unwrap()
    });
    refused("a curve that is not finite", |content| {
        let point = MetricPoint { metric: VAE_LOSS, step: 1, value: f64::NAN };
        *content =
            file::encode(id("a"), Device::Cpu, &TrainedVae { losses: vec![point], ..blank(1) })
                .unwrap();
    });
}

#[test]
fn kinds_of_devices_do_not_share() {
    let (folder, cache) = cache();
    cache.put(id("a"), &trained(1));
    let other = DiskCache::open(folder.path(), Device::Cuda(1), DEFAULT_LIMIT).unwrap();
    assert!(other.get(id("a"), 130, || unreachable!("there is no file")).is_none());
    fs::rename(cache.folder.path(id("a")), other.folder.path(id("a"))).unwrap();
    assert!(other.get(id("a"), 130, || blank(9)).is_none());
    assert_eq!(files(&folder), [""; 0]);
}

#[test]
fn writers_and_readers_do_not_disturb_each_other() {
    let (folder, cache) = cache();
    cache.put(id("a"), &trained(1));
    let bytes = fs::read(cache.folder.path(id("a"))).unwrap();
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let cache = DiskCache::open(folder.path(), Device::Cpu, DEFAULT_LIMIT).unwrap();
                (0..20).for_each(|_| cache.put(id("a"), &trained(1)));
                assert!(!cache.folder.has_warned());
            });
        }
        for _ in 0..100 {
            assert_eq!(bits(&cache.get(id("a"), 130, || blank(9)).unwrap()), bits(&trained(1)));
        }
    });
    assert_eq!(fs::read(cache.folder.path(id("a"))).unwrap(), bytes);
    assert_eq!(files(&folder).len(), 1);
}

#[test]
fn the_least_recently_used_files_go_first() {
    let (folder, mut cache) = cache();
    cache.put(id("a"), &trained(1));
    cache.limit = 3 * fs::metadata(cache.folder.path(id("a"))).unwrap().len();
    fs::write(folder.path().join("of somebody else"), [0; 100_000]).unwrap();
    for (digit, age) in [("b", 20), ("c", 30)] {
        cache.put(id(digit), &trained(1));
        set_age(cache.folder.path(id(digit)), Duration::from_secs(age));
    }
    set_age(cache.folder.path(id("a")), Duration::from_secs(40));
    assert!(cache.get(id("a"), 130, || blank(9)).is_some());
    cache.put(id("d"), &trained(1));
    let left: Vec<_> = files(&folder).into_iter().map(|name| name[..1].to_owned()).collect();
    assert_eq!(left, ["a", "b", "d", "o"]);

    cache.limit = 100;
    cache.put(id("e"), &trained(1));
    assert!(
        cache.folder.has_warned() && files(&folder).len() == 4,
        "a VAE that never fits drives no others out"
    );
}

#[test]
fn files_of_dead_writers_are_removed() {
    let folder = tempfile::tempdir().unwrap();
    let (old, new) = (format!("{}.X1.part", id("a")), format!("{}.X2.part", id("a")));
    for name in [&old, &new, "of somebody else.part"] {
        fs::write(folder.path().join(name), "half").unwrap();
    }
    for name in [&old, "of somebody else.part"] {
        set_age(folder.path().join(name), ABANDONED * 2);
    }
    DiskCache::open(folder.path(), Device::Cpu, DEFAULT_LIMIT).unwrap();
    assert_eq!(files(&folder), [&new, "of somebody else.part"]);
}

#[test]
fn an_unwritable_folder_is_reported_once() {
    // Files cannot be made there, not even by root.
    let cache = DiskCache::open(Path::new("/proc/self"), Device::Cpu, DEFAULT_LIMIT).unwrap();
    assert!(cache.get(id("a"), 130, || blank(9)).is_none() && !cache.folder.has_warned());
    cache.put(id("a"), &trained(1));
    assert!(cache.folder.has_warned());
    cache.put(id("a"), &trained(1));
    assert!(
        DiskCache::open(Path::new("/proc/self/stat/vaes"), Device::Cpu, DEFAULT_LIMIT).is_err()
    );
}

#[test]
fn a_folder_with_a_files_name_stays() {
    let (folder, cache) = cache();
    fs::create_dir(cache.folder.path(id("a"))).unwrap();
    assert!(cache.get(id("a"), 130, || blank(9)).is_none());
    cache.put(id("a"), &trained(1));
    assert!(cache.folder.has_warned() && files(&folder).len() == 1);
}
