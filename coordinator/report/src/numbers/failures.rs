//! Failed trials, grouped: what failed with one and the same error is told once.

use std::collections::{BTreeSet, HashMap};

use super::summary::{Failure, Summary};

/// Trials that failed with the same error, but for its numbers.
pub(crate) struct FailureGroup<'s> {
    summary: &'s Summary,
    /// In the order of the grid; never empty.
    pub(crate) trials: Vec<&'s Failure>,
}

/// The groups, that of the first failure first.
pub(crate) fn groups(summary: &Summary) -> Vec<FailureGroup<'_>> {
    let mut groups: Vec<FailureGroup<'_>> = Vec::new();
    let mut places = HashMap::new();
    for failure in &summary.failures {
        let place = *places.entry(kind(&failure.error)).or_insert(groups.len());
        if place == groups.len() {
            groups.push(FailureGroup { summary, trials: Vec::new() });
        }
        groups[place].trials.push(failure);
    }
    groups
}

/// An error without its numbers.
fn kind(error: &str) -> String {
    error.chars().filter(|character| !character.is_ascii_digit()).collect()
}

impl FailureGroup<'_> {
    /// The one whose error and log stand for all.
    pub(crate) fn first(&self) -> &Failure {
        self.trials[0]
    }

    /// What these trials have in common and not all others have: `lr 1000`.
    pub(crate) fn common(&self) -> Vec<String> {
        let cells = self.summary.cells();
        let failed: BTreeSet<usize> = self.trials.iter().map(|failure| failure.cell).collect();
        let mut parts = cells[self.first().cell].parts();
        parts.retain(|part| failed.iter().all(|cell| cells[*cell].parts().contains(part)));
        parts.retain(|part| !cells.iter().all(|cell| cell.parts().contains(part)));
        parts
    }
}
