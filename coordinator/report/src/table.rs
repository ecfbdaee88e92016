//! The summary as a table: on a terminal and in Markdown.

use std::{collections::BTreeSet, fmt::Write as _};

use comfy_table::{Cell as TableCell, CellAlignment, ContentArrangement, Table, presets};
use swfn_shared::{
    grid::Selection,
    trial::{Density, TrialSpec},
};

use super::{
    comparisons,
    rounding::{decimal, percent},
    statistics::Estimate,
    summary::{Cell, Failure, Summary},
    view,
    words::points,
};

/// A cell in a few words, for progress lines and lists of failures.
pub fn cell_label(spec: &TrialSpec) -> String {
    let mut label = format!("{} n={} lambda={}", spec.architecture, spec.subset_size, spec.lambda());
    let mut add = |name: &str, value: f64, usual: f64| {
        if value != usual {
            write!(label, " {name}={value}").expect("writing to a string");
        }
    };
    add("wd", spec.weight_decay.get(), 0.0);
    add("lr", spec.learning_rate.get(), 0.01);
    if let Some(penalty) = spec.penalty {
        add("samples", penalty.samples.into(), 20.0);
        if penalty.density != Density::Vae {
            write!(label, " on {}", penalty.density.name()).expect("writing to a string");
        }
    }
    label
}

fn estimate(estimate: Option<Estimate>, shown: fn(f64) -> String) -> String {
    match estimate {
        None => "–".to_owned(),
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

fn seconds(seconds: Option<f64>) -> String {
    seconds.map_or("–".to_owned(), |seconds| decimal(seconds, 1))
}

/// A column: its title, whether it holds numbers, what stands in it.
pub(super) type Column = (&'static str, bool, Box<dyn Fn(&Cell) -> String>);

/// The columns that tell something: an axis along which nothing varies is left out.
pub(super) fn columns(summary: &Summary) -> Vec<Column> {
    let mut columns: Vec<Column> = vec![("architecture", false, Box::new(|cell| cell.architecture.to_string()))];
    columns.push(("subset", true, Box::new(|cell| cell.subset_size.to_string())));
    columns.push(("lambda", true, Box::new(|cell| cell.lambda.to_string())));
    let mut if_it_varies = |title, value: fn(&Cell) -> f64| {
        let first = summary.cells.first().map(value);
        if summary.cells.iter().any(|cell| Some(value(cell)) != first) {
            columns.push((title, true, Box::new(move |cell: &Cell| value(cell).to_string())));
        }
    };
    if_it_varies("weight decay", |cell| cell.weight_decay);
    if_it_varies("learning rate", |cell| cell.learning_rate);
    // Cells without the function norm have no samples; that alone is no reason for a column.
    let samples: BTreeSet<_> =
        summary.cells.iter().map(|cell| cell.penalty_samples).filter(|count| *count > 0).collect();
    let densities: BTreeSet<_> = summary.cells.iter().map(|cell| cell.density).filter(|name| *name != "none").collect();
    if densities.len() > 1 {
        columns.push(("density", false, Box::new(|cell| cell.density.to_owned())));
    }
    if samples.len() > 1 {
        columns.push(("samples", true, Box::new(|cell| cell.penalty_samples.to_string())));
    }
    if summary.cells.iter().any(|cell| !cell.variant.is_empty()) {
        columns.push(("variant", false, Box::new(Cell::variant)));
    }
    columns.push(("seeds", true, Box::new(seeds)));
    let accuracy = match summary.selection {
        Selection::Final => "test accuracy %",
        Selection::Best => "best test accuracy %",
        Selection::Validation => "validated test accuracy %",
    };
    columns.push((accuracy, true, Box::new(|cell| estimate(cell.test_accuracy, percent))));
    let deviation = |cell: &Cell| cell.test_accuracy?.standard_deviation;
    columns.push(("sd", true, Box::new(move |cell| deviation(cell).map_or("–".to_owned(), percent))));
    if summary.cells.iter().any(|cell| cell.gain_over_none.is_some()) {
        columns.push(("over lambda 0", true, Box::new(|cell| estimate(cell.gain_over_none, points))));
    }
    columns.push((
        "best %",
        true,
        Box::new(|cell| {
            estimate(cell.best_test_accuracy.map(|best| Estimate { confidence_95: None, ..best }), percent)
        }),
    ));
    columns.push(("s/trial", true, Box::new(|cell| seconds(cell.classifier_seconds))));
    columns
}

/// What the columns mean, and above all which evaluation counts.
pub fn legend(selection: Selection) -> String {
    let which = match selection {
        Selection::Final => "Test accuracy after the last iteration",
        Selection::Best => "Test accuracy of each trial's best evaluation, CHOSEN ON THE TEST IMAGES, so it flatters",
        Selection::Validation => "Test accuracy at the evaluation that is best on the validation images",
    };
    format!(
        "{which}: mean ± half of the 95 % confidence interval (Student's t) over the seeds; sd: standard deviation. over lambda 0: \
         difference to the same seeds without the function norm, with its interval. best: mean of each trial's best evaluation, chosen on \
         the test images. s/trial: mean seconds of training and testing a classifier."
    )
}

/// The look of all tables.
pub(super) fn style(table: &mut Table, width: u16) {
    table
        .load_style(presets::UTF8_FULL_CONDENSED)
        .set_content_arrangement(ContentArrangement::Dynamic)
        .set_width(width);
}

/// The table with a legend and the list of failures, `width` columns wide; `None`: as wide as the terminal, if there is one.
pub fn terminal(summary: &Summary, width: Option<u16>) -> String {
    const WITHOUT_TERMINAL: u16 = 140;
    let mut table = Table::new();
    let width = width.or(table.width()).unwrap_or(WITHOUT_TERMINAL);
    style(&mut table, width);
    let columns = columns(summary);
    let aligned = |text: String, number: bool| {
        TableCell::new(text).set_alignment(if number { CellAlignment::Right } else { CellAlignment::Left })
    };
    table.set_header(columns.iter().map(|(title, number, _)| aligned((*title).to_owned(), *number)));
    for cell in &summary.cells {
        table.add_row(columns.iter().map(|(_, number, value)| aligned(value(cell), *number)));
    }
    let mut text = comparisons::answer(summary, width);
    text += &format!(
        "{} on {}: {} of {} trials\n{table}\n",
        summary.sweep, summary.dataset, summary.succeeded, summary.planned
    );
    text.push_str(&wrap(&legend(summary.selection), usize::from(width)));
    text.push_str(&comparisons::terminal(summary, width));
    for failure in &summary.failures {
        writeln!(
            text,
            "failed: {} seed={} (trial {}, attempt {}): {}",
            failure.label,
            failure.seed,
            &failure.trial[..8],
            failure.attempts,
            failure.error.escape_debug()
        )
        .expect("writing to a string");
        for line in last_lines(failure, TERMINAL_LOG_LINES) {
            writeln!(text, "    {line}").expect("writing to a string");
        }
    }
    text
}

/// Lines of a log's end that the terminal shows of each failed trial; the files have more.
const TERMINAL_LOG_LINES: usize = 6;

/// The last lines of the log of a failed trial, without what would steer a terminal.
fn last_lines(failure: &Failure, count: usize) -> impl Iterator<Item = String> {
    let lines: Vec<_> = failure.log.as_deref().unwrap_or_default().lines().collect();
    let lines = lines[lines.len().saturating_sub(count)..].iter();
    lines.map(|line| line.chars().filter(|c| !c.is_control()).collect()).collect::<Vec<String>>().into_iter()
}

pub(super) fn wrap(text: &str, width: usize) -> String {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let last = lines.last_mut().expect("never empty");
        if last.is_empty() {
            last.push_str(word);
        } else if last.chars().count() + 1 + word.chars().count() <= width {
            write!(last, " {word}").expect("writing to a string");
        } else {
            lines.push(word.to_owned());
        }
    }
    lines.join("\n") + "\n"
}

/// The table as GitHub-flavoured Markdown.
pub(super) fn markdown(summary: &Summary) -> String {
    let columns = columns(summary);
    let row = |cells: Vec<String>| format!("| {} |\n", cells.join(" | "));
    let mut text = format!(
        "# {} on {}\n\n{} of {} trials succeeded.\n\n",
        summary.sweep, summary.dataset, summary.succeeded, summary.planned
    );
    for sentence in &summary.answer {
        text += &format!("- {sentence}\n");
    }
    if !summary.answer.is_empty() {
        text += "\n";
    }
    text += &row(columns.iter().map(|(title, _, _)| (*title).to_owned()).collect());
    text += &row(columns.iter().map(|(_, number, _)| if *number { "---:" } else { "---" }.to_owned()).collect());
    for cell in &summary.cells {
        text += &row(columns.iter().map(|(_, _, value)| value(cell)).collect());
    }
    text += &format!("\n{}\n", legend(summary.selection));
    text += &comparisons::markdown(summary);
    if !summary.failures.is_empty() {
        text += "\n## Failed trials\n\n| trial | cell | seed | attempts | error |\n| --- | --- | ---: | ---: | --- |\n";
        for failure in &summary.failures {
            let error = view::markdown(&failure.error);
            let id = format!("`{}`", &failure.trial[..8]);
            text +=
                &row(vec![id, failure.label.clone(), failure.seed.to_string(), failure.attempts.to_string(), error]);
        }
        for failure in summary.failures.iter().filter(|failure| failure.log.is_some()) {
            // Indented, so that no fence in a log ends it.
            text += &format!("\nThe end of the log of `{}`:\n\n", &failure.trial[..8]);
            last_lines(failure, usize::MAX).for_each(|line| text += &format!("    {line}\n"));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::{super::summary::tests::example, *};

    #[test]
    fn tables() {
        let (_, summary) = example();
        insta::assert_snapshot!("terminal", terminal(&summary, Some(120)));
        insta::assert_snapshot!("markdown", markdown(&summary));
    }
}
