//! The four states of a trial, with the names that files and metrics have for them.

use std::str::FromStr;

use crate::{choice::named, quote::printable};

named! {
    /// The state of a trial.
    TrialState {
        /// Waiting: no worker holds it.
        Pending = "pending",
        /// Running: a worker holds it.
        Leased = "leased",
        /// Done: it has its result.
        Succeeded = "succeeded",
        /// Failed: it has used up its attempts.
        Quarantined = "quarantined",
    }
}

/// A text that is not the name of a state.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the state of a trial is `{0}`, and not one of pending, leased, succeeded, quarantined")]
pub struct StateError(String);

impl TrialState {
    /// The word for people.
    pub fn word(self) -> &'static str {
        match self {
            Self::Pending => "waiting",
            Self::Leased => "running",
            Self::Succeeded => "done",
            Self::Quarantined => "failed",
        }
    }

    /// Whether the trial has ended. Only the user can have it tried again.
    pub fn is_final(self) -> bool {
        matches!(self, Self::Succeeded | Self::Quarantined)
    }
}

impl FromStr for TrialState {
    type Err = StateError;

    fn from_str(text: &str) -> Result<Self, StateError> {
        Self::by_name(text).ok_or_else(|| StateError(printable(text, 60)))
    }
}
