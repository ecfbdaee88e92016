//! The file of one trained VAE: its bytes, and all that must be right before they are used. Where files lie is
//! `disk`'s business.
//!
//! The format is safetensors (<https://github.com/huggingface/safetensors>): reading one runs no code. Beside the VAE's
//! own tensors stand the curve of its training, `loss.step` and `loss.value`, and a description of the file under the
//! key `swfn` of the metadata.

use std::collections::{BTreeMap, HashMap};

use safetensors::{
    Dtype, SafeTensorError, SafeTensors,
    tensor::{TensorView, serialize},
};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use swfn_shared::{
    ids::{TRAINER_REVISION, VaeId},
    metrics::{MetricPoint, VAE_LOSS},
};
use tch::{Device, Kind, Tensor, no_grad_guard};

use super::trained::TrainedVae;
use crate::device::{self, TORCH_VERSION};

/// Raised whenever files are written otherwise: older ones are then not read.
const FORMAT: u32 = 1;

/// The one key of the metadata. There is only one since their order in the file is random, and equal VAEs shall have
/// equal files.
const DESCRIPTION: &str = "swfn";

/// Iterations of each point of the curve, 64-bit integers, `[points]`.
const STEPS: &str = "loss.step";

/// Losses of each point of the curve in nats per image, 64-bit floats, `[points]`.
const VALUES: &str = "loss.value";

/// Room in bytes for all but the VAE's own tensors: the curve of 50 million iterations, and the header.
const SLACK: u64 = 16 << 20;

/// Why a file is not used.
#[derive(Debug, thiserror::Error)]
pub(super) enum FileError {
    /// Cut, or something else altogether.
    #[error("it is no whole safetensors file: {0}")]
    Damaged(#[from] SafeTensorError),
    /// Longer than the file of any VAE that is looked for.
    #[error("it has `{bytes}` bytes, more than `{most}`")]
    TooLarge {
        /// Bytes of the file.
        bytes: u64,
        /// Bytes that would be fine.
        most: u64,
    },
    /// Other software wrote it.
    #[error("its description `{0}` is not understood")]
    Description(String),
    /// Another version of this software wrote it, or it belongs to another VAE.
    #[error("it is of `{found}`, not of `{expected}`")]
    Other {
        /// What it says of itself.
        found: String,
        /// What was looked for.
        expected: String,
    },
    /// Its numbers changed after they were written.
    #[error("its tensors have the checksum `{found}`, not `{expected}`")]
    Checksum {
        /// Of the bytes in the file.
        found: String,
        /// Of the bytes that were written.
        expected: String,
    },
    /// Another VAE's tensors, or names of tensors that no VAE has.
    #[error("it has the tensors `{found}`, not `{expected}`")]
    Tensors {
        /// Names, kinds and shapes in the file.
        found: String,
        /// Those of the VAE that was looked for.
        expected: String,
    },
    /// A curve that no training reports.
    #[error("its curve has a point that is not finite or out of order")]
    Curve,
}

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

/// Kind, shape and bytes of each tensor, in the order of their names.
type Contents = BTreeMap<String, (Dtype, Vec<usize>, Vec<u8>)>;

/// The largest file that [`decode`] reads into that VAE, in bytes.
pub(super) fn most_bytes(vae: &TrainedVae) -> u64 {
    vae.tensors().iter().map(|(_, tensor)| (tensor.numel() * tensor.kind().elt_size_in_bytes()) as u64).sum::<u64>()
        + SLACK
}

/// The file of that VAE: always the same bytes for the same VAE. The device is the one that it was trained on.
///
/// # Errors
/// [`FileError::Damaged`] for a VAE of more than 100 MB of names and shapes.
pub(super) fn encode(id: VaeId, device: Device, vae: &TrainedVae) -> Result<Vec<u8>, FileError> {
    let mut contents = Contents::new();
    for (name, tensor) in vae.tensors() {
        contents.insert(name.to_owned(), (dtype(&tensor), shape(&tensor), bytes(&tensor)));
    }
    let points = vae.losses();
    let steps = points.iter().flat_map(|point| point.step.to_le_bytes()).collect();
    let values = points.iter().flat_map(|point| point.value.to_le_bytes()).collect();
    contents.insert(STEPS.to_owned(), (Dtype::U64, vec![points.len()], steps));
    contents.insert(VALUES.to_owned(), (Dtype::F64, vec![points.len()], values));
    let views = contents.iter().map(|(name, (dtype, shape, bytes))| {
        TensorView::new(*dtype, shape.clone(), bytes).map(|view| (name.as_str(), view))
    });
    let views = views.collect::<Result<Vec<_>, _>>()?;
    let checksum = checksum(views.iter().map(|(name, view)| (*name, view.data())));
    let description = Description::new(id, device, checksum).to_json();
    Ok(serialize(views, Some(HashMap::from([(DESCRIPTION.to_owned(), description)])))?)
}

/// Reads that VAE's file into `blank`, a VAE of the same settings with any numbers, on the device that the file's VAE
/// was trained on. So the tensors get the layout in memory that those of a freshly trained VAE have, on which torch's
/// order of summation may depend.
///
/// # Errors
/// All of [`FileError`]; `blank` is then lost.
pub(super) fn decode(file: &[u8], id: VaeId, device: Device, blank: TrainedVae) -> Result<TrainedVae, FileError> {
    let (_, metadata) = SafeTensors::read_metadata(file)?;
    let text = metadata.metadata().as_ref().and_then(|metadata| metadata.get(DESCRIPTION));
    let text = text.map(String::as_str).unwrap_or_default();
    let found: Description =
        serde_json::from_str(text).map_err(|_| FileError::Description(text.chars().take(200).collect()))?;
    let expected = Description::new(id, device, String::new());
    if found.without_checksum() != expected.to_json() {
        return Err(FileError::Other { found: found.without_checksum(), expected: expected.to_json() });
    }
    let views: BTreeMap<String, TensorView<'_>> = SafeTensors::deserialize(file)?.tensors().into_iter().collect();
    let sum = checksum(views.iter().map(|(name, view)| (name.as_str(), view.data())));
    if sum != found.sha256 {
        return Err(FileError::Checksum { found: sum, expected: found.sha256 });
    }
    let points = views.get(STEPS).and_then(|steps| steps.shape().first().copied()).unwrap_or_default();
    let tensors = blank.tensors();
    let own = tensors.iter().map(|(name, tensor)| (*name, dtype(tensor), shape(tensor)));
    let curve = [(STEPS, Dtype::U64, vec![points]), (VALUES, Dtype::F64, vec![points])];
    let expected = listed(own.chain(curve));
    let found = listed(views.iter().map(|(name, view)| (name.as_str(), view.dtype(), view.shape().to_vec())));
    if found != expected {
        return Err(FileError::Tensors { found, expected });
    }
    let _guard = no_grad_guard();
    for (name, mut tensor) in tensors {
        let values = Tensor::from_data_size(views[name].data(), &tensor.size(), tensor.kind());
        tensor.copy_(&values);
    }
    Ok(blank.with_losses(curve_of(views[STEPS].data(), views[VALUES].data())?))
}

/// The points of a curve, from little-endian integers and floats.
fn curve_of(steps: &[u8], values: &[u8]) -> Result<Vec<MetricPoint>, FileError> {
    let (steps, values) = (steps.as_chunks().0.iter(), values.as_chunks().0.iter());
    let point = |(step, value): (&[u8; 8], &[u8; 8])| MetricPoint {
        metric: VAE_LOSS,
        step: u64::from_le_bytes(*step),
        value: f64::from_le_bytes(*value),
    };
    let points: Vec<_> = steps.zip(values).map(point).collect();
    let sound = points.iter().all(|point| point.value.is_finite()) && points.is_sorted_by(|a, b| a.step < b.step);
    if sound { Ok(points) } else { Err(FileError::Curve) }
}

/// Of tensors in the order of their names.
fn checksum<'a>(tensors: impl Iterator<Item = (&'a str, &'a [u8])>) -> String {
    let mut hasher = Sha256::new();
    tensors.for_each(|(name, bytes)| {
        hasher.update(name);
        hasher.update(bytes);
    });
    hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Names, kinds and shapes, sorted, for comparison and for people.
fn listed<'a>(tensors: impl Iterator<Item = (&'a str, Dtype, Vec<usize>)>) -> String {
    let mut all: Vec<_> = tensors.map(|(name, dtype, shape)| format!("{name}: {dtype} {shape:?}")).collect();
    all.sort();
    all.join(", ")
}

fn dtype(tensor: &Tensor) -> Dtype {
    match tensor.kind() {
        Kind::Float => Dtype::F32,
        kind => unreachable!("VAEs compute in 32-bit floats, not in {kind:?}"),
    }
}

fn shape(tensor: &Tensor) -> Vec<usize> {
    tensor.size().into_iter().map(|side| usize::try_from(side).expect("sizes are not negative")).collect()
}

/// The numbers in the order of the indices, whatever their places in memory.
fn bytes(tensor: &Tensor) -> Vec<u8> {
    let tensor = tensor.detach().to_device(Device::Cpu).contiguous();
    let mut bytes = vec![0; tensor.numel() * tensor.kind().elt_size_in_bytes()];
    tensor.copy_data_u8(&mut bytes, tensor.numel());
    bytes
}
