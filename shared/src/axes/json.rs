//! The canonical JSON of a trial: the text that is hashed to its id, sent to workers and stored.
//!
//! One trial has one text: settings in the order of [`AXES`], the shortest form of each number, nothing between them. A text is
//! read strictly: what differs from the text that this program would write is refused.

use std::ops::Range;

use serde_json::{Map, Value as Json};

use super::{AXES, Axis, Kind, Value, Written};
use crate::{dataset::Dataset, quote::quote, trial::TrialSpec};

/// A text that is no trial.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SpecError {
    /// The text is not a JSON object.
    #[error("a trial is not JSON: {0}")]
    Json(String),
    /// A setting is missing.
    #[error("setting `{0}` is missing")]
    Missing(&'static str),
    /// A setting that [`AXES`] does not have.
    #[error("setting {0} is unknown to this program")]
    Unknown(String),
    /// A setting makes no sense.
    #[error("setting `{place}`: {problem}")]
    Wrong {
        /// Where the setting stands.
        place: String,
        /// What is wrong with it.
        problem: String,
    },
    /// Nothing is wrong with the settings, but their text.
    #[error("a trial is not in its canonical form, which is {0}")]
    Form(String),
}

impl SpecError {
    pub(crate) fn wrong(place: impl Into<String>, problem: impl ToString) -> Self {
        Self::Wrong { place: place.into(), problem: problem.to_string() }
    }
}

impl TrialSpec {
    /// The canonical JSON.
    pub fn to_json(&self) -> String {
        let mut text = String::with_capacity(1024);
        write_group(&mut text, self, 0..AXES.len(), 0);
        text
    }

    /// Reads the canonical JSON of a trial.
    ///
    /// # Errors
    /// The text is not what [`Self::to_json`] would give for a trial that can be trained.
    pub fn parse(text: &str) -> Result<Self, SpecError> {
        let json: Map<String, Json> = serde_json::from_str(text).map_err(|error| SpecError::Json(error.to_string()))?;
        let mut spec = Self::PUBLISHED;
        for axis in Axis::all() {
            match (find(&json, axis.place), axis.written, axis.raw(&spec)) {
                (Some(value), ..) => read(axis, value, &mut spec)?,
                (None, Written::Unless(value), _) => axis.set(&mut spec, value),
                (None, Written::If { absent, .. }, _) => absent(&mut spec),
                (None, Written::Always, Some(_)) => return Err(SpecError::Missing(axis.place)),
                (None, Written::Always, None) => {}
            }
        }
        refuse_unknown(&json, "")?;
        spec.fits_together()?;
        match spec.to_json() {
            form if form == text => Ok(spec),
            form => Err(SpecError::Form(form)),
        }
    }
}

/// Writes the object of the rows in `range`, whose places have their first `depth` bytes in common.
fn write_group(text: &mut String, spec: &TrialSpec, range: Range<usize>, depth: usize) {
    // Of the function norm, for example, a trial may have nothing.
    if range.clone().all(|row| written(spec, Axis(row as u8)).is_none()) {
        text.push_str("null");
        return;
    }
    let start = text.len();
    let mut next = range.start;
    while next < range.end {
        let row = &AXES[next];
        let place = &row.place[depth..];
        if let Some(dot) = place.find('.') {
            let group = &row.place[..depth + dot + 1];
            let length = AXES[next..range.end].iter().take_while(|row| row.place.starts_with(group)).count();
            write_key(text, &place[..dot], start);
            write_group(text, spec, next..next + length, group.len());
            next += length;
            continue;
        }
        let axis = Axis(next as u8);
        if let Some(value) = written(spec, axis) {
            write_key(text, place, start);
            let shown = match axis.kind {
                Kind::Dataset => serde_json::to_string(&spec.dataset),
                _ => serde_json::to_string(&value),
            };
            text.push_str(&shown.expect("plain values of finite numbers always serialise"));
        }
        next += 1;
    }
    text.push('}');
}

/// The value of a setting, if the canonical JSON has it.
fn written(spec: &TrialSpec, axis: Axis) -> Option<Value> {
    let value = axis.raw(spec)?;
    let is_written = match axis.written {
        Written::Always => true,
        Written::Unless(usual) => value != usual,
        Written::If { written, .. } => written(spec),
    };
    is_written.then_some(value)
}

fn write_key(text: &mut String, key: &str, start: usize) {
    text.push(if text.len() == start { '{' } else { ',' });
    text.push('"');
    text.push_str(key);
    text.push_str("\":");
}

/// The value at that place; none if a group on the way is `null` or missing.
fn find<'j>(json: &'j Map<String, Json>, place: &str) -> Option<&'j Json> {
    match place.split_once('.') {
        None => json.get(place),
        Some((group, rest)) => json.get(group)?.as_object().and_then(|json| find(json, rest)),
    }
}

fn read(axis: Axis, json: &Json, spec: &mut TrialSpec) -> Result<(), SpecError> {
    let value = match axis.kind {
        Kind::Dataset => {
            spec.dataset = Dataset::from_json(json)
                .map_err(|(key, problem)| SpecError::wrong(format!("dataset{key}"), problem))?;
            return Ok(());
        }
        Kind::Whole { .. } => json.as_u64().map(Value::Whole),
        Kind::Real(_) => json.as_f64().map(Value::Real),
        Kind::Choice(names) => {
            json.as_str().and_then(|given| names.iter().find(|name| **name == given)).map(|name| Value::Name(name))
        }
    };
    let refused =
        || SpecError::wrong(axis.place, format!("{} is not {}", quote(&json.to_string()), axis.kind.wanted()));
    let value = axis.check(value.ok_or_else(refused)?).map_err(|problem| SpecError::wrong(axis.place, problem))?;
    axis.set(spec, value);
    Ok(())
}

/// Refuses keys of which the table knows nothing.
fn refuse_unknown(json: &Map<String, Json>, group: &str) -> Result<(), SpecError> {
    for (key, value) in json {
        let place = format!("{group}{key}");
        let inside = format!("{place}.");
        let row = AXES.iter().find(|row| row.place == place || row.place.starts_with(&inside));
        match (row, value) {
            (None, _) => return Err(SpecError::Unknown(quote(&place))),
            (Some(row), Json::Object(json)) if row.place != place => refuse_unknown(json, &inside)?,
            _ => {}
        }
    }
    Ok(())
}
