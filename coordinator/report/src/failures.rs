//! Failed trials, grouped: what failed with one and the same error is told once.

use std::collections::BTreeSet;

use super::{
    summary::{Failure, Summary},
    words,
};

/// Trials that failed with the same error, but for its numbers.
pub(super) struct FailureGroup<'s> {
    /// What these trials have in common and other trials do not: `lr 1000`.
    common: Vec<String>,
    /// In the order of the grid; never empty.
    trials: Vec<&'s Failure>,
}

/// The groups, that of the first failure first.
pub(super) fn groups(summary: &Summary) -> Vec<FailureGroup<'_>> {
    let mut groups: Vec<FailureGroup<'_>> = Vec::new();
    for failure in &summary.failures {
        match groups.iter_mut().find(|group| kind(&group.first().error) == kind(&failure.error)) {
            Some(group) => group.trials.push(failure),
            None => groups.push(FailureGroup { common: Vec::new(), trials: vec![failure] }),
        }
    }
    groups.iter_mut().for_each(|group| group.common = common(summary, &group.trials));
    groups
}

/// An error without its numbers.
fn kind(error: &str) -> String {
    error.chars().filter(|character| !character.is_ascii_digit()).collect()
}

fn common(summary: &Summary, trials: &[&Failure]) -> Vec<String> {
    let of = |cell: usize| words::parts(&summary.cells[cell]);
    let failed: BTreeSet<usize> = trials.iter().map(|failure| failure.cell).collect();
    let mut parts = of(trials[0].cell);
    parts.retain(|part| failed.iter().all(|cell| of(*cell).contains(part)));
    parts.retain(|part| !(0..summary.cells.len()).all(|cell| of(cell).contains(part)));
    parts
}

impl FailureGroup<'_> {
    /// The one whose error and log stand for all.
    pub(super) fn first(&self) -> &Failure {
        self.trials[0]
    }

    /// How many they are, and what they have in common.
    pub(super) fn title(&self) -> String {
        match (&self.trials[..], &self.common[..]) {
            ([one], _) => name(one),
            (trials, []) => format!("{} failed", words::count(trials.len(), "trial")),
            (trials, common) => format!("{} failed ({})", words::count(trials.len(), "trial"), common.join(", ")),
        }
    }

    /// The first error, in one line.
    pub(super) fn error(&self) -> String {
        self.first().error.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
    }

    /// Its trials by name, at most so many.
    pub(super) fn names(&self, most: usize) -> Vec<String> {
        let mut names: Vec<String> = self.trials.iter().take(most).map(|failure| name(failure)).collect();
        names.extend((self.trials.len() > most).then(|| format!("and {} more", self.trials.len() - most)));
        names
    }

    /// The last lines of the first log, without what would steer a terminal.
    pub(super) fn log(&self, count: usize) -> Vec<String> {
        let lines: Vec<_> = self.first().log.as_deref().unwrap_or_default().lines().collect();
        let lines = lines[lines.len().saturating_sub(count)..].iter();
        lines.map(|line| line.chars().filter(|c| !c.is_control()).collect()).collect()
    }
}

/// A failed trial with all that tells it from the others.
fn name(failure: &Failure) -> String {
    let Failure { label, seed, trial, attempts, .. } = failure;
    format!("{label}, seed {seed} (trial {}, attempt {attempts})", &trial[..8])
}
