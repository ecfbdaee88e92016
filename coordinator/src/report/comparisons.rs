//! Comparisons and claims as tables: on a terminal, in Markdown, as CSV.

use std::{fmt::Write as _, io::Write};

use comfy_table::{Cell as TableCell, CellAlignment, Table};

use super::{
    claim::ClaimVerdict,
    contrast::Comparison,
    summary::{Cell, Summary},
    table, words,
};

/// Comparisons that a terminal shows; the files have all.
const TERMINAL_ROWS: usize = 60;

pub(super) const LEGEND: &str = "Difference of the same seeds, in percentage points, with its 95 % interval (Student's t). p: paired t test, two-sided; \
                      signed rank: Wilcoxon's test; both after Holm's correction over the comparisons of this table. d: mean difference in \
                      standard deviations of the differences, corrected for small n (Hedges). w/t/l: seeds won, tied, lost.";

/// A column: its title, whether it holds numbers, what stands in it.
pub(super) type Column = (&'static str, bool, fn(&Comparison) -> String);

const UNKNOWN: &str = "–";

pub(super) const COLUMNS: [Column; 8] = [
    ("compared", false, |comparison| format!("{}: {}", comparison.context, comparison.treatment)),
    ("with", false, |comparison| comparison.control.clone()),
    ("points", true, |comparison| {
        comparison.difference.map_or(UNKNOWN.to_owned(), |difference| words::points(difference.mean))
    }),
    ("95 % interval", true, |comparison| {
        let interval = comparison.difference.and_then(words::interval);
        interval.map_or(UNKNOWN.to_owned(), |(from, to)| format!("{from} to {to}"))
    }),
    ("p (Holm)", true, |comparison| comparison.t_p_holm.map_or(UNKNOWN.to_owned(), words::p_value)),
    ("signed rank", true, |comparison| comparison.wilcoxon_p_holm.map_or(UNKNOWN.to_owned(), words::p_value)),
    ("d", true, |comparison| comparison.hedges_g.map_or(UNKNOWN.to_owned(), |g| format!("{g:.1}"))),
    ("w/t/l", true, |comparison| {
        let missing =
            if comparison.missing_seeds.is_empty() { String::new() } else { format!(" of {}", comparison.planned) };
        words::wins(comparison) + &missing
    }),
];

/// The answer, which stands before everything else.
pub(super) fn answer(summary: &Summary) -> String {
    /// Sentences beyond which nobody reads on.
    const MOST: usize = 8;
    let mut text: String = summary.answer.iter().take(MOST).map(|sentence| format!("{sentence}\n")).collect();
    if summary.answer.len() > MOST {
        writeln!(text, "and {} more like these in summary.md", summary.answer.len() - MOST)
            .expect("writing to a string");
    }
    text
}

/// The table with its legend and a line for each claim; nothing if nothing is compared.
pub(super) fn terminal(summary: &Summary, width: u16) -> String {
    let mut text = String::new();
    if !summary.comparisons.is_empty() {
        let mut table = Table::new();
        table::style(&mut table, width);
        let aligned = |text: String, number: bool| {
            TableCell::new(text).set_alignment(if number { CellAlignment::Right } else { CellAlignment::Left })
        };
        table.set_header(COLUMNS.iter().map(|(title, number, _)| aligned((*title).to_owned(), *number)));
        for comparison in summary.comparisons.iter().take(TERMINAL_ROWS) {
            table.add_row(COLUMNS.iter().map(|(_, number, value)| aligned(value(comparison), *number)));
        }
        text += &format!("{table}\n");
        if summary.comparisons.len() > TERMINAL_ROWS {
            text += &format!("and {} more in comparisons.csv\n", summary.comparisons.len() - TERMINAL_ROWS);
        }
        text += &table::wrap(LEGEND, usize::from(width));
        for comparison in summary.comparisons.iter().filter(|comparison| !comparison.missing_seeds.is_empty()) {
            let Comparison { context, treatment, control, .. } = comparison;
            text += &format!("incomplete: {context}, {treatment} with {control}: {} seeds\n", words::seeds(comparison));
        }
    }
    for claim in &summary.claims {
        text += &format!("claim: {}: {}\n", claim.text, verdict(claim));
    }
    text
}

fn verdict(claim: &ClaimVerdict) -> String {
    let provisional = if claim.provisional { " so far" } else { "" };
    format!("{}{provisional} ({})", claim.verdict.name(), claim.reason)
}

/// The same as GitHub-flavoured Markdown.
pub(super) fn markdown(summary: &Summary) -> String {
    let mut text = String::new();
    if !summary.comparisons.is_empty() {
        let row = |cells: Vec<String>| format!("| {} |\n", cells.join(" | "));
        text += "\n## Comparisons\n\n";
        text += &row(COLUMNS.iter().map(|(title, _, _)| (*title).to_owned()).collect());
        text += &row(COLUMNS.iter().map(|(_, number, _)| if *number { "---:" } else { "---" }.to_owned()).collect());
        for comparison in &summary.comparisons {
            text += &row(COLUMNS.iter().map(|(_, _, value)| value(comparison)).collect());
        }
        text += &format!("\n{LEGEND}\n");
    }
    if !summary.claims.is_empty() {
        text += "\n## Claims\n\n";
        for claim in &summary.claims {
            text += &format!("- {}: **{}**\n", table::escape(&claim.text), verdict(claim));
        }
    }
    text
}

/// `comparisons.csv`: a line for each, with the settings of both cells. Pairs stand in `summary.json`.
pub(super) fn csv(file: impl Write, summary: &Summary) -> anyhow::Result<()> {
    let mut csv = csv::Writer::from_writer(file);
    let settings =
        ["architecture", "subset_size", "lambda", "density", "weight_decay", "learning_rate", "penalty_samples"];
    let mut header: Vec<String> = ["name", "context", "treatment", "control"].map(str::to_owned).to_vec();
    header.extend(settings.iter().map(ToString::to_string));
    header.extend(settings.iter().map(|setting| format!("reference_{setting}")));
    let numbers = [
        "planned",
        "n",
        "missing_seeds",
        "mean_difference",
        "standard_deviation",
        "confidence_95",
        "t_p",
        "t_p_holm",
        "wilcoxon_p",
        "wilcoxon_p_holm",
        "wilcoxon_method",
        "cohens_d",
        "hedges_g",
        "wins",
        "ties",
        "losses",
    ];
    header.extend(numbers.map(str::to_owned));
    csv.write_record(&header)?;
    for comparison in &summary.comparisons {
        csv.write_record(record(comparison, &summary.cells))?;
    }
    Ok(csv.flush()?)
}

fn record(comparison: &Comparison, cells: &[Cell]) -> Vec<String> {
    let Comparison { name, context, treatment, control, difference, missing_seeds, .. } = comparison;
    let mut record = vec![name.clone().unwrap_or_default(), context.clone(), treatment.clone(), control.clone()];
    for cell in [comparison.cell, comparison.reference] {
        record.extend(cells[cell].settings());
    }
    let maybe = |value: Option<f64>| value.map(|value| value.to_string()).unwrap_or_default();
    let missing: Vec<_> = missing_seeds.iter().map(ToString::to_string).collect();
    record.extend([comparison.planned.to_string(), comparison.pairs.len().to_string(), missing.join(" ")]);
    record.extend([
        maybe(difference.map(|difference| difference.mean)),
        maybe(difference.and_then(|difference| difference.standard_deviation)),
        maybe(difference.and_then(|difference| difference.confidence_95)),
        maybe(comparison.t_p),
        maybe(comparison.t_p_holm),
        maybe(comparison.wilcoxon_p),
        maybe(comparison.wilcoxon_p_holm),
        comparison.wilcoxon_method.map(|method| method.name().to_owned()).unwrap_or_default(),
        maybe(comparison.cohens_d),
        maybe(comparison.hedges_g),
    ]);
    record.extend([comparison.wins, comparison.ties, comparison.losses].map(|count| count.to_string()));
    record
}
