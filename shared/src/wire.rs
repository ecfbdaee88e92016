//! Conversions between wire types and domain types. An error names the wrong field.

use swfn_proto::v1;

use crate::{ids::LeaseId, trial::TrialSpec};

mod reports;

pub use reports::{artifact_part, outcome, outcome_values};

/// The version of the protocol, which both sides must have.
pub const PROTOCOL: u32 = 6;

/// Largest number of lanes of one worker that counts; their trials fit into one message.
pub const MAX_LANES: u32 = 4096;

/// Largest number of leases or VAEs in one message. A worker has fewer: those of its lanes, and
/// those whose reports wait.
pub const MAX_NAMED: usize = 2 * MAX_LANES as usize;

/// Largest number of points in one report; a worker sends more in several reports.
pub const MAX_POINTS: usize = 2_048;

/// Bytes of the end of a log that are sent and kept.
pub const MAX_LOG_BYTES: usize = 8 << 10;

/// Largest message of the coordinator in bytes: a grant of [`MAX_LANES`] trials.
pub const MAX_MESSAGE_BYTES: usize = 8 << 20;

/// Largest message of a worker in bytes: [`MAX_NAMED`] leases with their steps.
pub const MAX_REPORT_BYTES: usize = 512 << 10;

/// The line on the standard input of a worker or device process that asks it to stop in order.
pub const STOP_LINE: &str = "stop";

/// The header in which the dashboard names the workers' address, for a worker that connects to the
/// dashboard by mistake.
pub const WORKERS_HEADER: &str = "swfn-workers";

/// Why a message is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("field `{0}`{1}")]
pub struct WireError(&'static str, String);

/// The error of a field that has no value.
pub fn missing(field: &'static str) -> WireError {
    WireError(field, " is missing".to_owned())
}

/// The error of a field whose value is wrong.
pub fn wrong(field: &'static str, problem: impl ToString) -> WireError {
    WireError(field, format!(": {}", problem.to_string()))
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
        match wire.attempt {
            0 => Err(wrong("lease.attempt", "`0` is not above zero")),
            attempt => Ok(Self { trial, attempt }),
        }
    }
}

/// The lease that a message names.
pub fn lease(wire: Option<v1::LeaseId>) -> Result<LeaseId, WireError> {
    wire.ok_or_else(|| missing("lease"))?.try_into()
}

/// The trial of a lease, from its canonical JSON.
///
/// # Errors
/// The text is not a trial, or not the one that the lease names.
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
