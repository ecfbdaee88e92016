//! The files that a trial leaves behind if `[artifacts]` of the grid file asks for them. They
//! change no result, so they are not part of a trial's identity.

pub use swfn_proto::v1::Artifacts;

/// Final parameters and running statistics of the classifier. Names and shapes are those of
/// PyTorch's modules of the same layers, so that `load_state_dict` takes them.
pub const WEIGHTS: &str = "weights.safetensors";
/// Images of the subset, their reconstructions by the VAE, and samples of the VAE.
pub const VAE_SHEET: &str = "vae.png";
/// The confusion matrix on the test images at the end, and the accuracy of each class.
pub const CONFUSION: &str = "confusion.csv";

/// All names, in the order in which the files are written.
pub const NAMES: [&str; 3] = [WEIGHTS, VAE_SHEET, CONFUSION];

/// The largest file in bytes. Weights of the largest network, for 64 x 64 pixels, take 18 MB.
pub const MAX_BYTES: u64 = 64 << 20;

/// The largest part of a file in one message in bytes.
pub const MAX_PART_BYTES: usize = 64 << 10;

pub const ALL: Artifacts = Artifacts { weights: true, vae_sheet: true, confusion: true };

/// Whether the file with this name is among those that a trial leaves behind.
pub fn is_wanted(artifacts: Artifacts, name: &str) -> bool {
    match name {
        WEIGHTS => artifacts.weights,
        VAE_SHEET => artifacts.vae_sheet,
        CONFUSION => artifacts.confusion,
        _ => false,
    }
}

/// One file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Artifact {
    /// One of [`NAMES`].
    pub name: &'static str,
    pub content: Vec<u8>,
}

/// A part of a file on its way to the run directory. Parts come in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArtifactPart {
    /// One of [`NAMES`].
    pub name: &'static str,
    /// Position in the file, in bytes.
    pub offset: u64,
    /// 1 to [`MAX_PART_BYTES`] bytes.
    pub content: Vec<u8>,
    /// Size of the whole file in bytes, at most [`MAX_BYTES`].
    pub size: u64,
}

impl ArtifactPart {
    pub fn is_last(&self) -> bool {
        self.offset + self.content.len() as u64 == self.size
    }
}

impl Artifact {
    pub fn parts(&self) -> impl Iterator<Item = ArtifactPart> + '_ {
        let size = self.content.len() as u64;
        self.content.chunks(MAX_PART_BYTES).enumerate().map(move |(index, part)| ArtifactPart {
            name: self.name,
            offset: (index * MAX_PART_BYTES) as u64,
            content: part.to_vec(),
            size,
        })
    }
}
