//! The file of one trained VAE: its bytes, and all that must be right before they are used. Where files lie is
//! `disk`'s business.
//!
//! The format is safetensors (<https://github.com/huggingface/safetensors>): reading one runs no code. Beside the VAE's
//! own tensors stand the curve of its training, `loss.step` and `loss.value`, and a description of the file under the
//! key `swfn` of the metadata.

use safetensors::Dtype;
use serde::{Deserialize, Serialize};
use swfn_shared::{
    ids::{TRAINER_REVISION, VaeId},
    metrics::{MetricPoint, VAE_LOSS},
};
use tch::{Device, Tensor, no_grad_guard};

use super::trained::TrainedVae;
use crate::{
    device,
    libtorch::TORCH_VERSION,
    store_file::{self, Contents, FileError, bytes, checksum, dtype, shape},
};

/// Raised whenever files are written otherwise: older ones are then not read.
const FORMAT: u32 = 3;

/// Iterations of each point of the curve, 64-bit integers, `[points]`.
const STEPS: &str = "loss.step";

/// Losses of each point of the curve in nats per image, 64-bit floats, `[points]`.
const VALUES: &str = "loss.value";

/// Room in bytes for all but the VAE's own tensors: the curve of 50 million iterations, and the header.
const SLACK: u64 = 16 << 20;

/// What a file says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Description {
    format: u32,
    vae: String,
    /// "cpu" or "cuda".
    device: String,
    trainer_revision: u32,
    libtorch: String,
    /// Of the names and bytes of all tensors, in the order of their names.
    sha256: String,
}

impl Description {
    fn new(id: VaeId, device: Device, sha256: String) -> Self {
        Self {
            format: FORMAT,
            vae: id.to_string(),
            device: device::kind(device).to_owned(),
            trainer_revision: TRAINER_REVISION,
            libtorch: TORCH_VERSION.to_owned(),
            sha256,
        }
    }

    fn to_json(&self) -> String {
        serde_json::to_string(self).expect("a struct of texts and integers always serialises")
    }

    fn without_checksum(&self) -> String {
        Self { sha256: String::new(), ..self.clone() }.to_json()
    }
}

/// The largest file that [`decode`] reads into that VAE, in bytes.
pub(super) fn most_bytes(vae: &TrainedVae) -> u64 {
    vae.tensors()
        .iter()
        .map(|(_, tensor)| (tensor.numel() * tensor.kind().elt_size_in_bytes()) as u64)
        .sum::<u64>()
        + SLACK
}

/// The file of that VAE: always the same bytes for the same VAE. The device is the one that it was trained on.
///
/// # Errors
/// [`FileError::Damaged`] for a VAE of more than 100 MB of names and shapes.
pub(super) fn encode(id: VaeId, device: Device, vae: &TrainedVae) -> Result<Vec<u8>, FileError> {
    let mut contents = Contents::new();
    for (name, tensor) in vae.tensors() {
        contents.insert(name.into_owned(), (dtype(&tensor), shape(&tensor), bytes(&tensor)));
    }
    let points = vae.losses();
    let steps = points.iter().flat_map(|point| point.step.to_le_bytes()).collect();
    let values = points.iter().flat_map(|point| point.value.to_le_bytes()).collect();
    contents.insert(STEPS.to_owned(), (Dtype::U64, vec![points.len()], steps));
    contents.insert(VALUES.to_owned(), (Dtype::F64, vec![points.len()], values));
    let description = Description::new(id, device, checksum(&contents)).to_json();
    store_file::encode(&contents, description)
}

/// Reads that VAE's file into `blank`, a VAE of the same settings with any numbers, on the device that the file's VAE
/// was trained on for so many iterations. So the tensors get the layout in memory that those of a freshly trained VAE have, on which torch's
/// order of summation may depend.
///
/// # Errors
/// All of [`FileError`]; `blank` is then lost.
pub(super) fn decode(
    file: &[u8],
    id: VaeId,
    device: Device,
    iterations: u32,
    blank: TrainedVae,
) -> Result<TrainedVae, FileError> {
    let found: Description = store_file::description(file)?;
    let expected = Description::new(id, device, String::new());
    if found.without_checksum() != expected.to_json() {
        return Err(FileError::Other {
            found: found.without_checksum(),
            expected: expected.to_json(),
        });
    }
    let contents = store_file::decode(file)?;
    let sum = checksum(&contents);
    if sum != found.sha256 {
        return Err(FileError::Checksum { found: sum, expected: found.sha256 });
    }
    // Those of the curve, too.
    store_file::check_finite(&contents)?;
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
    Ok(blank.with_losses(curve_of(&contents[STEPS].2, &contents[VALUES].2, iterations)?))
}

/// The points of a curve, from little-endian integers and floats.
fn curve_of(steps: &[u8], values: &[u8], iterations: u32) -> Result<Vec<MetricPoint>, FileError> {
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

/// Names, kinds and shapes, sorted, for comparison and for people.
fn listed<'a>(tensors: impl Iterator<Item = (&'a str, Dtype, Vec<usize>)>) -> String {
    let mut all: Vec<_> =
        tensors.map(|(name, dtype, shape)| format!("{name}: {dtype} {shape:?}")).collect();
    all.sort();
    all.join(", ")
}

#[cfg(any(test, fuzzing))]
#[path = "file_fuzzing.rs"]
pub(crate) mod fuzzing;
