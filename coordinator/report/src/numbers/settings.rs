//! The settings of trials: their names, and which of them tell cells apart.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use swfn_shared::{
    numbers::short,
    trial::{Epochs, TrialSpec},
};

const LAMBDA: &str = "penalty.lambda";

/// What network, regulariser and subset size tell, so that it is no variant.
pub(crate) const NAMED: [&str; 5] = ["seed", "subset_size", "architecture", "weight_decay", LAMBDA];

/// The settings in which cells differ, and how they are told apart in a few words.
#[derive(Debug, Clone, Default)]
pub(crate) struct Differing {
    paths: Vec<String>,
    /// Settings that have values which are the same once they are rounded.
    exact: BTreeSet<String>,
}

impl Differing {
    /// Without the settings that have a place of their own. A setting that a cell does not have makes no difference.
    pub(crate) fn among<'s>(specs: impl Iterator<Item = &'s TrialSpec>, placed: &[&str]) -> Self {
        let mut values: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for spec in specs {
            for (path, value) in settings(spec) {
                values.entry(path).or_default().insert(value);
            }
        }
        let differ = |path: &str| values.get(path).is_some_and(|values| values.len() > 1);
        let mut paths: Vec<String> = values.keys().filter(|path| differ(path)).cloned().collect();
        paths.retain(|path| !placed.contains(&path.as_str()));
        if differ("penalty.density") {
            // The density says as much.
            paths.retain(|path| path != "penalty.vae.vae.family");
        }
        let collide = |values: &BTreeSet<String>| {
            let rounded: BTreeSet<String> = values.iter().map(|value| rounded(value)).collect();
            rounded.len() < values.len()
        };
        let exact = values.iter().filter(|(_, values)| collide(values)).map(|(path, _)| path.clone()).collect();
        Self { paths, exact }
    }

    /// What sets a cell apart.
    pub(crate) fn phrases(&self, spec: &TrialSpec) -> Vec<String> {
        if self.paths.is_empty() {
            return Vec::new();
        }
        let settings = settings(spec);
        let shown = |path: &String, value: &String| {
            phrase(path, &if self.exact.contains(path) { value.clone() } else { rounded(value) })
        };
        self.paths.iter().filter_map(|path| Some(shown(path, settings.get(path)?))).collect()
    }
}

/// All settings by the path that leads to them; those that are not there are left out.
pub fn settings(spec: &TrialSpec) -> BTreeMap<String, String> {
    fn gather(path: &str, value: &Value, into: &mut BTreeMap<String, String>) {
        match value {
            Value::Object(fields) => {
                for (name, value) in fields {
                    let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                    gather(&path, value, into);
                }
            }
            Value::Null => {}
            Value::Number(number) if number.is_f64() => {
                // `0`, not `0.0`.
                into.insert(path.to_owned(), number.as_f64().unwrap_or_default().to_string());
            }
            Value::String(text) => {
                into.insert(path.to_owned(), text.clone());
            }
            other => {
                into.insert(path.to_owned(), other.to_string());
            }
        }
    }
    let mut all = BTreeMap::new();
    let value = serde_json::to_value(spec).unwrap_or(Value::Null);
    gather("", &value, &mut all);
    // What is left out of the identity of a trial is a value like others.
    all.entry("validation".to_owned()).or_insert_with(|| spec.validation.to_string());
    if let Some(every) = spec.classifier.epochs.restart_every() {
        all.insert("classifier.epochs".to_owned(), Epochs::RESTART.to_owned());
        all.insert("classifier.restart_every".to_owned(), every.to_string());
    }
    all
}

/// The section and key of a grid file that say what stands at a path; what no key says has words.
pub(crate) fn key(path: &str) -> String {
    match path {
        "dataset.name" => "[data] dataset".to_owned(),
        "dataset.generator_seed" => "[data] seed".to_owned(),
        "dataset.generator_version" => "version of the synthetic digits".to_owned(),
        "sampling" | "validation" => format!("[data] {path}"),
        LAMBDA => "[grid] lambda".to_owned(),
        "penalty.samples" => "[grid] penalty_samples".to_owned(),
        "penalty.density" => "[grid] density".to_owned(),
        "penalty.vae.spread" => "[vae] spread".to_owned(),
        "penalty.vae.vae.family" => "layers of the VAE".to_owned(),
        _ => match (path.strip_prefix("penalty.vae.vae."), path.split_once('.')) {
            (Some(name), _) => format!("[vae] {name}"),
            (None, Some(("dataset", name))) => format!("[data] {name}"),
            (None, Some((section, name))) => format!("[{section}] {name}"),
            (None, None) => format!("[grid] {path}"),
        },
    }
}

/// A number in at most three digits; anything else as it is.
fn rounded(value: &str) -> String {
    value.parse().map_or_else(|_| value.to_owned(), short)
}

/// A setting in a few words.
fn phrase(path: &str, value: &str) -> String {
    match path {
        "validation" => format!("{value} validation images"),
        "dataset.name" => value.to_owned(),
        "weight_decay" => format!("wd {value}"),
        "learning_rate" => format!("lr {value}"),
        "penalty.samples" => format!("{value} samples"),
        "penalty.density" => format!("on {value}"),
        "classifier.epochs" => format!("{value} epochs"),
        _ => {
            // The classifier has iterations, too.
            let whose = if path.starts_with("penalty.vae.vae.") { "VAE " } else { "" };
            format!("{whose}{} {value}", path.rsplit('.').next().unwrap_or(path).replace('_', " "))
        }
    }
}
