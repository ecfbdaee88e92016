//! Failed trials in words.

use swfn_shared::{quote::for_sentence, text::count};

use crate::numbers::{failures::FailureGroup, summary::Failure};

/// The most trials of a group that are named.
const LISTED: usize = 10;

/// A group of failed trials in words.
pub(crate) struct FailureText {
    /// The number of trials, and the properties that they share.
    pub(crate) title: String,
    /// The first error, in one line.
    pub(crate) error: String,
    pub(crate) trials: Vec<String>,
    /// The last lines of the first failure's log.
    pub(crate) log: Vec<String>,
}

/// Describes a group of failed trials, with at most `lines` of their log.
pub(crate) fn describe(group: &FailureGroup<'_>, lines: usize) -> FailureText {
    let FailureGroup { trials, .. } = group;
    let failed = format!("{} failed", count(trials.len(), "trial"));
    let title = match (&trials[..], &group.common()[..]) {
        ([one], _) => name(one),
        (_, []) => failed,
        (_, common) => format!("{failed} ({})", common.join(", ")),
    };
    let mut names: Vec<String> = trials.iter().take(LISTED).map(|failure| name(failure)).collect();
    if trials.len() > LISTED {
        names.push(format!("and {} more", trials.len() - LISTED));
    }
    let log: Vec<_> =
        trials[0].log.as_deref().unwrap_or_default().lines().map(for_sentence).collect();
    let log = log[log.len().saturating_sub(lines)..].to_vec();
    FailureText { title, error: for_sentence(&trials[0].error), trials: names, log }
}

/// The name of a failed trial.
fn name(failure: &Failure) -> String {
    let Failure { label, seed, trial, attempts, .. } = failure;
    format!("{label}, seed {seed} (trial {}, attempt {attempts})", &trial[..8])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::numbers::{failures::groups, summary_tests::finished};

    #[test]
    fn equal_failures_are_one_group() {
        let grid = "version = 1\nname = \"t\"\n[data]\ndataset = \"mnist\"\n[grid]\nseed = { count = 2 }\nsubset_size = 100\n\
                    architecture = \"net\"\nlambda = [0, 0.1]\nlearning_rate = [0.01, 1000]\n";
        let mut summary = finished(grid, |spec| (spec.learning_rate < 1.0).then_some(0.8));
        let failure = |cell: usize, seed: u64| Failure {
            trial: format!("{cell}{seed}345678"),
            label: summary.cells()[cell].label(),
            cell,
            seed,
            attempts: 1,
            error: format!("diverged: train/loss is `NaN` at iteration {seed}"),
            log: Some("one\ntwo\u{1b}[31m\nthree".to_owned()),
        };
        let failed: Vec<usize> =
            (0..4).filter(|cell| summary.cells()[*cell].spec.learning_rate > 1.0).collect();
        let failures =
            failed.iter().flat_map(|cell| [failure(*cell, 0), failure(*cell, 1)]).collect();
        let other = Failure { error: "out of memory".to_owned(), ..failure(failed[0], 7) };
        summary.failures = failures;
        summary.failures.push(other);
        let groups = groups(&summary);
        assert_eq!(groups.len(), 2);
        let [group, single] = [0, 1].map(|index| describe(&groups[index], 2));
        assert_eq!(group.title, "4 trials failed (lr 1000)");
        assert!(single.title.contains(", lr 1000, seed 7 (trial "), "{}", single.title);
        assert_eq!((group.log, group.trials.len()), (vec!["two [31m".into(), "three".into()], 4));
    }
}
