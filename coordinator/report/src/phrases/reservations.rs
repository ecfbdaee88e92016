//! Reservations: what a reader must know before believing the numbers.

use std::collections::{BTreeMap, BTreeSet};

use swfn_shared::{axes::Axis, grid::Selection, text::count, trial::TrialSpec};
use swfn_store::{MeanPoint, TrialRow};

use super::{
    rounding::{decimal, percent},
    verification::verification,
};
use crate::numbers::{
    settings::{key, settings},
    source::{Curves, Repeated, Run, Sources},
    summary::Summary,
};

/// All reservations. `losses`: curves of the VAEs' loss.
pub(crate) fn reservations(sources: &Sources, summary: &Summary, losses: &Curves) -> Vec<String> {
    let mut warnings = Vec::new();
    let incomplete = summary.cells().iter().filter(|cell| !cell.complete()).count();
    let cells = summary.cells().len();
    if summary.answer.synthesis.open {
        warnings.push(format!(
            "The sweep is not finished: {incomplete} of {cells} cells lack seeds, and numbers will \
             still change."
        ));
    } else if incomplete > 0 {
        warnings.push(format!("{incomplete} of {cells} cells lack seeds, whose trials failed."));
    }
    if summary.selection == Selection::Best {
        warnings.push(
            "Each trial's best evaluation on the test images counts. Such a choice flatters."
                .to_owned(),
        );
    }
    if summary.cells().iter().all(|cell| cell.planned < 2) {
        warnings.push(
            "There is one seed, so the spread is unknown, and no difference is distinguishable \
             from chance."
                .to_owned(),
        );
    }
    let least = summary.cells().iter().map(|cell| cell.planned).filter(|seeds| *seeds > 1).min();
    if least == Some(2) {
        warnings.push(
            "Cells with two seeds have intervals 13 times as wide as their standard error, so \
             almost nothing is decided. Five seeds need 2.8 times, ten 2.3."
                .to_owned(),
        );
    }
    warnings.extend(conflicts(&sources.runs));
    warnings.extend(selections(&sources.runs));
    warnings.extend(without_accuracy(&sources.runs, &sources.trials));
    warnings.extend(repeated(&sources.repeated));
    warnings.extend(summary.verification.iter().flat_map(verification));
    warnings.extend(unfinished_vaes(summary, losses));
    warnings
}

/// Trials with results in several runs.
fn repeated(repeated: &Repeated) -> Option<String> {
    let Repeated { count, differing, largest } = repeated;
    let results = match differing {
        0 => "the results are the same".to_owned(),
        _ => format!(
            "{differing} of them differ, by up to {} points, and the first result counts",
            percent(*largest)
        ),
    };
    (*count > 0)
        .then(|| format!("{count} trials have results in several run directories: {results}."))
}

/// Runs that select different evaluations.
fn selections(runs: &[Run]) -> Option<String> {
    let first = runs.first()?.grid.selection;
    let each = runs.iter().map(|run| format!("{} in {}", run.grid.selection.name(), run.name));
    runs.iter().any(|run| run.grid.selection != first).then(|| {
        format!(
            "The runs select different evaluations: {}. The selection of the first run counts for \
             all: {}.",
            each.collect::<Vec<_>>().join(", "),
            first.name()
        )
    })
}

/// Trials without an accuracy at the evaluation that counts.
fn without_accuracy(runs: &[Run], trials: &[(TrialSpec, TrialRow)]) -> Option<String> {
    let selection = runs.first()?.grid.selection;
    let outcomes = || trials.iter().filter_map(|(_, row)| row.outcome.as_ref());
    let without = outcomes().filter(|outcome| selection.accuracy(outcome).is_none()).count();
    (without > 0).then(|| {
        format!(
            "{without} of the {} that are done have no accuracy by {}, the evaluation that counts. \
             They are in no mean and in no comparison.",
            count(outcomes().count(), "trial"),
            selection.name()
        )
    })
}

/// Settings that are not axes of a grid and differ between runs.
///
/// Runs without the function norm have none of its settings, which is no conflict.
fn conflicts(runs: &[Run]) -> Vec<String> {
    let values: Vec<BTreeMap<String, BTreeSet<String>>> = runs.iter().map(values).collect();
    let paths: BTreeSet<&String> = values.iter().flat_map(|values| values.keys()).collect();
    let mut warnings = Vec::new();
    let is_axis =
        |path: &str| Axis::by_path(path).is_some_and(|axis| axis.section.name() == "grid");
    for path in paths.into_iter().filter(|path| !is_axis(path)) {
        let by_run: Vec<(&Run, &BTreeSet<String>)> = runs
            .iter()
            .zip(&values)
            .filter_map(|(run, values)| Some((run, values.get(path)?)))
            .collect();
        if by_run.windows(2).any(|pair| pair[0].1 != pair[1].1) {
            let each = by_run.iter().map(|(run, values)| {
                let values: Vec<&str> = values.iter().map(String::as_str).collect();
                format!("{} in {}", values.join(" and "), run.name)
            });
            warnings.push(format!(
                "The runs differ in {}: {}. Trials that differ in it are in different cells.",
                key(path),
                each.collect::<Vec<_>>().join(", ")
            ));
        }
    }
    warnings
}

fn values(run: &Run) -> BTreeMap<String, BTreeSet<String>> {
    let mut values: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let mut cells = BTreeSet::new();
    for spec in run.grid.trials().filter(|spec| cells.insert(spec.cell())) {
        for (path, value) in settings(&spec) {
            values.entry(path).or_default().insert(value);
        }
    }
    values
}

/// VAEs whose loss was still falling: names the subset size with the largest fall in the last
/// quarter.
fn unfinished_vaes(summary: &Summary, losses: &Curves) -> Option<String> {
    /// The largest fall that is not worth a sentence.
    const SMALL: f64 = 0.02;
    let falls = summary
        .cells()
        .iter()
        .filter_map(|cell| Some((fall(losses.get(&cell.id)?)?, cell.subset_size)));
    let (fall, size) =
        falls.max_by(|one, other| one.0.total_cmp(&other.0)).filter(|(fall, _)| *fall > SMALL)?;
    Some(format!(
        "The loss of VAEs still fell by {} % in the last quarter of their training (n = {size}). \
         With more iterations in [vae], the function norm may do better.",
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
    fn the_last_quarter_of_a_loss() {
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
        // One report shows no fall.
        assert_eq!(fall(&curve(&[400.0])), None);
    }
}
