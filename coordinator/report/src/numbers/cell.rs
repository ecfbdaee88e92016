//! Cells: all trials that differ only in the seed, with their names and means.

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
    /// Settings of the first trial, whose seed has no meaning here. Files have them axis by axis.
    #[serde(flatten, serialize_with = "by_axis")]
    pub(crate) spec: TrialSpec,
    pub network: Network,
    /// The regulariser's short name.
    pub regulariser: String,
    #[serde(skip)]
    pub subset_size: u32,
    /// Other properties that distinguish the cell, in words.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub variant: Vec<String>,
    /// Index of the treatment.
    #[serde(skip)]
    pub(crate) treatment: usize,
    /// Number of seeds in the grid.
    pub planned: usize,
    /// Number of seeds with a result.
    pub succeeded: usize,
    /// Number of failed seeds.
    pub quarantined: usize,
    /// Test accuracy at the evaluation that the grid selects, 0 to 1.
    pub test_accuracy: Option<Estimate>,
    /// Test accuracy after the last iteration, 0 to 1.
    pub final_test_accuracy: Option<Estimate>,
    /// Highest test accuracy of any evaluation, 0 to 1. It is chosen on the test images and
    /// flatters.
    pub best_test_accuracy: Option<Estimate>,
    /// Test accuracy at each trial's best evaluation on the validation images, 0 to 1.
    pub validated_test_accuracy: Option<Estimate>,
    /// Mean gain of the selected accuracy over the same seeds without the function norm.
    pub gain_over_none: Option<Estimate>,
    /// Mean seconds of training and testing a classifier.
    pub classifier_seconds: Option<f64>,
    /// Mean seconds of training a VAE, over the trials that trained one.
    pub vae_seconds: Option<f64>,
    #[serde(skip)]
    seeds: BTreeSet<u64>,
    /// The test accuracies that count, by seed.
    #[serde(skip)]
    pub(crate) accuracies: BTreeMap<u64, f64>,
    /// The trials with a result.
    #[serde(skip)]
    pub(crate) trials: Vec<TrialId>,
}

/// The properties that distinguish cells of one network and subset size.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Treatment {
    pub(crate) regulariser: Regulariser,
    /// The place of the variant in the grid, which orders those of one regulariser.
    place: usize,
    /// Other properties, in words; mostly empty.
    pub(crate) variant: String,
    /// Both in a few words.
    pub(crate) name: String,
}

/// All cells and their treatments.
#[derive(Debug, Clone, Serialize)]
#[serde(transparent)]
pub(crate) struct Cells {
    /// In the order of the grid.
    pub(crate) all: Vec<Cell>,
    /// In the order of lists.
    #[serde(skip)]
    pub(crate) treatments: Vec<Treatment>,
    #[serde(skip)]
    pub(crate) indices: HashMap<CellId, usize>,
}

fn by_axis<S: Serializer>(spec: &TrialSpec, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(Axis::cell_columns(spec))
}

impl Cell {
    /// The variant as one text.
    pub(crate) fn variant(&self) -> String {
        self.variant.join(", ")
    }

    /// Whether every seed has a result.
    pub(crate) fn complete(&self) -> bool {
        self.succeeded == self.planned
    }

    /// The parts of the cell's name.
    pub(crate) fn parts(&self) -> Vec<String> {
        let mut parts = vec![
            self.network.to_string(),
            format!("n = {}", self.subset_size),
            self.regulariser.clone(),
        ];
        parts.extend(self.variant.iter().cloned());
        parts
    }

    /// The cell's name: `net, n = 300, fn 0.1`.
    pub(crate) fn label(&self) -> String {
        self.parts().join(", ")
    }

    /// The seeds that the grid has for both cells, with the accuracies that are known.
    pub(crate) fn paired<'a>(
        &'a self,
        reference: &'a Self,
    ) -> impl Iterator<Item = (u64, Option<f64>, Option<f64>)> + 'a {
        let known = |cell: &Self, seed: &u64| cell.accuracies.get(seed).copied();
        self.seeds
            .intersection(&reference.seeds)
            .map(move |seed| (*seed, known(self, seed), known(reference, seed)))
    }

    /// Differences to the same seeds of another cell, where both have results.
    pub(crate) fn differences(&self, reference: &Self) -> Vec<f64> {
        let both = self.paired(reference).filter_map(|(_, with, without)| with.zip(without));
        both.map(|(with, without)| hypothesis::difference(with, without)).collect()
    }
}

/// The names of what both cells share, of the cell alone, and of the reference alone.
pub(crate) fn sides(cell: &Cell, reference: &Cell) -> (String, String, String) {
    let same_network = cell.network == reference.network;
    let is_common =
        |phrase: &&String| cell.variant.contains(phrase) && reference.variant.contains(phrase);
    let side = |of: &Cell| {
        let network = (!same_network).then(|| of.network.to_string());
        let variant = of.variant.iter().filter(|phrase| !is_common(phrase)).cloned();
        let parts = network.into_iter().chain([of.regulariser.clone()]).chain(variant);
        parts.collect::<Vec<_>>().join(", ")
    };
    let mut context = vec![format!("n = {}", cell.subset_size)];
    context.extend(same_network.then(|| cell.network.to_string()));
    context.extend(cell.variant.iter().filter(is_common).cloned());
    (context.join(", "), side(cell), side(reference))
}

/// A key that cells with a function norm share if they differ in lambda alone.
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
    /// Groups the trials of a grid, in its order. `selection` says which accuracy counts.
    pub(crate) fn new(selection: Selection, trials: &[(TrialSpec, TrialRow)]) -> Self {
        let mut indices: HashMap<CellId, usize> = HashMap::new();
        let mut groups: Vec<Group<'_>> = Vec::new();
        for trial in trials {
            let index = *indices.entry(trial.0.cell()).or_insert(groups.len());
            if index == groups.len() {
                groups.push(Vec::new());
            }
            groups[index].push(trial);
        }
        let specs = || groups.iter().map(|group| &group[0].0);
        let differing = Differing::among(specs());
        let names = Names::among(specs().map(TrialSpec::regulariser));
        let mut all: Vec<Cell> =
            groups.iter().map(|group| cell(selection, group, names, &differing)).collect();
        for index in 0..all.len() {
            let spec = all[index].spec;
            let none = spec.penalty.and_then(|_| indices.get(&without(&spec).cell()));
            all[index].gain_over_none =
                none.and_then(|none| Estimate::of(&all[index].differences(&all[*none])));
        }
        let treatments = treatments(&mut all);
        Self { all, treatments, indices }
    }
}

/// Lists the treatments of all cells, each once, and sets each cell's index.
fn treatments(cells: &mut [Cell]) -> Vec<Treatment> {
    let mut places = HashMap::new();
    for cell in &*cells {
        let next = places.len();
        places.entry(cell.variant()).or_insert(next);
    }
    let treatment = |cell: &Cell| {
        let name = [std::slice::from_ref(&cell.regulariser), &cell.variant].concat().join(", ");
        let (regulariser, variant) = (cell.spec.regulariser(), cell.variant());
        Treatment { regulariser, place: places[&variant], variant, name }
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
    let estimate = |value: &dyn Fn(&Outcome) -> Option<f64>| {
        Estimate::of(&outcomes.iter().filter_map(value).collect::<Vec<_>>())
    };
    let mean = |value| estimate(value).map(|estimate| estimate.mean);
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
        test_accuracy: estimate(&|outcome| selection.accuracy(outcome)),
        final_test_accuracy: estimate(&|outcome| Some(outcome.final_test_accuracy)),
        best_test_accuracy: estimate(&|outcome| Some(outcome.best_test_accuracy)),
        validated_test_accuracy: estimate(&|outcome| outcome.validated_test_accuracy),
        gain_over_none: None,
        classifier_seconds: mean(&|outcome| Some(outcome.classifier_seconds)),
        vae_seconds: mean(&|outcome| Some(outcome.vae_seconds).filter(|seconds| *seconds > 0.0)),
        seeds: group.iter().map(|(spec, _)| spec.seed).collect(),
        accuracies,
        trials: group.iter().filter_map(|(_, row)| row.outcome.map(|_| row.id)).collect(),
    }
}
