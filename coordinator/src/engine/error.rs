//! Why the actor stops.

use std::{io, path::PathBuf};

use swfn_store::{ArtifactError, LogError, StoreError};

/// Why the actor stopped.
#[derive(Debug, thiserror::Error)]
pub(crate) enum EngineError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Artifact(#[from] ArtifactError),
    #[error(transparent)]
    Log(#[from] LogError),
    #[error("cannot make `{}`: {error}\nhint: check disk space and permissions", folder.display())]
    Folder { folder: PathBuf, error: io::Error },
    #[error(
        "the coordinator's core stopped without a word\n\
         hint: this is a defect; what was acknowledged is kept, so run the same command again"
    )]
    Panicked,
    #[error(
        "the journal contradicts itself: {0}\nhint: restore the run directory from a backup, or start anew in another"
    )]
    Journal(String),
}

impl EngineError {
    /// Whether the disk, or what stands for one, gave no answer or a bad one, rather than that it is full.
    pub(super) fn is_of_the_device(&self) -> bool {
        matches!(self, Self::Store(error) if error.is_of_the_device())
    }

    /// Whether it may go away by itself, or by what somebody does about it.
    pub(super) fn may_pass(&self) -> bool {
        match self {
            Self::Store(error) => error.may_pass(),
            Self::Artifact(error) => error.may_pass(),
            Self::Log(_) => true,
            Self::Folder { .. } | Self::Panicked | Self::Journal(_) => false,
        }
    }
}
