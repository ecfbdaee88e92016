//! Reports of a worker about a trial: points, lines of its log, files and its outcome.

use swfn_proto::v1;

use super::{WireError, wrong};
use crate::{
    artifacts::{self, ArtifactPart},
    ids::LeaseId,
    metrics::{self, MetricPoint, Outcome},
    quote::{for_terminal, quote},
    trial_log::{self, LogPart},
};

impl From<MetricPoint> for v1::MetricPoint {
    fn from(point: MetricPoint) -> Self {
        Self { metric: point.metric.to_owned(), step: point.step, value: point.value }
    }
}

impl TryFrom<v1::MetricPoint> for MetricPoint {
    type Error = WireError;

    fn try_from(wire: v1::MetricPoint) -> Result<Self, WireError> {
        let metric = metrics::by_name(&wire.metric)
            .ok_or_else(|| wrong("point.metric", format!("{} is unknown", quote(&wire.metric))))?;
        // SQLite's integers are signed.
        if i64::try_from(wire.step).is_err() {
            return Err(wrong("point.step", format!("`{}` is too large", wire.step)));
        }
        let point = Self { metric, step: wire.step, value: wire.value };
        point.check().map_err(|problem| wrong("point.value", problem))?;
        Ok(point)
    }
}

impl From<LogPart> for v1::LogPart {
    fn from(LogPart { offset, text }: LogPart) -> Self {
        Self { offset, text }
    }
}

impl TryFrom<v1::LogPart> for LogPart {
    type Error = WireError;

    fn try_from(wire: v1::LogPart) -> Result<Self, WireError> {
        let (most, bytes) = (trial_log::MAX_BYTES as u64, wire.text.len() as u64);
        if wire.offset.checked_add(bytes).is_none_or(|end| end > most) {
            let problem =
                format!("`{}` and {bytes} bytes are more than the {most} of a log", wire.offset);
            return Err(wrong("log.offset", problem));
        }
        Ok(Self { offset: wire.offset, text: for_terminal(&wire.text) })
    }
}

/// A part of a file as a message about this lease.
pub fn artifact_part(lease: LeaseId, part: ArtifactPart) -> v1::ArtifactPart {
    let ArtifactPart { name, offset, content, size } = part;
    v1::ArtifactPart { lease: Some(lease.into()), name: name.to_owned(), offset, content, size }
}

impl TryFrom<v1::ArtifactPart> for ArtifactPart {
    type Error = WireError;

    fn try_from(wire: v1::ArtifactPart) -> Result<Self, WireError> {
        let unknown = || wrong("artifact.name", format!("{} is unknown", quote(&wire.name)));
        let name =
            artifacts::NAMES.into_iter().find(|name| *name == wire.name).ok_or_else(unknown)?;
        let bytes = wire.content.len();
        if !(1..=artifacts::MAX_PART_BYTES).contains(&bytes) {
            let most = artifacts::MAX_PART_BYTES;
            return Err(wrong("artifact.content", format!("`{bytes}` bytes are not 1 to {most}")));
        }
        if wire.size > artifacts::MAX_BYTES {
            let problem = format!("`{}` is above {}", wire.size, artifacts::MAX_BYTES);
            return Err(wrong("artifact.size", problem));
        }
        if wire.offset.checked_add(bytes as u64).is_none_or(|end| end > wire.size) {
            let problem =
                format!("`{}` leaves no room for {bytes} of {} bytes", wire.offset, wire.size);
            return Err(wrong("artifact.offset", problem));
        }
        Ok(Self { name, offset: wire.offset, content: wire.content, size: wire.size })
    }
}

/// The numbers of an outcome as a message.
pub fn outcome_values(outcome: &Outcome) -> Vec<v1::NamedValue> {
    outcome.values().map(|(name, value)| v1::NamedValue { name: name.to_owned(), value }).collect()
}

/// The outcome with these numbers.
///
/// # Errors
/// A number is unknown, missing or wrong, or contradicts the others.
pub fn outcome(values: &[v1::NamedValue]) -> Result<Outcome, WireError> {
    let named = values.iter().map(|value| (value.name.as_str(), value.value));
    Outcome::of(named)
        .map_err(|(name, problem)| wrong("outcome", format!("{}: {problem}", quote(&name))))
}
