//! A cell: all trials that differ only in the seed, its name, and what its trials come to.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde::{Serialize, Serializer};
use swfn_shared::{
    axes::{Axis, Value},
    grid::Selection,
    ids::{CellId, TrialId},
    metrics::Outcome,
    state::TrialState,
    treatment::{Names, Network, Regulariser},
    trial::{Penalty, TrialSpec},
};
use swfn_store::TrialRow;

use super::{hypothesis, settings::Differing, statistics::Estimate};

/// All trials that differ only in the seed.
#[derive(Debug, Clone, Serialize)]
pub struct Cell {
    #[serde(skip)]
    pub(crate) id: CellId,
    /// Of its first trial; the seed says nothing. Files have it axis by axis.
    #[serde(flatten, serialize_with = "by_axis")]
    pub(crate) spec: TrialSpec,
    /// The architecture without dropout and batch norm.
    pub network: Network,
    /// What regularises it, by its short name.
    pub regulariser: String,
    #[serde(skip)]
    pub subset_size: u32,
    /// In what else it differs from other cells, in words.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub variant: Vec<String>,
    /// Its place among the treatments.
    #[serde(skip)]
    pub(crate) treatment: usize,
    /// Seeds of the grid.
    pub planned: usize,
    /// Seeds with a result.
    pub succeeded: usize,
    /// Seeds given up.
    pub quarantined: usize,
    /// Test accuracy at the evaluation that the grid selects, 0 to 1.
    pub test_accuracy: Option<Estimate>,
    /// Test accuracy after the last iteration, 0 to 1.
    pub final_test_accuracy: Option<Estimate>,
    /// Highest test accuracy of any evaluation, 0 to 1; chosen on the test images, so it flatters.
    pub best_test_accuracy: Option<Estimate>,
    /// Test accuracy at each trial's best evaluation on the validation images, 0 to 1; none without
    /// such images.
    pub validated_test_accuracy: Option<Estimate>,
    /// Selected accuracy minus that of the same seed without the function norm, over the seeds that
    /// have both.
    pub gain_over_none: Option<Estimate>,
    /// Mean seconds of training and testing a classifier.
    pub classifier_seconds: Option<f64>,
    /// Mean seconds of training a VAE, over the trials that had to.
    pub vae_seconds: Option<f64>,
    #[serde(skip)]
    seeds: BTreeSet<u64>,
    /// The test accuracies that count, by seed, as far as they are known.
    #[serde(skip)]
    pub(crate) accuracies: BTreeMap<u64, f64>,
    /// The trials that have succeeded.
    #[serde(skip)]
    pub(crate) trials: Vec<TrialId>,
}

/// What cells of one network and subset size are told apart by.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Treatment {
    pub(crate) regulariser: Regulariser,
    /// What else sets it apart; empty if nothing does.
    pub(crate) variant: String,
    /// Both in a few words.
    pub(crate) name: String,
}

/// All cells, in the order of the grid, and what they are told apart by.
#[derive(Debug, Clone)]
pub(crate) struct Cells {
    pub(crate) all: Vec<Cell>,
    /// In the order in which they are listed.
    pub(crate) treatments: Vec<Treatment>,
    pub(crate) places: HashMap<CellId, usize>,
}

fn by_axis<S: Serializer>(spec: &TrialSpec, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(Axis::cell_columns(spec))
}

impl Cell {
    /// Its variant as one text.
    pub(crate) fn variant(&self) -> String {
        self.variant.join(", ")
    }

    /// Whether every seed has a result.
    pub(crate) fn complete(&self) -> bool {
        self.succeeded == self.planned
    }

    /// Its name, part by part: all that tells it from the others.
    pub(crate) fn parts(&self) -> Vec<String> {
        let mut parts = vec![
            self.network.to_string(),
            format!("n = {}", self.subset_size),
            self.regulariser.clone(),
        ];
        parts.extend(self.variant.iter().cloned());
        parts
    }

    /// Its name in a few words.
    pub(crate) fn label(&self) -> String {
        self.parts().join(", ")
    }

    /// The seeds that the grid has of both cells, with the accuracies as far as they are known.
    pub(crate) fn paired<'a>(
        &'a self,
        reference: &'a Self,
    ) -> impl Iterator<Item = (u64, Option<f64>, Option<f64>)> + 'a {
        let known = |cell: &Self, seed: &u64| cell.accuracies.get(seed).copied();
        self.seeds
            .intersection(&reference.seeds)
            .map(move |seed| (*seed, known(self, seed), known(reference, seed)))
    }

    /// Differences to the same seeds of another cell, as far as both are known.
    pub(crate) fn differences(&self, reference: &Self) -> Vec<f64> {
        let both = self.paired(reference).filter_map(|(_, with, without)| with.zip(without));
        both.map(|(with, without)| hypothesis::difference(with, without)).collect()
    }
}

/// What both cells have, then what each of them has.
pub(crate) fn sides(cell: &Cell, reference: &Cell) -> (String, String, String) {
    let mut context = vec![format!("n = {}", cell.subset_size)];
    let (mut left, mut right) = (Vec::new(), Vec::new());
    if cell.network == reference.network {
        context.push(cell.network.to_string());
    } else {
        left.push(cell.network.to_string());
        right.push(reference.network.to_string());
    }
    left.push(cell.regulariser.clone());
    right.push(reference.regulariser.clone());
    let is_common =
        |phrase: &&String| cell.variant.contains(phrase) && reference.variant.contains(phrase);
    let only = |of: &Cell| {
        of.variant.iter().filter(|phrase| !is_common(phrase)).cloned().collect::<Vec<_>>()
    };
    left.extend(only(cell));
    right.extend(only(reference));
    context.extend(cell.variant.iter().filter(is_common).cloned());
    (context.join(", "), left.join(", "), right.join(", "))
}

/// Equal for cells that differ in lambda alone, zero excluded.
pub(crate) fn over_lambda(spec: &TrialSpec) -> TrialSpec {
    let penalty = spec.penalty.map(|penalty| Penalty { lambda: 1.0, ..penalty });
    TrialSpec { penalty, seed: 0, ..*spec }
}

/// The same cell without the function norm.
pub(crate) fn without(spec: &TrialSpec) -> TrialSpec {
    TrialSpec { penalty: None, seed: 0, ..*spec }
}

/// The same cell without any regulariser.
pub(crate) fn plain(spec: &TrialSpec) -> TrialSpec {
    let plain = TrialSpec { architecture: spec.network(), ..without(spec) };
    Axis::regularisers().iter().fold(plain, |plain, axis| plain.with(*axis, Value::Real(0.0)))
}

type Group<'t> = Vec<&'t (TrialSpec, TrialRow)>;

impl Cells {
    /// `trials`: those of the grid with what became of them, in its order. `selection`: the accuracy
    /// that counts.
    pub(crate) fn of(selection: Selection, trials: &[(TrialSpec, TrialRow)]) -> Self {
        let mut places: HashMap<CellId, usize> = HashMap::new();
        let mut groups: Vec<Group<'_>> = Vec::new();
        for trial in trials {
            let place = *places.entry(trial.0.cell()).or_insert(groups.len());
            if place == groups.len() {
                groups.push(Vec::new());
            }
            groups[place].push(trial);
        }
        let specs = || groups.iter().map(|group| &group[0].0);
        let differing = Differing::among(specs());
        let names = Names::among(specs().map(TrialSpec::regulariser));
        let mut all: Vec<Cell> =
            groups.iter().map(|group| cell(selection, group, names, &differing)).collect();
        for place in 0..all.len() {
            let none =
                all[place].spec.penalty.and_then(|_| places.get(&without(&all[place].spec).cell()));
            all[place].gain_over_none =
                none.and_then(|none| Estimate::of(&all[place].differences(&all[*none])));
        }
        let treatments = treatments(&mut all);
        Self { all, treatments, places }
    }

    pub(crate) fn get(&self, id: CellId) -> Option<&Cell> {
        self.places.get(&id).map(|place| &self.all[*place])
    }
}

/// The treatments of all cells, each once, and in each cell the place of its own.
fn treatments(cells: &mut [Cell]) -> Vec<Treatment> {
    let treatment = |cell: &Cell| {
        let name = [std::slice::from_ref(&cell.regulariser), &cell.variant].concat().join(", ");
        Treatment { regulariser: cell.spec.regulariser(), variant: cell.variant(), name }
    };
    let mut all: Vec<Treatment> = cells.iter().map(treatment).collect();
    all.sort();
    all.dedup();
    for cell in cells {
        cell.treatment = all.binary_search(&treatment(cell)).unwrap_or(0);
    }
    all
}

fn cell(selection: Selection, group: &Group<'_>, names: Names, differing: &Differing) -> Cell {
    let spec = &group[0].0;
    let outcomes: Vec<_> = group.iter().filter_map(|(_, row)| row.outcome).collect();
    let of =
        |value: fn(&Outcome) -> Option<f64>| outcomes.iter().filter_map(value).collect::<Vec<_>>();
    let mean = |values: &[f64]| Estimate::of(values).map(|estimate| estimate.mean);
    let selected: Vec<f64> =
        outcomes.iter().filter_map(|outcome| selection.accuracy(outcome)).collect();
    let accuracy = |row: &TrialRow| selection.accuracy(row.outcome.as_ref()?);
    let accuracies: BTreeMap<u64, f64> =
        group.iter().filter_map(|(spec, row)| Some((spec.seed, accuracy(row)?))).collect();
    Cell {
        id: spec.cell(),
        spec: *spec,
        network: spec.network(),
        regulariser: names.regulariser(spec.regulariser()),
        subset_size: spec.subset_size,
        variant: differing.phrases(spec),
        treatment: 0,
        planned: group.len(),
        succeeded: outcomes.len(),
        quarantined: group.iter().filter(|(_, row)| row.state == TrialState::Quarantined).count(),
        test_accuracy: Estimate::of(&selected),
        final_test_accuracy: Estimate::of(&of(|o| Some(o.final_test_accuracy))),
        best_test_accuracy: Estimate::of(&of(|o| Some(o.best_test_accuracy))),
        validated_test_accuracy: Estimate::of(&of(|o| o.validated_test_accuracy)),
        gain_over_none: None,
        classifier_seconds: mean(&of(|o| Some(o.classifier_seconds))),
        vae_seconds: mean(&of(|o| Some(o.vae_seconds).filter(|seconds| *seconds > 0.0))),
        seeds: group.iter().map(|(spec, _)| spec.seed).collect(),
        accuracies,
        trials: group
            .iter()
            .filter(|(_, row)| row.outcome.is_some())
            .map(|(_, row)| row.id)
            .collect(),
    }
}
