//! What a reader must know before believing the numbers.

use std::collections::{BTreeMap, BTreeSet};

use swfn_shared::{axes::Axis, grid::Selection, trial::TrialSpec};
use swfn_store::{MeanPoint, TrialRow};

use super::{
    rounding::{decimal, percent},
    verification::verification,
};
use crate::numbers::{
    settings::{key, settings},
    source::{Curves, Run, Sources, Twice},
    summary::Summary,
};

/// What a reader must know, but for [`unfinished_vaes`].
pub(crate) fn reservations(sources: &Sources, summary: &Summary) -> Vec<String> {
    let mut warnings = Vec::new();
    let incomplete = summary.cells().iter().filter(|cell| !cell.complete()).count();
    let cells = summary.cells().len();
    if summary.answer.synthesis.open {
        warnings.push(format!(
            "The report is of an unfinished sweep: {incomplete} of {cells} cells lack seeds, and numbers will still move."
        ));
    } else if incomplete > 0 {
        warnings.push(format!("{incomplete} of {cells} cells lack seeds, whose trials failed."));
    }
    if summary.selection == Selection::Best {
        warnings.push(
            "The evaluation that counts is each trial's best on the test images: chosen with a look at them, it flatters.".to_owned(),
        );
    }
    if summary.cells().iter().all(|cell| cell.planned < 2) {
        warnings.push(
            "There is one seed: nothing is known of the spread, and no difference can be told from chance.".to_owned(),
        );
    }
    warnings.extend(of_runs(sources));
    warnings
}

/// What a reader must know of how runs fit together.
fn of_runs(sources: &Sources) -> Vec<String> {
    let mut sentences = conflicts(&sources.runs);
    sentences.extend(selections(&sources.runs));
    sentences.extend(without_value(&sources.runs, &sources.trials));
    sentences.extend(twice(&sources.twice));
    sentences.extend(verification(&sources.verification));
    sentences
}

/// Trials of which several runs have a result.
fn twice(twice: &Twice) -> Option<String> {
    let Twice { count, differing, largest } = twice;
    (*count > 0).then(|| {
        let how = match differing {
            0 => "the results are the same".to_owned(),
            _ => format!(
                "{differing} of them differ, by up to {} points, and the first result counts",
                percent(*largest)
            ),
        };
        format!("{count} trials have results in several run directories: {how}.")
    })
}

/// That runs select different evaluations.
fn selections(runs: &[Run]) -> Option<String> {
    let first = runs.first()?.grid.selection;
    let each = || runs.iter().map(|run| format!("{} in {}", run.grid.selection.name(), run.name));
    runs.iter().any(|run| run.grid.selection != first).then(|| {
        format!(
            "The runs select different evaluations: {}. What the first one selects counts for all: {}.",
            each().collect::<Vec<_>>().join(", "),
            first.name()
        )
    })
}

/// That trials have no value at the evaluation that counts.
fn without_value(runs: &[Run], trials: &[(TrialSpec, TrialRow)]) -> Option<String> {
    let selection = runs.first()?.grid.selection;
    let outcomes = || trials.iter().filter_map(|(_, row)| row.outcome.as_ref());
    let count = outcomes().filter(|outcome| selection.accuracy(outcome).is_none()).count();
    (count > 0).then(|| {
        format!(
            "{count} of the {} trials that succeeded have no accuracy by {}, the evaluation that counts: they are in no mean and no \
             comparison.",
            outcomes().count(),
            selection.name()
        )
    })
}

/// The settings that are not axes of a grid and differ from run to run. Runs without the function norm have none of its settings, which is
/// no conflict.
fn conflicts(runs: &[Run]) -> Vec<String> {
    let values: Vec<BTreeMap<String, BTreeSet<String>>> = runs.iter().map(values).collect();
    let paths: BTreeSet<&String> = values.iter().flat_map(|values| values.keys()).collect();
    let mut warnings = Vec::new();
    let is_axis =
        |path: &str| Axis::by_path(path).is_some_and(|axis| axis.section.name() == "grid");
    for path in paths.into_iter().filter(|path| !is_axis(path)) {
        let of_runs: Vec<(&Run, &BTreeSet<String>)> = runs
            .iter()
            .zip(&values)
            .filter_map(|(run, values)| Some((run, values.get(path)?)))
            .collect();
        if of_runs.windows(2).all(|pair| pair[0].1 == pair[1].1) {
            continue;
        }
        let each = of_runs.iter().map(|(run, values)| {
            let values: Vec<&str> = values.iter().map(String::as_str).collect();
            format!("{} in {}", values.join(" and "), run.name)
        });
        let each: Vec<String> = each.collect();
        warnings.push(format!(
            "The runs differ in {}: {}. Trials that differ in it are cells of their own.",
            key(path),
            each.join(", ")
        ));
    }
    warnings
}

fn values(run: &Run) -> BTreeMap<String, BTreeSet<String>> {
    let mut values: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let mut cells = BTreeSet::new();
    for spec in run.grid.trials().filter(|spec| cells.insert(spec.cell())) {
        settings(&spec).into_iter().for_each(|(path, value)| {
            values.entry(path).or_default().insert(value);
        });
    }
    values
}

/// That VAEs had not learnt all that they could: the cell whose loss fell most in the last quarter of its VAE's training.
pub(crate) fn unfinished_vaes(summary: &Summary, losses: &Curves) -> Option<String> {
    /// A fall that nobody needs to know of.
    const SMALL: f64 = 0.02;
    let falls = summary
        .cells()
        .iter()
        .filter_map(|cell| Some((fall(losses.get(&cell.id)?)?, cell.subset_size)));
    let (fall, size) =
        falls.max_by(|one, other| one.0.total_cmp(&other.0)).filter(|(fall, _)| *fall > SMALL)?;
    Some(format!(
        "The loss of VAEs still fell by {} % in the last quarter of their training (n = {size}): with more iterations in [vae] the function \
         norm may do better.",
        decimal(100.0 * fall, 0)
    ))
}

/// The share by which a loss fell in the last quarter of its curve.
fn fall(curve: &[MeanPoint]) -> Option<f64> {
    let last = curve.last()?;
    let before = curve.iter().rev().find(|point| 4 * point.step <= 3 * last.step)?;
    (before.mean > 0.0).then_some(1.0 - last.mean / before.mean)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loss_falls_by_what_its_last_quarter_brings() {
        let curve = |losses: &[f64]| -> Vec<MeanPoint> {
            let point = |(index, mean): (usize, &f64)| MeanPoint {
                step: 100 * (index as u64 + 1),
                n: 1,
                mean: *mean,
                standard_deviation: 0.0,
            };
            losses.iter().enumerate().map(point).collect()
        };
        assert_eq!(fall(&curve(&[400.0, 300.0, 200.0, 150.0])), Some(0.25));
        // What was reported once says nothing.
        assert_eq!(fall(&curve(&[400.0])), None);
    }
}
