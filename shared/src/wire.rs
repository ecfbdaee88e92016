//! Wire types become domain types here, and nowhere else; what does not fit is refused with the name of the field.

use swfn_proto::v1;

use crate::{ids::LeaseId, trial::TrialSpec};

mod reports;

pub use reports::{artifact_part, outcome, outcome_values};

/// The version that both sides must speak.
pub const PROTOCOL: u32 = 6;

/// Lanes of one worker that are counted; trials for so many fit into one message.
pub const MAX_LANES: u32 = 4096;

/// Leases or VAEs that one message can name: more than a worker can have, which holds those of its lanes and those whose reports wait.
pub const MAX_NAMED: usize = 2 * MAX_LANES as usize;

/// Points of one report; a worker sends what is more in several.
pub const MAX_POINTS: usize = 2_048;

/// Bytes of a log's end that are sent and kept.
pub const MAX_LOG_BYTES: usize = 8 << 10;

/// Bytes of one message of the coordinator: room for a grant of [`MAX_LANES`] trials.
pub const MAX_MESSAGE_BYTES: usize = 8 << 20;

/// Bytes of one message of a worker: room for [`MAX_NAMED`] leases with their steps.
pub const MAX_REPORT_BYTES: usize = 512 << 10;

/// What whoever started a worker or its device process writes to its standard input when it is to stop in order.
pub const STOP_LINE: &str = "stop";

/// The header in which the dashboard tells a worker that was sent to it where workers join.
pub const WORKERS_HEADER: &str = "swfn-workers";

/// A message that means nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// A field that must be there is not.
    #[error("field `{0}` is missing")]
    Missing(&'static str),
    /// A field is there and makes no sense.
    #[error("field `{field}`: {problem}")]
    Wrong {
        /// Its name.
        field: &'static str,
        /// What is wrong with it.
        problem: String,
    },
}

fn wrong(field: &'static str, problem: impl ToString) -> WireError {
    WireError::Wrong { field, problem: problem.to_string() }
}

fn need<T>(value: Option<T>, field: &'static str) -> Result<T, WireError> {
    value.ok_or(WireError::Missing(field))
}

fn above_zero(value: u32, field: &'static str) -> Result<u32, WireError> {
    if value == 0 { Err(wrong(field, "`0` is not above zero")) } else { Ok(value) }
}

impl From<LeaseId> for v1::LeaseId {
    fn from(id: LeaseId) -> Self {
        Self { trial: id.trial.to_string(), attempt: id.attempt }
    }
}

impl TryFrom<v1::LeaseId> for LeaseId {
    type Error = WireError;

    fn try_from(wire: v1::LeaseId) -> Result<Self, WireError> {
        let trial = wire.trial.parse().map_err(|error| wrong("lease.trial", error))?;
        Ok(Self { trial, attempt: above_zero(wire.attempt, "lease.attempt")? })
    }
}

/// The lease that a message names.
pub fn lease(wire: Option<v1::LeaseId>) -> Result<LeaseId, WireError> {
    need(wire, "lease")?.try_into()
}

/// The trial of a lease, from its canonical JSON.
///
/// # Errors
/// The text is no trial, or that of another id than the lease names.
pub fn trial(lease: LeaseId, json: &str) -> Result<TrialSpec, WireError> {
    let spec = TrialSpec::parse(json).map_err(|error| wrong("lease.spec", error))?;
    match spec.id() {
        id if id == lease.trial => Ok(spec),
        id => Err(wrong(
            "lease.spec",
            format!("trial `{}` comes with the settings of trial `{id}`", lease.trial),
        )),
    }
}

#[cfg(test)]
#[path = "wire_tests.rs"]
mod tests;
