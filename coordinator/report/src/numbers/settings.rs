//! The settings of trials: their names, and those that distinguish cells.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use swfn_shared::{
    axes::{Axis, Kind, Role, Section},
    numbers::short,
    trial::TrialSpec,
};

/// The settings in which cells differ.
#[derive(Debug, Clone, Default)]
pub struct Differing {
    places: Vec<String>,
    /// Settings with values that rounding makes equal.
    exact: BTreeSet<String>,
}

impl Differing {
    /// Finds the settings that network, regulariser and subset size do not name.
    ///
    /// A setting that a cell does not have makes no difference.
    pub fn among<'s>(specs: impl Iterator<Item = &'s TrialSpec>) -> Self {
        let mut values: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for (place, value) in specs.flat_map(settings) {
            values.entry(place).or_default().insert(value);
        }
        let is_named = |place: &str| {
            Axis::by_path(place)
                .is_some_and(|axis| axis.role != Role::Setting || axis.section == Section::Derived)
        };
        values.retain(|place, values| values.len() > 1 && !is_named(place));
        let collide = |values: &BTreeSet<String>| {
            let rounded: BTreeSet<String> = values.iter().map(|value| rounded(value)).collect();
            rounded.len() < values.len()
        };
        let exact = values
            .iter()
            .filter(|(_, values)| collide(values))
            .map(|(place, _)| place.clone())
            .collect();
        Self { places: values.into_keys().collect(), exact }
    }

    /// The values that distinguish a cell, in words.
    pub fn phrases(&self, spec: &TrialSpec) -> Vec<String> {
        if self.places.is_empty() {
            return Vec::new();
        }
        let settings = settings(spec);
        let shown = |place: &String, value: &String| {
            phrase(place, &if self.exact.contains(place) { value.clone() } else { rounded(value) })
        };
        self.places.iter().filter_map(|place| Some(shown(place, settings.get(place)?))).collect()
    }
}

/// All settings by their places in the JSON of a trial, including those that it omits.
pub fn settings(spec: &TrialSpec) -> BTreeMap<String, String> {
    fn gather(path: &str, value: &Value, into: &mut BTreeMap<String, String>) {
        match value {
            Value::Object(fields) => {
                for (name, value) in fields {
                    let path =
                        if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                    gather(&path, value, into);
                }
            }
            Value::Null => {}
            value => {
                let text = match (value.as_str(), value.as_f64().filter(|_| value.is_f64())) {
                    (Some(text), _) => text.to_owned(),
                    // `0`, not `0.0`.
                    (_, Some(number)) => number.to_string(),
                    _ => value.to_string(),
                };
                into.insert(path.to_owned(), text);
            }
        }
    }
    let mut all = BTreeMap::new();
    let value = serde_json::from_str(&spec.to_json()).unwrap_or(Value::Null);
    gather("", &value, &mut all);
    for axis in Axis::all().filter(|axis| !matches!(axis.kind, Kind::Dataset)) {
        if let Some(value) = axis.value(spec) {
            all.entry(axis.path.to_owned()).or_insert_with(|| value.to_string());
        }
    }
    all
}

/// The section and key of a grid file for a place in the JSON of a trial, or words where there is
/// no key.
pub(crate) fn key(place: &str) -> String {
    match (place, Axis::by_path(place), place.strip_prefix("dataset.")) {
        (_, Some(axis), _) => axis.in_file(),
        ("dataset.name", ..) => "[data] dataset".to_owned(),
        ("dataset.generator_seed", ..) => "[data] seed".to_owned(),
        ("dataset.generator_version", ..) => "version of the synthetic digits".to_owned(),
        (_, None, name) => format!("[data] {}", name.unwrap_or(place)),
    }
}

/// A number in at most three digits; other values stay as they are.
fn rounded(value: &str) -> String {
    value.parse().map_or_else(|_| value.to_owned(), short)
}

/// A setting in a few words.
fn phrase(place: &str, value: &str) -> String {
    match (Axis::by_path(place), place.strip_prefix("dataset.")) {
        (Some(axis), _) => axis.label.replace("{}", value),
        (None, Some("name")) => value.to_owned(),
        (None, name) => format!("{} {value}", name.unwrap_or(place).replace('_', " ")),
    }
}
