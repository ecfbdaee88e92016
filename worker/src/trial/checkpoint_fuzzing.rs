//! Fuzz target: checkpoint files.

use tch::Tensor;

use super::*;
use crate::{
    lanes::{Named, named},
    rng::{Purpose, Stream},
    trial::batches::Batches,
};

/// A file in a folder that others can write. Beside the bytes as they are, which hardly ever have the right checksum, its tensors
/// and numbers in a file that is right: that one comes back the same, and what is taken from it cannot do harm.
pub(crate) fn checkpoint(data: &[u8]) {
    let trial = "0123456789abcdef0123456789abcdef".parse().expect("an id");
    let (every, folder) = (Duration::ZERO, PathBuf::new());
    let checkpoints = Checkpoints { folder, device: Device::Cpu, every, told: Arc::default() };
    match checkpoints.decode(trial, data) {
        Ok(state) => go_on(&state),
        Err(error) => assert!(error.to_string().len() < 10_000, "{error}"),
    }
    let Ok(tensors) = store_file::decode(data) else { return };
    let numbers = store_file::description(data)
        .or_else(|_| store_file::description::<Description>(data).map(|d| d.numbers));
    let state = State { numbers: numbers.unwrap_or_default(), tensors };
    let description = checkpoints.description(trial, &state).to_json();
    let content =
        store_file::encode(&state.tensors, description).expect("what was decoded is encoded");
    match checkpoints.decode(trial, &content) {
        Ok(back) => {
            assert_eq!(back, state);
            go_on(&back);
        }
        Err(error) => {
            assert!(matches!(error, FileError::NotFinite(_)), "a file of our own is read: {error}")
        }
    }
}

/// As trials do.
fn go_on(state: &State) {
    const IMAGES: usize = 10;
    state.phase().ok();
    assert!(state.step(7).is_ok_and(|step| step < 7) || state.step(7).is_err());
    if let Ok(points) = state.points(|_| true) {
        assert!(
            points.iter().all(|point| point.value.is_finite() && i64::try_from(point.step).is_ok())
        );
    }
    assert!(
        state.float("best").is_ok_and(|best| best.is_finite() && best >= 0.0)
            || state.float("best").is_err()
    );
    let mut batches = Batches::new(IMAGES, 3, 0, Purpose::ClassifierBatches);
    if batches.restore("batches", state).is_ok() {
        for _ in 0..2 * IMAGES {
            assert!(batches.take_next().iter().all(|image| (0..IMAGES as i64).contains(image)));
        }
        batches.keep("batches", &mut State::default());
    }
    let mut stream = Stream::new(0, Purpose::PenaltyNoise);
    if state.restore_stream("samples", &mut stream).is_ok() {
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
