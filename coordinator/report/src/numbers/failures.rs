//! Failed trials, grouped: what failed with one and the same error is told once.

use std::collections::{BTreeSet, HashMap};

use crate::{
    numbers::summary::{Failure, Summary},
    phrases::words,
};

/// Trials that failed with the same error, but for its numbers.
pub(crate) struct FailureGroup<'s> {
    summary: &'s Summary,
    /// In the order of the grid; never empty.
    trials: Vec<&'s Failure>,
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
    fn common(&self) -> Vec<String> {
        let cells = &self.summary.cells;
        let failed: BTreeSet<usize> = self.trials.iter().map(|failure| failure.cell).collect();
        let mut parts = words::parts(&cells[self.first().cell]);
        parts.retain(|part| failed.iter().all(|cell| words::parts(&cells[*cell]).contains(part)));
        parts.retain(|part| !cells.iter().all(|cell| words::parts(cell).contains(part)));
        parts
    }

    /// How many they are, and what they have in common.
    pub(crate) fn title(&self) -> String {
        match (&self.trials[..], &self.common()[..]) {
            ([one], _) => name(one),
            (trials, []) => format!("{} failed", words::count(trials.len(), "trial")),
            (trials, common) => format!("{} failed ({})", words::count(trials.len(), "trial"), common.join(", ")),
        }
    }

    /// The first error, in one line.
    pub(crate) fn error(&self) -> String {
        self.first().error.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
    }

    /// Its trials by name, at most so many.
    pub(crate) fn names(&self, most: usize) -> Vec<String> {
        let mut names: Vec<String> = self.trials.iter().take(most).map(|failure| name(failure)).collect();
        names.extend((self.trials.len() > most).then(|| format!("and {} more", self.trials.len() - most)));
        names
    }

    /// The last lines of the first log, without what would steer a terminal.
    pub(crate) fn log(&self, count: usize) -> Vec<String> {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::numbers::summary::tests::finished;

    #[test]
    fn equal_failures_are_told_once() {
        let grid = "version = 1\nname = \"t\"\n[data]\ndataset = \"mnist\"\n[grid]\nseed = { count = 2 }\nsubset_size = 100\n\
                    architecture = \"net\"\nlambda = [0, 0.1]\nlearning_rate = [0.01, 1000]\n";
        let mut summary = finished(grid, |spec| (spec.learning_rate.get() < 1.0).then_some(0.8));
        let failure = |cell: usize, seed: u64| Failure {
            trial: format!("{cell}{seed}345678"),
            label: words::label(&summary.cells[cell]),
            cell,
            seed,
            attempts: 1,
            error: format!("diverged: train/loss is `NaN` at iteration {seed}"),
            log: Some("one\ntwo\u{1b}[31m\nthree".to_owned()),
        };
        let failed: Vec<usize> = (0..4).filter(|cell| summary.cells[*cell].learning_rate > 1.0).collect();
        let failures = failed.iter().flat_map(|cell| [failure(*cell, 0), failure(*cell, 1)]).collect();
        let other = Failure { error: "out of memory".to_owned(), ..failure(failed[0], 7) };
        summary.failures = failures;
        summary.failures.push(other);
        let groups = groups(&summary);
        let titles: Vec<String> = groups.iter().map(FailureGroup::title).collect();
        assert_eq!(titles[0], "4 trials failed (lr 1000)");
        assert_eq!((titles.len(), titles[1].contains(", lr 1000, seed 7 (trial ")), (2, true), "{titles:?}");
        assert_eq!(groups[0].log(2), ["two[31m", "three"]);
        assert_eq!((groups[0].names(3).len(), groups[0].names(3)[3].as_str()), (4, "and 1 more"));
    }
}
