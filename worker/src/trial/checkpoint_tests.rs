//! Checkpoints on disk are read back as they were written, or not at all.

use std::{fs::File, time::SystemTime};

use swfn_shared::metrics::{MetricPoint, TEST_LOSS};

use super::*;
use crate::{lanes::named, trial::state::Phase};

fn id(digit: &str) -> TrialId {
    digit.repeat(32).parse().unwrap()
}

fn state() -> State {
    let mut state = State::new(Phase::Classifier, 200);
    state.set_float("best", 0.1 + 0.2);
    let weights = [&[0.1_f32, -0.0][..], &[1e-40]].map(tch::Tensor::from_slice);
    state.set_named("weights", vec![named("0", &weights[0]), named("1", &weights[1])]);
    state.set_points(&[MetricPoint { metric: TEST_LOSS, step: 7, value: f64::MIN_POSITIVE }]);
    state
}

#[test]
fn a_state_is_read_back_bit_for_bit() {
    let folder = tempfile::tempdir().unwrap();
    let checkpoints = Checkpoints::open(folder.path(), Device::Cpu, Duration::ZERO).unwrap();
    assert_eq!(checkpoints.get(id("a")), None);
    checkpoints.put(id("a"), &state());
    let found = checkpoints.get(id("a")).unwrap();
    assert_eq!(found, state());
    assert_eq!(found.points(|_| true).unwrap()[0].value.to_bits(), f64::MIN_POSITIVE.to_bits());
    fs::copy(checkpoints.folder.path(id("a")), checkpoints.folder.path(id("b"))).unwrap();
    assert_eq!(checkpoints.get(id("b")), None, "another trial's");
    assert!(!checkpoints.folder.path(id("b")).exists());
    assert!(checkpoints.get(id("a")).is_some());
    checkpoints.remove(id("a"));
    assert_eq!(checkpoints.get(id("a")), None);
}

#[test]
fn a_file_with_any_damage_is_removed() {
    let folder = tempfile::tempdir().unwrap();
    let checkpoints = Checkpoints::open(folder.path(), Device::Cpu, Duration::ZERO).unwrap();
    checkpoints.put(id("a"), &state());
    let path = checkpoints.folder.path(id("a"));
    let whole = fs::read(&path).unwrap();
    for at in 0..whole.len() {
        let mut flipped = whole.clone();
        flipped[at] ^= 1;
        for damaged in [&flipped, &whole[..at]] {
            fs::write(&path, damaged).unwrap();
            // The header's padding may be any blank.
            let found = checkpoints.get(id("a"));
            assert!(found.is_none_or(|found| found == state()), "{at}");
        }
        assert!(!path.exists(), "{at}: cut");
    }
}

#[test]
fn a_state_with_impossible_numbers_is_rejected() {
    let folder = tempfile::tempdir().unwrap();
    let checkpoints = Checkpoints::open(folder.path(), Device::Cpu, Duration::ZERO).unwrap();
    for wrong in [f32::NAN, f32::INFINITY] {
        let mut state = state();
        state.set_named("momentum", vec![named("0", &tch::Tensor::from_slice(&[0.5, wrong]))]);
        checkpoints.put(id("a"), &state);
        assert!(checkpoints.folder.path(id("a")).exists());
        assert_eq!(checkpoints.get(id("a")), None, "{wrong}");
        assert!(!checkpoints.folder.path(id("a")).exists());
    }
    let mut state = state();
    assert!(state.share("best").is_ok() && state.points(|_| false).is_err());
    state.set_float("best", 1.5);
    assert!(state.share("best").is_err());
}

#[test]
fn a_checkpoint_that_is_further_stays() {
    let folder = tempfile::tempdir().unwrap();
    let checkpoints = Checkpoints::open(folder.path(), Device::Cpu, Duration::ZERO).unwrap();
    let at = |phase, step| State::new(phase, step);
    for (phase, step) in [(Phase::Vae, 300), (Phase::Classifier, 100), (Phase::Classifier, 200)] {
        checkpoints.put(id("a"), &at(phase, step));
        assert_eq!(checkpoints.get(id("a")), Some(at(phase, step)));
    }
    for (phase, step) in [(Phase::Vae, 400), (Phase::Classifier, 100)] {
        checkpoints.put(id("a"), &at(phase, step));
        assert_eq!(checkpoints.get(id("a")), Some(at(Phase::Classifier, 200)));
    }
    // A damaged file is replaced.
    fs::write(checkpoints.folder.path(id("a")), "garbage").unwrap();
    checkpoints.put(id("a"), &at(Phase::Vae, 1));
    assert_eq!(checkpoints.get(id("a")), Some(at(Phase::Vae, 1)));
}

#[test]
fn only_own_files_grow_too_old() {
    let folder = tempfile::tempdir().unwrap();
    let (day, trial) = (Duration::from_secs(24 * 60 * 60), "a".repeat(32));
    for (name, age) in [
        (format!("{trial}.cpu.checkpoint"), 31),
        (format!("{trial}.cuda.checkpoint"), 29),
        (format!("{trial}.x.part"), 1),
        ("notes.checkpoint".to_owned(), 90),
    ] {
        let file = File::create(folder.path().join(name)).unwrap();
        file.set_modified(SystemTime::now() - age * day).unwrap();
    }
    Checkpoints::open(folder.path(), Device::Cpu, Duration::ZERO).unwrap();
    let mut left: Vec<_> =
        fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    left.sort();
    assert_eq!(
        left,
        [format!("{trial}.cuda.checkpoint"), "notes.checkpoint".to_owned()]
            .map(std::ffi::OsString::from)
    );
}
