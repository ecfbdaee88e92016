//! Comparisons and claims as tables: on a terminal, in Markdown, as CSV.

use std::{fmt::Write as _, io::Write};

use comfy_table::{Cell as TableCell, CellAlignment, Table};
use swfn_shared::grid::Selection;

use super::{claim::ClaimVerdict, contrast::Comparison, rounding::decimal, summary::Summary, table, view, words};

/// Comparisons that a terminal shows; the files have all.
const TERMINAL_ROWS: usize = 60;

/// Said wherever accuracies are compared that were chosen on what they are judged by.
pub(super) const FLATTERED: &str = "of best evaluations, CHOSEN ON THE TEST IMAGES";

pub(super) fn is_flattered(summary: &Summary) -> bool {
    summary.selection == Selection::Best
}

pub(super) fn legend(summary: &Summary) -> String {
    let which = if is_flattered(summary) { format!("Differences {FLATTERED}. ") } else { String::new() };
    which + LEGEND
}

const LEGEND: &str = "Difference of the same seeds, in percentage points, with its 95 % interval (Student's t). p: paired t test, two-sided; \
                      signed rank: Wilcoxon's test; both after Holm's correction over the comparisons of this table. d: mean difference in \
                      standard deviations of the differences, corrected for small n (Hedges). w/t/l: seeds won, tied, lost.";

/// A column: its title, whether it holds numbers, what stands in it.
pub(super) type Column = (&'static str, bool, fn(&Comparison) -> String);

const UNKNOWN: &str = "–";

/// The columns, that of names only if there are any.
pub(super) fn columns(summary: &Summary) -> Vec<Column> {
    let name: Column = ("name", false, |comparison| comparison.name.clone().unwrap_or_default());
    let named = summary.comparisons.iter().any(|comparison| comparison.name.is_some());
    named.then_some(name).into_iter().chain(COLUMNS).collect()
}

const COLUMNS: [Column; 8] = [
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
    ("d", true, |comparison| comparison.hedges_g.map_or(UNKNOWN.to_owned(), |g| decimal(g, 1))),
    ("w/t/l", true, |comparison| {
        let missing =
            if comparison.missing_seeds.is_empty() { String::new() } else { format!(" of {}", comparison.planned) };
        words::wins(comparison) + &missing
    }),
];

/// The answer, which stands before everything else.
pub(super) fn answer(summary: &Summary, width: u16) -> String {
    /// Sentences beyond which nobody reads on.
    const MOST: usize = 8;
    let sentences = summary.answer.iter().take(MOST);
    let mut text: String = sentences.map(|sentence| table::wrap(sentence, usize::from(width))).collect();
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
        let columns = columns(summary);
        table.set_header(columns.iter().map(|(title, number, _)| aligned((*title).to_owned(), *number)));
        for comparison in summary.comparisons.iter().take(TERMINAL_ROWS) {
            table.add_row(columns.iter().map(|(_, number, value)| aligned(value(comparison), *number)));
        }
        text += &format!("{table}\n");
        if summary.comparisons.len() > TERMINAL_ROWS {
            text += &format!("and {} more in comparisons.csv\n", summary.comparisons.len() - TERMINAL_ROWS);
        }
        text += &table::wrap(&legend(summary), usize::from(width));
        for comparison in summary.comparisons.iter().filter(|comparison| !comparison.missing_seeds.is_empty()) {
            let Comparison { context, treatment, control, .. } = comparison;
            text += &format!("incomplete: {context}: {treatment} with {control}: {}\n", words::seeds(comparison));
        }
    }
    for claim in &summary.claims {
        text += &table::wrap(&format!("claim: {}: {}", claim.text, verdict(summary, claim)), usize::from(width));
    }
    text
}

fn verdict(summary: &Summary, claim: &ClaimVerdict) -> String {
    let provisional = if claim.provisional { " so far" } else { "" };
    let which = if is_flattered(summary) { format!("; {FLATTERED}") } else { String::new() };
    format!("{}{provisional} ({}{which})", claim.verdict.name(), claim.reason)
}

/// The same as GitHub-flavoured Markdown.
pub(super) fn markdown(summary: &Summary) -> String {
    let mut text = String::new();
    if !summary.comparisons.is_empty() {
        let row = |cells: Vec<String>| format!("| {} |\n", cells.join(" | "));
        text += "\n## Comparisons\n\n";
        let columns = columns(summary);
        text += &row(columns.iter().map(|(title, _, _)| (*title).to_owned()).collect());
        text += &row(columns.iter().map(|(_, number, _)| if *number { "---:" } else { "---" }.to_owned()).collect());
        for comparison in &summary.comparisons {
            text += &row(columns.iter().map(|(_, _, value)| view::markdown(&value(comparison))).collect());
        }
        text += &format!("\n{}\n", legend(summary));
    }
    if !summary.claims.is_empty() {
        text += "\n## Claims\n\n";
        for claim in &summary.claims {
            text += &format!("- {}: {}\n", view::markdown(&claim.text), verdict(summary, claim));
        }
    }
    text
}

/// `comparisons.csv`: a line for each, with the settings of both cells. Pairs stand in `summary.json`.
pub(super) fn csv(file: impl Write, summary: &Summary) -> anyhow::Result<()> {
    let mut csv = csv::Writer::from_writer(file);
    let settings =
        ["architecture", "subset_size", "lambda", "density", "weight_decay", "learning_rate", "penalty_samples"];
    let mut header: Vec<String> = ["name", "selection", "context", "treatment", "control"].map(str::to_owned).to_vec();
    header.extend(settings.iter().map(ToString::to_string));
    header.extend(settings.iter().map(|setting| format!("reference_{setting}")));
    if has_variants(summary) {
        header.extend(["variant", "reference_variant"].map(str::to_owned));
    }
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
        csv.write_record(record(comparison, summary))?;
    }
    Ok(csv.flush()?)
}

/// Whether there are cells that the columns of the axes do not tell apart.
pub(super) fn has_variants(summary: &Summary) -> bool {
    summary.cells.iter().any(|cell| !cell.variant.is_empty())
}

fn record(comparison: &Comparison, summary: &Summary) -> Vec<String> {
    let Comparison { name, context, treatment, control, difference, missing_seeds, .. } = comparison;
    let selection = summary.selection.name().to_owned();
    let mut record =
        vec![name.clone().unwrap_or_default(), selection, context.clone(), treatment.clone(), control.clone()];
    for cell in [comparison.cell, comparison.reference] {
        record.extend(summary.cells[cell].settings());
    }
    if has_variants(summary) {
        record.extend([comparison.cell, comparison.reference].map(|cell| summary.cells[cell].variant()));
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

#[cfg(test)]
mod tests {
    use super::{
        super::{summary::tests::finished, table},
        *,
    };

    const GRID: &str = "version = 1\nname = \"t\"\n[data]\ndataset = \"mnist\"\n[grid]\nseed = { count = 5 }\nsubset_size = [100, 300]\n\
                        architecture = [\"net\", \"net+dropout\"]\nlambda = [0, 0.01, 0.1]\n";

    /// Gains of 3 points with dropout, of 1 or 2 with the function norm, whose noise differs from seed to seed; the last trial is missing.
    fn summary(tables: &str) -> Summary {
        finished(&format!("{GRID}{tables}"), |spec| {
            let noise = |salt: u64| ((spec.seed * 7 + salt) % 5) as f64 * 0.002;
            let norm: f64 = spec.penalty.map_or(0.0, |penalty| if penalty.lambda.get() > 0.05 { 0.02 } else { 0.01 });
            let dropout = spec.architecture.switch().map_or(0.0, |_| 0.03 + noise(2) / 4.0);
            let with_norm = if norm > 0.0 { noise(3) } else { 0.0 };
            let last = spec.seed == 4 && spec.lambda() == 0.1 && spec.subset_size == 300 && dropout > 0.0;
            (!last)
                .then(|| 0.8 + 0.0002 * f64::from(spec.subset_size) + norm.max(dropout) + with_norm + noise(1) * norm)
        })
    }

    #[test]
    fn the_usual_comparisons() {
        let summary = summary("");
        assert_eq!(summary.comparisons.len(), 2 * (2 + 1 + 4));
        insta::assert_snapshot!(table::terminal(&summary, Some(140)));
        let mut file = Vec::new();
        csv(&mut file, &summary).unwrap();
        let file = String::from_utf8(file).unwrap();
        assert_eq!(file.lines().count(), 15);
        insta::assert_snapshot!("csv", file.lines().take(2).chain(file.lines().last()).collect::<Vec<_>>().join("\n"));
    }

    #[test]
    fn what_the_grid_file_asks() {
        let summary = summary(
            r#"
[select]
by = "best"
[[compare]]
name = "dropout"
architecture = "net+dropout"
lambda = 0
against = { architecture = "net" }
[[compare]]
name = "function norm"
subset_size = 300
against = { lambda = 0 }
[[claim]]
text = "dropout is worth | 2 <points>"
architecture = "net+dropout"
lambda = 0
against = { architecture = "net" }
is = "better"
margin_points = 2
[[claim]]
text = "beside dropout the function norm changes nothing"
architecture = "net+dropout"
lambda = 0.1
against = { lambda = 0 }
is = "equal"
margin_points = 0.2
"#,
        );
        insta::assert_snapshot!("asked", table::terminal(&summary, Some(140)));
        let markdown = markdown(&summary);
        insta::assert_snapshot!("claims", &markdown[markdown.find("## Claims").unwrap()..]);
        let json = serde_json::to_value(&summary).unwrap();
        assert_eq!((&json["selection"], &json["claims"][0]["verdict"]), (&"best".into(), &"held".into()));
        assert_eq!(json["comparisons"][0]["pairs"].as_array().unwrap().len(), 5);
    }
}
