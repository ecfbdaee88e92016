//! Failed trials, grouped by their error.

use std::collections::{BTreeSet, HashMap};

use super::summary::{Failure, Summary};

/// Trials whose errors differ in numbers alone.
pub(crate) struct FailureGroup<'s> {
    summary: &'s Summary,
    /// In the order of the grid; never empty.
    pub(crate) trials: Vec<&'s Failure>,
}

/// The groups, in the order of their first failures.
pub(crate) fn groups(summary: &Summary) -> Vec<FailureGroup<'_>> {
    let mut groups: Vec<FailureGroup<'_>> = Vec::new();
    let mut indices = HashMap::new();
    for failure in &summary.failures {
        let index = *indices.entry(without_numbers(&failure.error)).or_insert(groups.len());
        if index == groups.len() {
            groups.push(FailureGroup { summary, trials: Vec::new() });
        }
        groups[index].trials.push(failure);
    }
    groups
}

fn without_numbers(error: &str) -> String {
    error.chars().filter(|character| !character.is_ascii_digit()).collect()
}

impl FailureGroup<'_> {
    /// The properties that these trials share, and not all others have: `lr 1000`.
    pub(crate) fn common(&self) -> Vec<String> {
        let cells = self.summary.cells();
        let failed: BTreeSet<usize> = self.trials.iter().map(|failure| failure.cell).collect();
        let mut parts = cells[self.trials[0].cell].parts();
        parts.retain(|part| failed.iter().all(|cell| cells[*cell].parts().contains(part)));
        parts.retain(|part| !cells.iter().all(|cell| cell.parts().contains(part)));
        parts
    }
}
