//! Failed trials in words.

use swfn_shared::{quote::for_sentence, text::count};

use crate::numbers::{failures::FailureGroup, summary::Failure};

/// How many they are, and what they have in common.
pub(crate) fn title(group: &FailureGroup<'_>) -> String {
    match (&group.trials[..], &group.common()[..]) {
        ([one], _) => name(one),
        (trials, []) => format!("{} failed", count(trials.len(), "trial")),
        (trials, common) => {
            format!("{} failed ({})", count(trials.len(), "trial"), common.join(", "))
        }
    }
}

/// The first error, in one line.
pub(crate) fn error(group: &FailureGroup<'_>) -> String {
    for_sentence(&group.first().error)
}

/// Its trials by name, at most so many.
pub(crate) fn names(group: &FailureGroup<'_>, most: usize) -> Vec<String> {
    let mut names: Vec<String> =
        group.trials.iter().take(most).map(|failure| name(failure)).collect();
    names.extend(
        (group.trials.len() > most).then(|| format!("and {} more", group.trials.len() - most)),
    );
    names
}

/// The last lines of the first log.
pub(crate) fn log(group: &FailureGroup<'_>, count: usize) -> Vec<String> {
    let lines: Vec<_> = group.first().log.as_deref().unwrap_or_default().lines().collect();
    lines[lines.len().saturating_sub(count)..].iter().map(|line| for_sentence(line)).collect()
}

/// A failed trial with all that tells it from the others.
fn name(failure: &Failure) -> String {
    let Failure { label, seed, trial, attempts, .. } = failure;
    format!("{label}, seed {seed} (trial {}, attempt {attempts})", &trial[..8])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::numbers::{failures::groups, summary::tests::finished};

    #[test]
    fn equal_failures_are_told_once() {
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
        let titles: Vec<String> = groups.iter().map(title).collect();
        assert_eq!(titles[0], "4 trials failed (lr 1000)");
        assert_eq!(
            (titles.len(), titles[1].contains(", lr 1000, seed 7 (trial ")),
            (2, true),
            "{titles:?}"
        );
        assert_eq!(log(&groups[0], 2), ["two [31m", "three"]);
        assert_eq!(
            (names(&groups[0], 3).len(), names(&groups[0], 3)[3].as_str()),
            (4, "and 1 more")
        );
    }
}
