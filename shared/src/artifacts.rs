//! The files that a trial leaves behind beside its numbers, on request: `[artifacts]` of a grid file. Nothing here
//! changes a result, so none of it is part of a trial's identity.

/// Final parameters and running statistics of the classifier, under the names and in the shapes that PyTorch's modules
/// of the same layers have: `load_state_dict` takes them.
pub const WEIGHTS: &str = "weights.safetensors";
/// Images of the subset, what the VAE makes of them, and samples of the VAE.
pub const VAE_SHEET: &str = "vae.png";
/// The confusion matrix on the test images after the last iteration, and the accuracy of each class.
pub const CONFUSION: &str = "confusion.csv";

/// All names, in the order in which files are made.
pub const NAMES: [&str; 3] = [WEIGHTS, VAE_SHEET, CONFUSION];

/// The largest file, in bytes. The weights of the largest network on images of 64 x 64 pixels take 18 MB.
pub const MAX_BYTES: u64 = 64 << 20;

/// The largest part of a file in one message, in bytes.
pub const MAX_PART_BYTES: usize = 64 << 10;

/// Which files a trial leaves behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Artifacts {
    /// [`WEIGHTS`].
    pub weights: bool,
    /// [`VAE_SHEET`], of a trial that has a VAE.
    pub vae_sheet: bool,
    /// [`CONFUSION`].
    pub confusion: bool,
}

impl Artifacts {
    /// Everything.
    pub const ALL: Self = Self { weights: true, vae_sheet: true, confusion: true };

    /// Whether the file of that name is among them.
    pub fn want(&self, name: &str) -> bool {
        match name {
            WEIGHTS => self.weights,
            VAE_SHEET => self.vae_sheet,
            CONFUSION => self.confusion,
            _ => false,
        }
    }
}

/// One file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Artifact {
    /// One of [`NAMES`].
    pub name: &'static str,
    /// Its bytes.
    pub content: Vec<u8>,
}

/// A part of a file on its way to the run directory. Parts come in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArtifactPart {
    /// One of [`NAMES`].
    pub name: &'static str,
    /// Where in the file it begins, in bytes.
    pub offset: u64,
    /// 1 to [`MAX_PART_BYTES`] bytes.
    pub content: Vec<u8>,
    /// Bytes of the whole file, at most [`MAX_BYTES`].
    pub size: u64,
}

impl ArtifactPart {
    /// Whether the file ends with it.
    pub fn is_last(&self) -> bool {
        self.offset + self.content.len() as u64 == self.size
    }
}

impl Artifact {
    /// The file in parts.
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
