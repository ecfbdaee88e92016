//! Comparisons as columns of tables and as CSV.

use std::io::Write;

use swfn_shared::grid::Selection;

use crate::{
    numbers::{
        contrast::Comparison,
        summary::{SETTINGS, Summary},
    },
    phrases::{
        rounding::decimal,
        words::{self, UNKNOWN, count, p_value},
    },
};

/// Said wherever accuracies are compared that were chosen on what they are judged by.
pub(crate) const FLATTERED: &str = "of best evaluations, CHOSEN ON THE TEST IMAGES";

pub(crate) fn is_flattered(summary: &Summary) -> bool {
    summary.selection == Selection::Best
}

/// What the columns mean, and how the p-values come about.
pub(crate) fn legend(summary: &Summary) -> String {
    let which = if is_flattered(summary) { format!("Differences {FLATTERED}. ") } else { String::new() };
    let family = count(summary.answer.synthesis.family, "comparison");
    format!(
        "{which}Points: mean difference over the same seeds, in percentage points. 95 % interval (Student's t) and p (paired t test, \
         two-sided) are of that comparison alone. Holm p is corrected over {family}, and decides at 5 %. d: mean difference over the standard \
         deviation of the differences, corrected for small n (Hedges). w/t/l: seeds won, tied, lost. {}",
        signed_rank(summary)
    )
}

/// The smallest corrected p-value that Wilcoxon's test can have here, and of how many seeds; `None` without results.
fn least_signed_rank(summary: &Summary) -> Option<(f64, usize)> {
    let seeds = summary.comparisons.iter().map(|comparison| comparison.pairs.len()).max()?;
    let family = summary.comparisons.iter().filter(|comparison| comparison.wilcoxon_p.is_some()).count();
    (family > 0).then(|| (family as f64 * 0.5f64.powi(seeds as i32 - 1), seeds))
}

/// Whether Wilcoxon's test can decide anything with so few seeds.
fn signed_rank_decides(summary: &Summary) -> bool {
    least_signed_rank(summary).is_some_and(|(least, _)| least < 0.05)
}

fn signed_rank(summary: &Summary) -> String {
    match least_signed_rank(summary) {
        None => String::new(),
        Some(_) if signed_rank_decides(summary) => "Signed rank: Holm p of Wilcoxon's test.".to_owned(),
        Some((least, seeds)) => format!(
            "Wilcoxon's signed-rank test cannot decide here: with {} its Holm p is at least {}.",
            count(seeds, "seed"),
            p_value(least.min(1.0))
        ),
    }
}

/// A column: its title, whether it holds numbers, what stands in it.
pub(crate) type Column = (&'static str, bool, fn(&Comparison) -> String);

/// The columns, those of names and of the signed-rank test only if they tell anything.
pub(crate) fn columns(summary: &Summary) -> Vec<Column> {
    let named = summary.comparisons.iter().any(|comparison| comparison.name.is_some());
    let is_shown = |(title, _, _): &Column| match *title {
        "name" => named,
        "signed rank" => signed_rank_decides(summary),
        _ => true,
    };
    COLUMNS.into_iter().filter(is_shown).collect()
}

const COLUMNS: [Column; 11] = [
    ("name", false, |comparison| comparison.name.clone().unwrap_or_default()),
    ("at", false, |comparison| comparison.context.clone()),
    ("regulariser", false, |comparison| comparison.treatment.clone()),
    ("over", false, |comparison| comparison.control.clone()),
    ("points", true, |comparison| known(comparison.difference.map(|difference| difference.mean), words::points)),
    ("95 % interval", true, |comparison| {
        let interval = comparison.difference.and_then(|of| words::interval(of.mean, of.confidence_95));
        interval.unwrap_or(UNKNOWN.to_owned())
    }),
    ("p", true, |comparison| known(comparison.t_p, p_value)),
    ("Holm p", true, |comparison| known(comparison.t_p_holm, p_value)),
    ("signed rank", true, |comparison| known(comparison.wilcoxon_p_holm, p_value)),
    ("d", true, |comparison| known(comparison.hedges_g, |g| decimal(g, 1))),
    ("w/t/l", true, |comparison| {
        let missing =
            if comparison.missing_seeds.is_empty() { String::new() } else { format!(" of {}", comparison.planned) };
        words::wins(comparison) + &missing
    }),
];

fn known(value: Option<f64>, shown: fn(f64) -> String) -> String {
    value.map_or(UNKNOWN.to_owned(), shown)
}

/// `comparisons.csv`: a line for each, with the settings of both cells. Pairs stand in `summary.json`.
pub(crate) fn csv(file: impl Write, summary: &Summary) -> anyhow::Result<()> {
    let mut csv = csv::Writer::from_writer(file);
    let mut header: Vec<String> = ["name", "selection", "context", "treatment", "control"].map(str::to_owned).to_vec();
    header.extend(SETTINGS.iter().map(ToString::to_string));
    header.extend(SETTINGS.iter().map(|setting| format!("reference_{setting}")));
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
pub(crate) fn has_variants(summary: &Summary) -> bool {
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
pub(crate) mod tests {
    use super::*;
    use crate::{
        numbers::summary::tests::finished,
        views::{table, terminal::terminal},
    };

    const GRID: &str = "version = 1\nname = \"t\"\n[data]\ndataset = \"mnist\"\n[grid]\nseed = { count = 5 }\nsubset_size = [100, 300]\n\
                        architecture = [\"net\", \"net+dropout\"]\nlambda = [0, 0.01, 0.1]\n";

    /// Gains of 3 points with dropout, of 1 or 2 with the function norm, whose noise differs from seed to seed; the last trial is missing.
    pub(crate) fn summary(tables: &str) -> Summary {
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
        insta::assert_snapshot!(terminal(&summary, 140));
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
        insta::assert_snapshot!("asked", terminal(&summary, 140));
        let markdown = table::markdown(&summary);
        insta::assert_snapshot!("claims", &markdown[markdown.find("## Claims").unwrap()..]);
        let json = serde_json::to_value(&summary).unwrap();
        assert_eq!((&json["selection"], &json["claims"][0]["verdict"]), (&"best".into(), &"held".into()));
        assert_eq!(json["comparisons"][0]["pairs"].as_array().unwrap().len(), 5);
    }
}
