//! The cells as columns of tables, and the summary in Markdown.

use swfn_shared::grid::Selection;

use crate::{
    numbers::{
        statistics::Estimate,
        summary::{Cell, Summary},
    },
    phrases::{
        rounding::{decimal, percent},
        words::{self, UNKNOWN, points},
    },
    views::{tables, view::markdown as escaped},
};

fn estimate(estimate: Option<Estimate>, shown: fn(f64) -> String) -> String {
    match estimate {
        None => UNKNOWN.to_owned(),
        Some(Estimate { mean, confidence_95: Some(half), .. }) => format!("{} ± {}", shown(mean), percent(half)),
        Some(Estimate { mean, .. }) => shown(mean),
    }
}

fn seeds(cell: &Cell) -> String {
    match (cell.complete(), cell.quarantined) {
        (true, _) => cell.succeeded.to_string(),
        (false, 0) => format!("{} of {}", cell.succeeded, cell.planned),
        (false, failed) => format!("{} of {} ({failed} failed)", cell.succeeded, cell.planned),
    }
}

/// A column: its title, whether it holds numbers, what stands in it.
pub(crate) type Column = (&'static str, bool, fn(&Cell) -> String);

/// The columns that tell something: one that is empty everywhere is left out.
pub(crate) fn columns(summary: &Summary) -> Vec<Column> {
    let some = |has: fn(&Cell) -> bool| summary.cells.iter().any(has);
    let accuracy = match summary.selection {
        Selection::Final => "test accuracy %",
        Selection::Best => "best test accuracy %",
        Selection::Validation => "validated test accuracy %",
    };
    let mut columns: Vec<Column> = vec![
        ("network", false, |cell| cell.network.to_string()),
        ("regulariser", false, |cell| cell.regulariser.clone()),
    ];
    if some(|cell| !cell.variant.is_empty()) {
        columns.push(("variant", false, Cell::variant));
    }
    columns.push(("n", true, |cell| cell.subset_size.to_string()));
    columns.push(("seeds", true, seeds));
    columns.push((accuracy, true, |cell| estimate(cell.test_accuracy, percent)));
    columns.push(("sd", true, |cell| {
        let deviation = cell.test_accuracy.and_then(|estimate| estimate.standard_deviation);
        deviation.map_or(UNKNOWN.to_owned(), percent)
    }));
    if some(|cell| cell.gain_over_none.is_some()) {
        columns.push(("over λ = 0", true, |cell| estimate(cell.gain_over_none, points)));
    }
    columns
        .push(("best %", true, |cell| cell.best_test_accuracy.map_or(UNKNOWN.to_owned(), |best| percent(best.mean))));
    columns.push(("s/trial", true, |cell| cell.classifier_seconds.map_or(UNKNOWN.to_owned(), |s| decimal(s, 1))));
    columns
}

/// Which accuracy counts.
pub(crate) fn which(selection: Selection) -> &'static str {
    match selection {
        Selection::Final => "Test accuracy after the last iteration",
        Selection::Best => "Test accuracy of each trial's best evaluation, CHOSEN ON THE TEST IMAGES, so it flatters",
        Selection::Validation => "Test accuracy at the evaluation that is best on the validation images",
    }
}

/// What the columns mean, and above all which evaluation counts.
pub fn legend(summary: &Summary) -> String {
    let which = which(summary.selection);
    format!(
        "{which}: mean ± half of the 95 % confidence interval (Student's t) over the seeds; sd: standard deviation. over λ = 0: \
         difference to the same seeds without the function norm, with its interval. best: mean of each trial's best evaluation, chosen on \
         the test images. s/trial: mean seconds of training and testing a classifier.{}",
        words::names(summary)
    )
}

/// How much of the sweep is done: `46 of 48 trials done, 1 failed, 1 to come`.
pub(crate) fn progress(summary: &Summary) -> String {
    let Summary { planned, succeeded, failures, .. } = summary;
    let to_come = planned - succeeded - failures.len().min(planned - succeeded);
    let mut text = format!("{succeeded} of {} done", words::count(*planned, "trial"));
    if !failures.is_empty() {
        text += &format!(", {} failed", failures.len());
    }
    if to_come > 0 {
        text += &format!(", {to_come} to come");
    }
    text
}

/// The summary as GitHub-flavoured Markdown: the answer, then all tables.
pub(crate) fn markdown(summary: &Summary) -> String {
    let mut text = format!("# {} on {}\n\n{}.\n", summary.sweep, summary.dataset, progress(summary));
    text += &tables::answer(summary).markdown();
    for table in tables::results(summary) {
        text += &format!("\n## {}\n\n{}\n{}\n", escaped(&table.title), table.markdown(), escaped(&table.caption));
    }
    let failures = tables::failures(summary);
    if !failures.rows.is_empty() {
        text += &format!("\n## Failed trials\n\n{}\n{}\n", failures.markdown(), escaped(&failures.caption));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::numbers::summary::tests::example;

    #[test]
    fn tables() {
        let (_, summary) = example();
        insta::assert_snapshot!("markdown", markdown(&summary));
    }
}
