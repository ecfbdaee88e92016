//! Fuzz target: checkpoint files.

use tch::Tensor;

use super::*;
use crate::{
    lanes::{Named, named},
    rng::{Purpose, Stream},
    trial::batches::Batches,
};

/// Reads a file in a folder that others can write: the bytes as they are, which hardly ever have
/// the right checksum, and their tensors and numbers in a valid file. That file is read back the
/// same, and its state does no harm.
pub(crate) fn checkpoint(data: &[u8]) {
    let trial = "0123456789abcdef0123456789abcdef".parse().expect("an id");
    match decode(data, trial, Device::Cpu) {
        Ok(state) => resume(&state),
        Err(error) => assert!(error.to_string().len() < 10_000, "{error}"),
    }
    let Ok(tensors) = store_file::decode(data) else { return };
    let numbers = store_file::description::<Numbers>(data).ok().or_else(|| {
        store_file::description::<Description>(data).ok().and_then(|found| found.numbers)
    });
    let state = State { numbers: numbers.unwrap_or_default(), tensors };
    let numbers = Some(state.numbers.clone());
    let content = folder::encode(Owner::Trial(trial), Device::Cpu, &state.tensors, numbers);
    match decode(&content.expect("decoded tensors can be encoded"), trial, Device::Cpu) {
        Ok(back) => {
            assert_eq!(back, state);
            resume(&back);
        }
        Err(error) => assert!(matches!(error, FileError::NotFinite(_)), "a valid file: {error}"),
    }
}

/// Restores values from the state, as trials do.
fn resume(state: &State) {
    const IMAGES: usize = 10;
    state.phase().ok();
    assert!(state.step(7).is_ok_and(|step| step < 7) || state.step(7).is_err());
    if let Ok(points) = state.points(|_| true) {
        assert!(
            points.iter().all(|point| point.value.is_finite() && i64::try_from(point.step).is_ok())
        );
    }
    assert!(
        state.seconds("best").is_ok_and(|best| best.is_finite() && best >= 0.0)
            || state.seconds("best").is_err()
    );
    let mut batches = Batches::new(IMAGES, 3, 0, Purpose::CLASSIFIER_BATCHES);
    if batches.restore("batches", state).is_ok() {
        for _ in 0..2 * IMAGES {
            assert!(batches.take_next().iter().all(|image| (0..IMAGES as i64).contains(image)));
        }
        batches.keep("batches", &mut State::default());
    }
    let mut stream = Stream::new(0, Purpose::PENALTY_NOISE);
    if let Ok(position) = state.position("samples") {
        stream.go_to(position);
        stream.below(10, 10);
        stream.position();
    }
    let tensor = Tensor::zeros([2, 3], (tch::Kind::Float, Device::Cpu));
    let blank = || -> Vec<Named> { vec![named("weight", &tensor)] };
    if state.restore_named("model", blank()).is_ok() {
        let mut again = State::default();
        again.set_named("model", blank());
        assert_eq!(again.tensors["model.weight"], state.tensors["model.weight"]);
    }
}
