//! What the report looks at: the cells of one or several sweeps, seed by seed, and what tells them apart.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde_json::Value;
use swfn_shared::{
    axes::{self, Value as AxisValue},
    grid::Selection,
    ids::{CellId, TrialId},
    numbers::{Lambda, short},
    treatment::{Names, Regulariser},
    trial::{Epochs, Penalty, TrialSpec},
};
use swfn_store::TrialRow;

use super::charts::{Look, looks};

/// All trials that differ only in the seed, with the results that there are.
#[derive(Debug, Clone)]
pub(crate) struct StudyCell {
    pub(crate) id: CellId,
    /// Of its first trial; the seed says nothing.
    pub(crate) spec: TrialSpec,
    pub(crate) planned: usize,
    /// Test accuracy by seed, 0 to 1.
    pub(crate) accuracies: BTreeMap<u64, f64>,
    /// The trials that have succeeded.
    pub(crate) succeeded: Vec<TrialId>,
    /// Its place among the treatments of the study.
    pub(crate) treatment: usize,
}

/// What cells of one network and subset size are told apart by.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Treatment {
    pub(crate) regulariser: Regulariser,
    /// What else sets it apart; empty if nothing does.
    pub(crate) variant: String,
    /// Both in a few words.
    pub(crate) name: String,
    /// How it looks in all charts.
    pub(crate) look: Look,
}

/// The cells, in the order of the grid.
#[derive(Debug, Clone)]
pub(crate) struct Study {
    /// Which accuracies these are.
    pub(crate) selection: Selection,
    pub(crate) cells: Vec<StudyCell>,
    /// In the order in which they are listed.
    pub(crate) treatments: Vec<Treatment>,
    places: HashMap<CellId, usize>,
}

impl Study {
    /// `selection`: the accuracy that counts.
    pub(crate) fn new(selection: Selection, trials: &[(TrialSpec, TrialRow)]) -> Self {
        let mut places: HashMap<CellId, usize> = HashMap::new();
        let mut cells: Vec<StudyCell> = Vec::new();
        for (spec, row) in trials {
            let id = spec.cell();
            let place = *places.entry(id).or_insert(cells.len());
            if place == cells.len() {
                let (accuracies, succeeded) = (BTreeMap::new(), Vec::new());
                cells.push(StudyCell { id, spec: *spec, planned: 0, accuracies, succeeded, treatment: 0 });
            }
            let cell = &mut cells[place];
            cell.planned += 1;
            if let Some(outcome) = &row.outcome {
                cell.accuracies.extend(selection.accuracy(outcome).map(|accuracy| (spec.seed, accuracy)));
                cell.succeeded.push(row.id);
            }
        }
        let treatments = treatments(&mut cells);
        Self { selection, cells, treatments, places }
    }

    /// Subset sizes, ascending.
    pub(crate) fn sizes(&self) -> Vec<u32> {
        self.cells.iter().map(|cell| cell.spec.subset_size).collect::<BTreeSet<_>>().into_iter().collect()
    }

    /// The most seeds that any cell has results of.
    pub(crate) fn seeds(&self) -> usize {
        self.cells.iter().map(|cell| cell.accuracies.len()).max().unwrap_or(0)
    }

    pub(crate) fn cell(&self, id: CellId) -> Option<&StudyCell> {
        self.places.get(&id).map(|place| &self.cells[*place])
    }
}

/// The treatments of all cells, each once, and in each cell the place of its own.
fn treatments(cells: &mut [StudyCell]) -> Vec<Treatment> {
    let differing = Differing::among(cells.iter().map(|cell| &cell.spec), &NAMED);
    let key = |cell: &StudyCell| (cell.spec.regulariser(), differing.phrases(&cell.spec).join(", "));
    let mut all: Vec<(Regulariser, String)> = cells.iter().map(key).collect();
    all.sort();
    all.dedup();
    for cell in cells.iter_mut() {
        let key = key(cell);
        cell.treatment = all.iter().position(|other| *other == key).unwrap_or(0);
    }
    let regularisers: Vec<Regulariser> = all.iter().map(|(regulariser, _)| *regulariser).collect();
    let names = Names::among(regularisers.iter().copied());
    let looks = looks(&regularisers);
    let treatment = |((regulariser, variant), look): ((Regulariser, String), Look)| {
        let name = names.regulariser(regulariser);
        let name = if variant.is_empty() { name } else { format!("{name}, {variant}") };
        Treatment { regulariser, variant, name, look }
    };
    all.into_iter().zip(looks).map(treatment).collect()
}

/// Equal for cells that differ in lambda alone, zero excluded.
pub(crate) fn over_lambda(spec: &TrialSpec) -> TrialSpec {
    let penalty = spec.penalty.and_then(|penalty| Some(Penalty { lambda: Lambda::new(1.0).ok()?, ..penalty }));
    TrialSpec { penalty, seed: 0, ..*spec }
}

/// The same cell without the function norm.
pub(crate) fn without(spec: &TrialSpec) -> TrialSpec {
    TrialSpec { penalty: None, seed: 0, ..*spec }
}

/// The same cell without any regulariser.
pub(crate) fn plain(spec: &TrialSpec) -> TrialSpec {
    let plain = TrialSpec { architecture: spec.network(), ..without(spec) };
    plain.with(axes::WEIGHT_DECAY, AxisValue::Real(0.0))
}

const LAMBDA: &str = "penalty.lambda";

/// What network, regulariser and subset size tell, so that it is no variant.
pub(super) const NAMED: [&str; 5] = ["seed", "subset_size", "architecture", "weight_decay", LAMBDA];

/// The settings in which cells differ, and how they are told apart in a few words.
#[derive(Debug, Clone, Default)]
pub(super) struct Differing {
    paths: Vec<String>,
    /// Settings that have values which are the same once they are rounded.
    exact: BTreeSet<String>,
}

impl Differing {
    /// Without the settings that have a place of their own. A setting that a cell does not have makes no difference.
    pub(super) fn among<'s>(specs: impl Iterator<Item = &'s TrialSpec>, placed: &[&str]) -> Self {
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
    pub(super) fn phrases(&self, spec: &TrialSpec) -> Vec<String> {
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
pub(super) fn key(path: &str) -> String {
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
