//! The errors that stop the actor.

use swfn_shared::{problem, problem::Problem};
use swfn_store::StoreError;

/// An error that stops the actor.
#[derive(Debug, thiserror::Error)]
pub(crate) enum EngineError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("{0}")]
    Other(#[from] Problem),
}

impl EngineError {
    pub(crate) fn panicked() -> Self {
        Self::Other(problem!(
            "the coordinator's core panicked";
            "this is a defect; what was acknowledged is kept, so run the same command again"
        ))
    }

    /// Whether the disk failed or did not answer, rather than that it is full.
    pub(super) fn is_device_failure(&self) -> bool {
        matches!(self, Self::Store(error) if error.is_device_failure())
    }

    /// Whether a later attempt may succeed.
    pub(super) fn is_temporary(&self) -> bool {
        matches!(self, Self::Store(error) if error.is_temporary())
    }
}
