//! The four states of a trial, with the names that files and metrics have for them.

use std::{fmt, str::FromStr};

use serde::{Serialize, Serializer};

use crate::quote::printable;

/// The state of a trial.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TrialState {
    /// Waiting: no worker holds it.
    Pending,
    /// Running: a worker holds it.
    Leased,
    /// Done: it has its result.
    Succeeded,
    /// Failed: it has used up its attempts.
    Quarantined,
}

/// A text that is not the name of a state.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the state of a trial is `{0}`, and not one of pending, leased, succeeded, quarantined")]
pub struct StateError(String);

impl TrialState {
    /// All states, in the order of a trial's life.
    pub const ALL: [Self; 4] = [Self::Pending, Self::Leased, Self::Succeeded, Self::Quarantined];

    /// The name in files, metrics and JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Leased => "leased",
            Self::Succeeded => "succeeded",
            Self::Quarantined => "quarantined",
        }
    }

    /// The word for people.
    pub fn word(self) -> &'static str {
        match self {
            Self::Pending => "waiting",
            Self::Leased => "running",
            Self::Succeeded => "done",
            Self::Quarantined => "failed",
        }
    }

    /// The state with this name.
    pub fn by_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.name() == name)
    }

    /// Whether the trial has ended. Only the user can have it tried again.
    pub fn is_final(self) -> bool {
        matches!(self, Self::Succeeded | Self::Quarantined)
    }
}

impl fmt::Display for TrialState {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

impl FromStr for TrialState {
    type Err = StateError;

    fn from_str(text: &str) -> Result<Self, StateError> {
        Self::by_name(text).ok_or_else(|| StateError(printable(text, 60)))
    }
}

impl Serialize for TrialState {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}
