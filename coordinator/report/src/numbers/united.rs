//! What several sweeps come to together: their names, and what they claim and compare.

use std::collections::{BTreeSet, HashSet};

use swfn_shared::{
    grid::{Claim, Contrast, Grid},
    trial::TrialSpec,
};
use swfn_store::TrialRow;

/// The names of data sets, each once.
pub(crate) fn datasets(trials: &[(TrialSpec, TrialRow)]) -> String {
    let names: BTreeSet<&str> = trials.iter().map(|(spec, _)| spec.dataset.name()).collect();
    names.into_iter().collect::<Vec<_>>().join(" and ")
}

/// What the grids claim, each once: counted twice, it would make its family larger than it is.
pub(crate) fn claims<'g>(grids: &[&'g Grid]) -> Vec<&'g Claim> {
    let mut claims: Vec<&Claim> = Vec::new();
    for claim in grids.iter().flat_map(|grid| &grid.claims) {
        if !claims.contains(&claim) {
            claims.push(claim);
        }
    }
    claims
}

/// The names of sweeps, each once.
pub(crate) fn sweeps(grids: &[&Grid]) -> String {
    let mut names: Vec<&str> = grids.iter().map(|grid| grid.name.as_str()).collect();
    let mut seen = HashSet::new();
    names.retain(|name| seen.insert(*name));
    names.join(" + ")
}

/// What the grids compare, each pair of cells once, under the name that it has first; and where none says what to compare, also what cells of one of them are to
/// the cells of another one.
pub(crate) fn contrasts(grids: &[&Grid], trials: &[(TrialSpec, TrialRow)]) -> Vec<Contrast> {
    let mut seen = HashSet::new();
    let mut all: Vec<Contrast> = grids.iter().flat_map(|grid| grid.contrasts()).collect();
    if grids.len() > 1 && !grids.iter().any(|grid| grid.names_contrasts()) {
        let mut cells: Vec<&TrialSpec> = Vec::new();
        let mut known = HashSet::new();
        cells.extend(trials.iter().map(|(spec, _)| spec).filter(|spec| known.insert(spec.cell())));
        let with_norm = cells.into_iter().filter(|spec| spec.penalty.is_some());
        let pairs =
            with_norm.map(|spec| (spec.cell(), TrialSpec { penalty: None, ..*spec }.cell()));
        let pairs = pairs.filter(|(_, reference)| known.contains(reference));
        all.extend(pairs.map(|(cell, reference)| Contrast { name: None, cell, reference }));
    }
    all.retain(|contrast| seen.insert((contrast.cell, contrast.reference)));
    all
}
