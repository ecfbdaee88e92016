//! Several sweeps as one: their names, claims and comparisons.

use std::collections::HashSet;

use swfn_shared::{
    grid::{Contrast, Grid},
    trial::TrialSpec,
};
use swfn_store::TrialRow;

/// Each item once, in the order of first occurrence. Meant for few different items.
pub(crate) fn distinct<T: PartialEq>(items: impl IntoIterator<Item = T>) -> Vec<T> {
    let mut all = Vec::new();
    for item in items {
        if !all.contains(&item) {
            all.push(item);
        }
    }
    all
}

/// The comparisons of all grids: each pair of cells once, under its first name and in its first
/// direction, since the other one is the same test.
///
/// If no grid names comparisons, cells of one grid are compared with cells of another one, too.
pub(crate) fn contrasts(grids: &[&Grid], trials: &[(TrialSpec, TrialRow)]) -> Vec<Contrast> {
    let mut seen = HashSet::new();
    let mut all: Vec<Contrast> = grids.iter().flat_map(|grid| grid.contrasts()).collect();
    if grids.len() > 1 && !grids.iter().any(|grid| grid.names_contrasts()) {
        let known: HashSet<_> = trials.iter().map(|(spec, _)| spec.cell()).collect();
        for (spec, _) in trials.iter().filter(|(spec, _)| spec.penalty.is_some()) {
            let reference = TrialSpec { penalty: None, ..*spec }.cell();
            if known.contains(&reference) {
                all.push(Contrast { name: None, cell: spec.cell(), reference });
            }
        }
    }
    all.retain(|contrast| seen.insert(contrast.pair()));
    all
}
