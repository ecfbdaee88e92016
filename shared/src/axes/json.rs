//! The canonical JSON of a trial: the text that is hashed to its id, sent to workers and stored.
//!
//! One trial has one text: settings in the order of [`AXES`], the shortest form of each number,
//! nothing between them. A text that differs from the one that this program would write is refused.

use std::{fmt, ops::Range, sync::LazyLock};

use serde_json::{Map, Value as Json};

use super::{AXES, Axis, Kind, Value, Written};
use crate::{dataset::Dataset, quote::quote, trial::TrialSpec};

/// Why a text is not a trial.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct SpecError(String);

impl SpecError {
    /// A setting has a wrong value.
    pub(crate) fn wrong(path: impl fmt::Display, problem: impl fmt::Display) -> Self {
        Self(format!("setting `{path}`: {problem}"))
    }
}

impl TrialSpec {
    /// Writes the canonical JSON.
    pub fn to_json(&self) -> String {
        let mut text = Vec::with_capacity(1024);
        write_group(&mut text, self, &FORM);
        String::from_utf8(text).expect("JSON is UTF-8")
    }

    /// Reads the canonical JSON of a trial.
    ///
    /// # Errors
    /// The text is not the canonical JSON of a trial that can be trained.
    pub fn parse(text: &str) -> Result<Self, SpecError> {
        let json: Map<String, Json> = serde_json::from_str(text)
            .map_err(|error| SpecError(format!("a trial is not JSON: {error}")))?;
        let mut spec = Self::PUBLISHED;
        for axis in Axis::all() {
            match (find(&json, axis.path), axis.written, axis.raw(&spec)) {
                (Some(value), ..) => read(axis, value, &mut spec)?,
                (None, Written::Unless(value), _) => axis.set(&mut spec, value),
                (None, Written::If { absent, .. }, _) => absent(&mut spec),
                (None, Written::Always, Some(_)) => {
                    return Err(SpecError(format!("setting `{}` is missing", axis.path)));
                }
                (None, Written::Always, None) => {}
            }
        }
        refuse_unknown(&json, "")?;
        spec.fits_together()?;
        match spec.to_json() {
            form if form == text => Ok(spec),
            form => {
                Err(SpecError(format!("a trial is not in its canonical form, which is {form}")))
            }
        }
    }
}

/// An entry of an object in the canonical JSON.
#[derive(Debug)]
enum Node {
    Setting { key: &'static str, axis: Axis },
    Group { key: &'static str, nodes: Vec<Node> },
}

/// The form of every trial, which follows from the paths in [`AXES`].
static FORM: LazyLock<Vec<Node>> = LazyLock::new(|| form(0..AXES.len(), 0));

/// The form of the rows in `range`, whose paths have their first `depth` bytes in common.
fn form(range: Range<usize>, depth: usize) -> Vec<Node> {
    let mut nodes = Vec::new();
    let mut next = range.start;
    while next < range.end {
        let row = &AXES[next];
        let path = &row.path[depth..];
        let Some(dot) = path.find('.') else {
            nodes.push(Node::Setting { key: path, axis: Axis(next as u8) });
            next += 1;
            continue;
        };
        let group = &row.path[..depth + dot + 1];
        let length =
            AXES[next..range.end].iter().take_while(|row| row.path.starts_with(group)).count();
        nodes
            .push(Node::Group { key: &path[..dot], nodes: form(next..next + length, group.len()) });
        next += length;
    }
    nodes
}

/// Writes an object, or `null` if the trial has none of its settings.
fn write_group(text: &mut Vec<u8>, spec: &TrialSpec, nodes: &[Node]) {
    if !nodes.iter().any(|node| is_written(spec, node)) {
        text.extend(b"null");
        return;
    }
    let start = text.len();
    for node in nodes {
        match node {
            Node::Setting { key, axis } => {
                let Some(value) = written(spec, *axis) else { continue };
                write_key(text, key, start);
                let shown = match axis.kind {
                    Kind::Dataset => serde_json::to_writer(&mut *text, &spec.dataset),
                    _ => serde_json::to_writer(&mut *text, &value),
                };
                shown.expect("plain values of finite numbers always serialise");
            }
            Node::Group { key, nodes } => {
                write_key(text, key, start);
                write_group(text, spec, nodes);
            }
        }
    }
    text.push(b'}');
}

fn is_written(spec: &TrialSpec, node: &Node) -> bool {
    match node {
        Node::Setting { axis, .. } => written(spec, *axis).is_some(),
        Node::Group { nodes, .. } => nodes.iter().any(|node| is_written(spec, node)),
    }
}

/// The value of a setting that the canonical JSON has.
fn written(spec: &TrialSpec, axis: Axis) -> Option<Value> {
    let value = axis.raw(spec)?;
    let is_written = match axis.written {
        Written::Always => true,
        Written::Unless(usual) => value != usual,
        Written::If { written, .. } => written(spec),
    };
    is_written.then_some(value)
}

fn write_key(text: &mut Vec<u8>, key: &str, start: usize) {
    text.extend(if text.len() == start { b"{\"" } else { b",\"" });
    text.extend(key.as_bytes());
    text.extend(b"\":");
}

/// The value at a path; `None` if a group on the way is `null` or missing.
fn find<'j>(json: &'j Map<String, Json>, path: &str) -> Option<&'j Json> {
    match path.split_once('.') {
        None => json.get(path),
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
        Kind::Choice(names) => json
            .as_str()
            .and_then(|given| names.iter().find(|name| **name == given))
            .map(|name| Value::Name(name)),
    };
    let refused = || format!("{} is not {}", quote(&json.to_string()), axis.kind.wanted());
    let value = value
        .ok_or_else(refused)
        .and_then(|value| axis.check(value))
        .map_err(|problem| SpecError::wrong(axis.path, problem))?;
    axis.set(spec, value);
    Ok(())
}

/// Refuses keys that the table does not have.
fn refuse_unknown(json: &Map<String, Json>, group: &str) -> Result<(), SpecError> {
    for (key, value) in json {
        let path = format!("{group}{key}");
        let inside = format!("{path}.");
        let row = AXES.iter().find(|row| row.path == path || row.path.starts_with(&inside));
        match (row, value) {
            (None, _) => {
                let setting = quote(&path);
                return Err(SpecError(format!("setting {setting} is unknown to this program")));
            }
            (Some(row), Json::Object(json)) if row.path != path => refuse_unknown(json, &inside)?,
            _ => {}
        }
    }
    Ok(())
}
