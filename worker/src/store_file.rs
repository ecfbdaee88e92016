//! Files of tensors: how VAEs and checkpoints are written, whole or not at all, and read. What
//! stands in them is `vae::file`'s and `trial::checkpoint`'s business.
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

/// The one key of the metadata. There is only one since their order in the file is random, and
/// equal contents shall have equal files.
const DESCRIPTION: &str = "swfn";

/// How the names of files end that are being written.
pub(crate) const PART: &str = ".part";

/// The longest header that is looked at, in bytes. Those that are written have some kilobytes;
/// safetensors would take 100 MB.
const MOST_HEADER: u64 = 1 << 20;

/// Characters of a file that a message tells.
const LONGEST: usize = 400;

/// A file is written in milliseconds: one in writing that is so old has lost its writer.
pub(crate) const ABANDONED: Duration = Duration::from_secs(60 * 60);

/// Why a file is not used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FileError {
    /// Cut, or something else altogether.
    #[error("it is no whole safetensors file: {0}")]
    Damaged(#[from] SafeTensorError),
    /// Longer than any file that is looked for.
    #[error("it has `{bytes}` bytes, more than `{most}`")]
    TooLarge {
        /// Bytes of the file.
        bytes: u64,
        /// Bytes that would be fine.
        most: u64,
    },
    /// Other software wrote it.
    #[error("its description `{}` is not understood", printable(.0, LONGEST))]
    Description(String),
    /// Another version of this software wrote it, or it belongs to another VAE or trial.
    #[error("it is of `{found}`, not of `{expected}`", found = printable(found, LONGEST))]
    Other {
        /// What it says of itself.
        found: String,
        /// What was looked for.
        expected: String,
    },
    /// Its numbers changed after they were written.
    #[error("its tensors have the checksum `{found}`, not `{expected}`", expected = printable(expected, LONGEST))]
    Checksum {
        /// Of the bytes in the file.
        found: String,
        /// Of the bytes that were written.
        expected: String,
    },
    /// Of a VAE's file: another VAE's tensors, or names of tensors that no VAE has.
    #[error("it has the tensors `{found}`, not `{expected}`", found = printable(found, LONGEST))]
    Tensors {
        /// Names, kinds and shapes in the file.
        found: String,
        /// Those of the VAE that was looked for.
        expected: String,
    },
    /// Of a VAE's file: a curve that no training reports.
    #[error("its curve has a point that is no number, out of order or beyond the last iteration")]
    Curve,
    /// A number that no training that went on has left.
    #[error("its tensor `{}` has a number that is not finite", printable(.0, LONGEST))]
    NotFinite(String),
}

/// Kind, shape and bytes of each tensor, in the order of their names.
pub(crate) type Contents = BTreeMap<String, (Dtype, Vec<usize>, Vec<u8>)>;

/// The file of these tensors with that description: always the same bytes for the same contents.
///
/// # Errors
/// [`FileError::Damaged`] for more than 100 MB of names and shapes.
pub(crate) fn encode(contents: &Contents, description: String) -> Result<Vec<u8>, FileError> {
    let views = contents.iter().map(|(name, (dtype, shape, bytes))| {
        TensorView::new(*dtype, shape.clone(), bytes).map(|view| (name.as_str(), view))
    });
    let views = views.collect::<Result<Vec<_>, _>>()?;
    Ok(serialize(views, Some(HashMap::from([(DESCRIPTION.to_owned(), description)])))?)
}

/// What the file says of itself, in JSON.
///
/// # Errors
/// [`FileError::Damaged`] and [`FileError::Description`].
pub(crate) fn description<T: DeserializeOwned>(file: &[u8]) -> Result<T, FileError> {
    check_header(file)?;
    let (_, metadata) = SafeTensors::read_metadata(file)?;
    let text = metadata.metadata().as_ref().and_then(|metadata| metadata.get(DESCRIPTION));
    let text = text.map(String::as_str).unwrap_or_default();
    serde_json::from_str(text).map_err(|_| FileError::Description(text.to_owned()))
}

/// The tensors of the file.
///
/// # Errors
/// [`FileError::Damaged`].
pub(crate) fn decode(file: &[u8]) -> Result<Contents, FileError> {
    check_header(file)?;
    let tensors = SafeTensors::deserialize(file)?.tensors().into_iter();
    Ok(tensors
        .map(|(name, view)| (name, (view.dtype(), view.shape().to_vec(), view.data().to_vec())))
        .collect())
}

/// Checks that all floats are finite: nothing good can come of going on from others.
///
/// # Errors
/// [`FileError::NotFinite`].
pub(crate) fn check_finite(contents: &Contents) -> Result<(), FileError> {
    let finite = |kind: Dtype, bytes: &[u8]| match kind {
        Dtype::F32 => {
            bytes.as_chunks().0.iter().all(|bytes| f32::from_le_bytes(*bytes).is_finite())
        }
        Dtype::F64 => {
            bytes.as_chunks().0.iter().all(|bytes| f64::from_le_bytes(*bytes).is_finite())
        }
        _ => true,
    };
    match contents.iter().find(|(_, (kind, _, bytes))| !finite(*kind, bytes)) {
        Some((name, _)) => Err(FileError::NotFinite(name.clone())),
        None => Ok(()),
    }
}

/// Whether the header, whose length stands before it, is short enough to be read.
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
    hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Of models: 32-bit floats.
pub(crate) fn dtype(tensor: &Tensor) -> Dtype {
    match tensor.kind() {
        Kind::Float => Dtype::F32,
        kind => unreachable!("models compute in 32-bit floats, not in {kind:?}"),
    }
}

/// Sides.
pub(crate) fn shape(tensor: &Tensor) -> Vec<usize> {
    tensor
        .size()
        .into_iter()
        .map(|side| usize::try_from(side).expect("sizes are not negative"))
        .collect()
}

/// The numbers in the order of the indices, whatever their places in memory.
pub(crate) fn bytes(tensor: &Tensor) -> Vec<u8> {
    let tensor = tensor.detach().to_device(Device::Cpu).contiguous();
    let mut bytes = vec![0; tensor.numel() * tensor.kind().elt_size_in_bytes()];
    tensor.copy_data_u8(&mut bytes, tensor.numel());
    bytes
}

/// Opens a file and says how many bytes it has.
///
/// # Errors
/// It is not there, cannot be read, or is no file.
pub(crate) fn open(path: &Path) -> io::Result<(File, u64)> {
    // Asked before it is opened: the opening of a pipe would wait for ever.
    if !fs::metadata(path)?.is_file() {
        return Err(io::Error::other("it is no file"));
    }
    let file = File::open(path)?;
    let bytes = file.metadata()?.len();
    Ok((file, bytes))
}

/// The bytes of an open file, `most` of them at most.
pub(crate) fn read(file: &File, most: u64) -> io::Result<Vec<u8>> {
    let mut content = Vec::new();
    file.take(most).read_to_end(&mut content)?;
    Ok(content)
}

/// What an open file says of itself, of which only the header is read; none if that is not to be
/// understood.
pub(crate) fn description_alone<T: DeserializeOwned>(mut file: &File) -> Option<T> {
    let mut bytes = [0; 8];
    file.read_exact(&mut bytes).ok()?;
    let mut header = Vec::new();
    file.take(u64::from_le_bytes(bytes).min(MOST_HEADER)).read_to_end(&mut header).ok()?;
    let header: serde_json::Value = serde_json::from_slice(&header).ok()?;
    serde_json::from_str(header["__metadata__"][DESCRIPTION].as_str()?).ok()
}

/// Writes a file that gets its name when it is whole and on the disk. `owner` begins the name that
/// it has before.
///
/// # Errors
/// The folder is missing, full or not to be written; nothing of the name has changed then.
pub(crate) fn write(folder: &Path, owner: &str, name: &Path, content: &[u8]) -> io::Result<()> {
    if faults::bug("files-are-not-written-as-a-whole") {
        let mut file = File::create(name)?;
        file.write_all(&content[..content.len() / 2])?;
        faults::point("file/write");
        return file.write_all(&content[content.len() / 2..]);
    }
    faults::point("file/write");
    // The permissions that any new file has; those of temporary files would shut out other users of
    // a shared folder.
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
    // The new name survives a power cut only after this; a file system that cannot is no reason to
    // fail.
    if let Ok(folder) = File::open(folder) {
        folder.sync_all().ok();
    }
    Ok(())
}
