//! The file of one trained VAE: its bytes, and all checks before they are used. The files' folder
//! is `disk`'s business.
//!
//! The format is safetensors (<https://github.com/huggingface/safetensors>): reading one runs no
//! code. The file has the VAE's tensors and the curve of its training, `loss.step` and
//! `loss.value`. Its description is the key `swfn` of the metadata.

use safetensors::Dtype;
use swfn_shared::{
    ids::VaeId,
    metrics::{MetricPoint, VAE_LOSS},
};
use tch::{Device, Tensor, no_grad_guard};

use super::trained::TrainedVae;
use crate::{
    store_file::{Contents, FileError, bytes, dtype, shape},
    trial::folder::{self, Owner},
};

/// Iterations of the curve's points, 64-bit integers, `[points]`.
const STEPS: &str = "loss.step";

/// Losses of the curve's points in nats per image, 64-bit floats, `[points]`.
const VALUES: &str = "loss.value";

/// Room in bytes for everything but the VAE's own tensors: the header, and the curve of 50 million
/// iterations.
const SLACK: u64 = 16 << 20;

/// Size of the largest file that [`decode`] reads into a VAE, in bytes.
pub(super) fn most_bytes(vae: &TrainedVae) -> u64 {
    vae.tensors()
        .iter()
        .map(|(_, tensor)| (tensor.numel() * tensor.kind().elt_size_in_bytes()) as u64)
        .sum::<u64>()
        + SLACK
}

/// The file of a VAE that was trained on `device`.
///
/// # Errors
/// [`FileError::Damaged`] for more than 100 MB of names and shapes.
pub(super) fn encode(id: VaeId, device: Device, vae: &TrainedVae) -> Result<Vec<u8>, FileError> {
    let mut contents = Contents::new();
    for (name, tensor) in vae.tensors() {
        contents.insert(name.into_owned(), (dtype(&tensor), shape(&tensor), bytes(&tensor)));
    }
    let points = &vae.losses;
    let steps = points.iter().flat_map(|point| point.step.to_le_bytes()).collect();
    let values = points.iter().flat_map(|point| point.value.to_le_bytes()).collect();
    contents.insert(STEPS.to_owned(), (Dtype::U64, vec![points.len()], steps));
    contents.insert(VALUES.to_owned(), (Dtype::F64, vec![points.len()], values));
    folder::encode(Owner::Vae(id), device, &contents, None)
}

/// Reads a VAE's file into `blank`, a VAE of the same settings with any numbers. So its tensors
/// have the layout in memory of a freshly trained VAE, on which torch's order of summation may
/// depend. `device` and `iterations` are those of the training.
///
/// # Errors
/// All of [`FileError`]; `blank` is then lost.
pub(super) fn decode(
    file: &[u8],
    id: VaeId,
    device: Device,
    iterations: u32,
    mut blank: TrainedVae,
) -> Result<TrainedVae, FileError> {
    let (contents, _) = folder::decode(file, Owner::Vae(id), device)?;
    let points =
        contents.get(STEPS).and_then(|(_, shape, _)| shape.first().copied()).unwrap_or_default();
    let tensors = blank.tensors();
    let own = tensors.iter().map(|(name, tensor)| (&**name, dtype(tensor), shape(tensor)));
    let curve = [(STEPS, Dtype::U64, vec![points]), (VALUES, Dtype::F64, vec![points])];
    let expected = listed(own.chain(curve));
    let found = listed(
        contents.iter().map(|(name, (dtype, shape, _))| (name.as_str(), *dtype, shape.clone())),
    );
    if found != expected {
        return Err(FileError::Tensors { found, expected });
    }
    let _guard = no_grad_guard();
    for (name, mut tensor) in tensors {
        let values = Tensor::from_data_size(&contents[&*name].2, &tensor.size(), tensor.kind());
        tensor.copy_(&values);
    }
    blank.losses = self::curve(&contents[STEPS].2, &contents[VALUES].2, iterations)?;
    Ok(blank)
}

/// The points of a curve, from little-endian integers and floats.
fn curve(steps: &[u8], values: &[u8], iterations: u32) -> Result<Vec<MetricPoint>, FileError> {
    let (steps, values) = (steps.as_chunks().0.iter(), values.as_chunks().0.iter());
    let point = |(step, value): (&[u8; 8], &[u8; 8])| MetricPoint {
        metric: VAE_LOSS,
        step: u64::from_le_bytes(*step),
        value: f64::from_le_bytes(*value),
    };
    let points: Vec<_> = steps.zip(values).map(point).collect();
    let possible = |point: &MetricPoint| point.check().is_ok() && point.step <= iterations.into();
    let sound = points.iter().all(possible) && points.is_sorted_by(|a, b| a.step < b.step);
    if sound { Ok(points) } else { Err(FileError::Curve) }
}

/// Names, kinds and shapes, sorted.
fn listed<'a>(tensors: impl Iterator<Item = (&'a str, Dtype, Vec<usize>)>) -> String {
    let mut all: Vec<_> =
        tensors.map(|(name, dtype, shape)| format!("{name}: {dtype} {shape:?}")).collect();
    all.sort();
    all.join(", ")
}

#[cfg(any(test, fuzzing))]
#[path = "file_fuzzing.rs"]
pub(crate) mod fuzzing;
