//! Files of tensors: how VAEs and checkpoints are written, whole or not at all, and read. Their
//! contents are defined in `vae::file` and `trial::checkpoint`.
//!
//! The format is safetensors (<https://github.com/huggingface/safetensors>): reading one runs no
//! code.

use std::{
    collections::{BTreeMap, HashMap},
    fs::{self, File, Permissions},
    io::{self, Read as _, Write as _},
    os::unix::fs::PermissionsExt as _,
    path::Path,
    time::Duration,
};

use safetensors::{
    Dtype, SafeTensorError, SafeTensors,
    tensor::{TensorView, serialize},
};
use serde::de::DeserializeOwned;
use sha2::{Digest as _, Sha256};
use swfn_shared::{faults, quote::printable};
use tch::{Device, Kind, Tensor};

use crate::data::hex;

/// The only key of the metadata. Several keys would have a random order in the file, and equal
/// contents shall have equal files.
const DESCRIPTION: &str = "swfn";

/// The extension of files that are being written.
pub(crate) const PART: &str = ".part";

/// The longest header that is read, in bytes. Written headers have some kilobytes; safetensors
/// would accept 100 MB.
const MOST_HEADER: u64 = 1 << 20;

/// Longest text of a file in a message, in characters.
const LONGEST: usize = 400;

/// Age at which a `.part` file has lost its writer: one is written in milliseconds.
pub(crate) const ABANDONED: Duration = Duration::from_secs(60 * 60);

/// Why a file is not used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FileError {
    /// Truncated, or not a safetensors file.
    #[error("it is no whole safetensors file: {0}")]
    Damaged(#[from] SafeTensorError),
    #[error("it has `{bytes}` bytes, more than `{most}`")]
    TooLarge { bytes: u64, most: u64 },
    #[error("its description `{}` is not understood", printable(.0, LONGEST))]
    Description(String),
    /// It is of another version, another VAE or another trial.
    #[error("it is of `{found}`, not of `{expected}`", found = printable(found, LONGEST))]
    Other { found: String, expected: String },
    #[error(
        "its tensors have the checksum `{found}`, not `{expected}`",
        expected = printable(expected, LONGEST)
    )]
    Checksum { found: String, expected: String },
    /// A VAE's file has tensors of other names, kinds or shapes.
    #[error("it has the tensors `{found}`, not `{expected}`", found = printable(found, LONGEST))]
    Tensors { found: String, expected: String },
    /// A VAE's file has an impossible training curve.
    #[error("its curve has a point that is no number, out of order or beyond the last iteration")]
    Curve,
    #[error("its tensor `{}` has a number that is not finite", printable(.0, LONGEST))]
    NotFinite(String),
}

/// Kind, shape and bytes of each tensor, in the order of their names.
pub(crate) type Contents = BTreeMap<String, (Dtype, Vec<usize>, Vec<u8>)>;

/// The file of these tensors with that description; equal contents have equal bytes.
pub(crate) fn encode(contents: &Contents, description: String) -> Result<Vec<u8>, FileError> {
    let views = contents.iter().map(|(name, (dtype, shape, bytes))| {
        TensorView::new(*dtype, shape.clone(), bytes).map(|view| (name.as_str(), view))
    });
    let views = views.collect::<Result<Vec<_>, _>>()?;
    Ok(serialize(views, Some(HashMap::from([(DESCRIPTION.to_owned(), description)])))?)
}

/// The description in the file's header, read from JSON.
pub(crate) fn description<T: DeserializeOwned>(file: &[u8]) -> Result<T, FileError> {
    check_header(file)?;
    let (_, metadata) = SafeTensors::read_metadata(file)?;
    let text = metadata.metadata().as_ref().and_then(|metadata| metadata.get(DESCRIPTION));
    let text = text.map(String::as_str).unwrap_or_default();
    serde_json::from_str(text).map_err(|_| FileError::Description(text.to_owned()))
}

/// The tensors of the file.
pub(crate) fn decode(file: &[u8]) -> Result<Contents, FileError> {
    check_header(file)?;
    let tensors = SafeTensors::deserialize(file)?.tensors().into_iter();
    Ok(tensors
        .map(|(name, view)| (name, (view.dtype(), view.shape().to_vec(), view.data().to_vec())))
        .collect())
}

/// Checks that all floats are finite: training cannot go on from others.
pub(crate) fn check_finite(contents: &Contents) -> Result<(), FileError> {
    let is_finite = |kind: Dtype, bytes: &[u8]| match kind {
        Dtype::F32 => bytes.as_chunks().0.iter().all(|x| f32::from_le_bytes(*x).is_finite()),
        Dtype::F64 => bytes.as_chunks().0.iter().all(|x| f64::from_le_bytes(*x).is_finite()),
        _ => true,
    };
    match contents.iter().find(|(_, (kind, _, bytes))| !is_finite(*kind, bytes)) {
        Some((name, _)) => Err(FileError::NotFinite(name.clone())),
        None => Ok(()),
    }
}

/// Checks that the header, whose length stands before it, is short enough to be read.
fn check_header(file: &[u8]) -> Result<(), SafeTensorError> {
    let length = file.first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes));
    if length > MOST_HEADER { Err(SafeTensorError::HeaderTooLarge) } else { Ok(()) }
}

/// SHA-256 of names and bytes, in the order of the names, and of more bytes after them.
pub(crate) fn checksum(contents: &Contents, more: &[u8]) -> String {
    let mut hasher = Sha256::new();
    for (name, (_, _, bytes)) in contents {
        hasher.update(name);
        hasher.update(bytes);
    }
    hasher.update(more);
    hex(&hasher.finalize())
}

/// The kind of a model's numbers: 32-bit floats.
pub(crate) fn dtype(tensor: &Tensor) -> Dtype {
    match tensor.kind() {
        Kind::Float => Dtype::F32,
        kind => unreachable!("models compute in 32-bit floats, not in {kind:?}"),
    }
}

pub(crate) fn shape(tensor: &Tensor) -> Vec<usize> {
    let side = |side| usize::try_from(side).expect("sizes are not negative");
    tensor.size().into_iter().map(side).collect()
}

/// The numbers in the order of their indices, wherever they are in memory.
pub(crate) fn bytes(tensor: &Tensor) -> Vec<u8> {
    let tensor = tensor.detach().to_device(Device::Cpu).contiguous();
    let mut bytes = vec![0; tensor.numel() * tensor.kind().elt_size_in_bytes()];
    tensor.copy_data_u8(&mut bytes, tensor.numel());
    bytes
}

/// Opens a file; returns it with its length in bytes.
pub(crate) fn open(path: &Path) -> io::Result<(File, u64)> {
    // Checked first, since opening a pipe would wait for ever.
    if !fs::metadata(path)?.is_file() {
        return Err(io::Error::other("it is no file"));
    }
    let file = File::open(path)?;
    let bytes = file.metadata()?.len();
    Ok((file, bytes))
}

/// The first `most` bytes of an open file.
pub(crate) fn read(file: &File, most: u64) -> io::Result<Vec<u8>> {
    let mut content = Vec::new();
    file.take(most).read_to_end(&mut content)?;
    Ok(content)
}

/// The description of an open file, read from its header alone; `None` if it is not understood.
pub(crate) fn description_alone<T: DeserializeOwned>(mut file: &File) -> Option<T> {
    let mut bytes = [0; 8];
    file.read_exact(&mut bytes).ok()?;
    let mut header = Vec::new();
    file.take(u64::from_le_bytes(bytes).min(MOST_HEADER)).read_to_end(&mut header).ok()?;
    let header: serde_json::Value = serde_json::from_slice(&header).ok()?;
    serde_json::from_str(header["__metadata__"][DESCRIPTION].as_str()?).ok()
}

/// Writes a file that gets its name when it is whole and on the disk. Until then its name begins
/// with `owner`. After an error, a file of the final name has not changed.
pub(crate) fn write(folder: &Path, owner: &str, name: &Path, content: &[u8]) -> io::Result<()> {
    if faults::bug("files-are-not-written-as-a-whole") {
        let mut file = File::create(name)?;
        file.write_all(&content[..content.len() / 2])?;
        faults::point("file/write");
        return file.write_all(&content[content.len() / 2..]);
    }
    faults::point("file/write");
    // Temporary files would be closed to other users of a shared folder.
    let mut part = tempfile::Builder::new()
        .prefix(&format!("{owner}."))
        .suffix(PART)
        .permissions(Permissions::from_mode(0o666))
        .tempfile_in(folder)?;
    part.write_all(content)?;
    faults::point("file/written");
    part.as_file().sync_all()?;
    faults::point("file/synced");
    part.persist(name)?;
    faults::point("file/named");
    sync_folder(folder);
    Ok(())
}

/// Makes new names in a folder survive a power cut. A file system that cannot do so is no error.
pub(crate) fn sync_folder(folder: &Path) {
    if let Ok(folder) = File::open(folder) {
        folder.sync_all().ok();
    }
}
