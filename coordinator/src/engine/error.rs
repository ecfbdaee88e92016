//! Why the actor stops.

use swfn_shared::{problem, problem::Problem};
use swfn_store::{FileError, StoreError};

/// Why the actor stopped.
#[derive(Debug, thiserror::Error)]
pub(crate) enum EngineError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    File(#[from] FileError),
    #[error("{0}")]
    Other(#[from] Problem),
}

impl EngineError {
    pub(crate) fn panicked() -> Self {
        Self::Other(problem!(
            "the coordinator's core stopped without a word";
            "this is a defect; what was acknowledged is kept, so run the same command again"
        ))
    }

    /// Whether the disk, or what stands for one, gave no answer or a bad one, rather than that it is full.
    pub(super) fn is_device_failure(&self) -> bool {
        matches!(self, Self::Store(error) if error.is_device_failure())
    }

    /// Whether it may go away by itself, or by what somebody does about it.
    pub(super) fn is_temporary(&self) -> bool {
        match self {
            Self::Store(error) => error.is_temporary(),
            Self::File(error) => error.is_temporary(),
            Self::Other(_) => false,
        }
    }
}
