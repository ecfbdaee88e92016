//! Puts the report together: from the runs and their statistics to what is said, shown and drawn.

use std::collections::{BTreeMap, BTreeSet};

use base64::prelude::{BASE64_STANDARD, Engine as _};
use swfn_shared::{
    artifacts::VAE_SHEET,
    grid::Selection,
    metrics::{TEST_ACCURACY, TRAIN_FUNCTION_NORM, VAE_LOSS},
};

use swfn_store::MeanPoint;

use crate::{
    numbers::{
        answer::{PivotCell, PivotRow, Sign},
        contrast::Comparison,
        failures::{self, FailureGroup},
        source::Sources,
        study::{Study, StudyCell},
        summary::Summary,
    },
    phrases::{rounding::decimal, words},
    views::{
        charts::{Content, Curves, Difference, Figure, Material, Theme, cells_of_curves, figures, follow_page, swatch},
        document::{
            Document, FailureView, FigureView, GridText, MissingFigure, PivotEntry, PivotGroup, PivotRowView,
            PivotView, Sheet,
        },
        table, tables,
    },
};

/// Kinds of failures of which the report tells the error.
const FAILURES: usize = 20;
/// Failed trials of one kind that it names.
const LISTED: usize = 10;
/// Lines of the log of each.
const LOG_LINES: usize = 30;

/// The report, and its figures still to be drawn into files. `made`: when, in UTC.
pub(crate) fn compose(sources: &Sources, summary: &Summary, made: &str) -> anyhow::Result<(Document, Vec<Figure>)> {
    let study = Study::new(summary.selection, &sources.trials);
    let cells = cells_of_curves(&study);
    let accuracy = sources.curves(TEST_ACCURACY, &study, &cells)?;
    let function_norm = sources.curves(TRAIN_FUNCTION_NORM, &study, &cells)?;
    let differences: Vec<Difference> =
        summary.comparisons.iter().filter_map(|comparison| difference(&study, comparison)).collect();
    let material = Material {
        study: &study,
        selection: summary.selection,
        accuracy: &accuracy,
        function_norm: &function_norm,
        differences: &differences,
    };
    let with_vae = study.cells.iter().filter(|cell| cell.spec.vae().is_some()).map(|cell| cell.id).collect();
    let vae_losses = sources.curves(VAE_LOSS, &study, &with_vae)?;
    let all = figures(&material);
    let (mut shown, mut missing) = (Vec::new(), Vec::new());
    for figure in &all {
        match draw(figure) {
            Ok(view) => shown.push(view),
            Err(why) if why.is_empty() => {}
            Err(why) => missing.push(MissingFigure { title: figure.title, why }),
        }
    }
    let document = Document {
        title: format!("{} on {}", summary.sweep, summary.dataset),
        made: made.to_owned(),
        version: env!("CARGO_PKG_VERSION"),
        question: question(summary, &study),
        progress: table::progress(summary),
        answer: tables::answer(summary),
        pivot: pivot(summary, &study),
        warnings: warnings(sources, summary).into_iter().chain(unfinished_vaes(&study, &vae_losses)).collect(),
        results: tables::results(summary),
        figures: shown,
        missing_figures: missing,
        sheets: sheets(sources),
        sheets_caption: "A row of images of the subset, a row of what the VAE makes of them, four rows of samples: what the function norm is measured on.",
        failures_lead: failures_lead(summary),
        failures: failures::groups(summary).iter().take(FAILURES).map(failure).collect(),
        settings: tables::settings(&sources.trials),
        provenance: tables::provenance(&sources.trials),
        cost: tables::cost(sources.cost()?, summary, &sources.trials),
        grids: sources.runs.iter().map(|run| GridText { run: run.name.clone(), text: run.text.clone() }).collect(),
    };
    Ok((document, all))
}

fn draw(figure: &Figure) -> Result<FigureView, String> {
    match &figure.content {
        Content::Missing(why) => Err(why.clone()),
        Content::Drawing { draw, .. } => {
            let svg = draw(Theme::Light).map_err(|error| error.to_string())?;
            let (name, title, caption) = (figure.name, figure.title, figure.caption.clone());
            Ok(FigureView { name, title, caption, svg: follow_page(&svg) })
        }
    }
}

/// A row of the forest plot. Cells stand in one order in summary and study.
fn difference(study: &Study, comparison: &Comparison) -> Option<Difference> {
    let estimate = comparison.difference?;
    let cell = study.cells.get(comparison.cell)?;
    let reference = study.cells.get(comparison.reference)?;
    let treatment = |cell: &StudyCell| &study.treatments[cell.treatment];
    let control = match (cell.spec.network(), reference.spec.network()) {
        (one, other) if one == other => treatment(reference).name.clone(),
        (_, other) => format!("{other}, {}", treatment(reference).name),
    };
    Some(Difference {
        name: comparison.name.clone().unwrap_or_default(),
        size: cell.spec.subset_size,
        network: cell.spec.network().to_string(),
        treatment: treatment(cell).name.clone(),
        control,
        look: treatment(cell).look,
        mean: 100.0 * estimate.mean,
        half: estimate.confidence_95.map(|half| 100.0 * half),
        decided: comparison.decided().is_some(),
    })
}

fn pivot(summary: &Summary, study: &Study) -> PivotView {
    let pivot = &summary.answer.pivot;
    let row = |row: &PivotRow| {
        let first = row.cells.iter().flatten().next();
        let look = first.and_then(|cell| study.cells.get(cell.cell)).map(|cell| study.treatments[cell.treatment].look);
        let variant = if row.variant.is_empty() { String::new() } else { format!(", {}", row.variant) };
        let entry = |cell: &PivotCell| PivotEntry {
            text: words::pivot_cell(&PivotCell { decided: None, ..*cell }),
            sign: cell.decided.map_or("", Sign::symbol),
        };
        PivotRowView {
            swatch: look.map(swatch).unwrap_or_default(),
            name: format!("{}{variant}", row.regulariser),
            cells: row.cells.iter().map(|cell| cell.as_ref().map(entry).unwrap_or_default()).collect(),
        }
    };
    let groups = pivot.rows.chunk_by(|one, other| one.network == other.network);
    let groups =
        groups.map(|rows| PivotGroup { network: rows[0].network.name(), rows: rows.iter().map(row).collect() });
    PivotView { sizes: pivot.sizes.clone(), groups: groups.collect() }
}

/// What was asked.
fn question(summary: &Summary, study: &Study) -> String {
    let sizes: Vec<String> = study.sizes().iter().map(u32::to_string).collect();
    let networks: Vec<String> = in_order(study.cells.iter().map(|cell| cell.spec.network().to_string()));
    let (plain, others): (Vec<_>, Vec<_>) =
        study.treatments.iter().partition(|treatment| treatment.regulariser.parts() == 0);
    let others: Vec<String> = others.iter().map(|treatment| treatment.name.clone()).collect();
    let named = if others.len() > LISTED { format!("{} regularisers", others.len()) } else { listed(&others) };
    let with = match (others.is_empty(), plain.is_empty()) {
        (true, _) => "How well does training without a regulariser do".to_owned(),
        (false, true) => format!("How do {named} compare"),
        (false, false) => format!("How do {named} compare with no regulariser"),
    };
    let planned = || study.cells.iter().map(|cell| cell.planned);
    let seeds = match (planned().min().unwrap_or(0), planned().max().unwrap_or(0)) {
        (1, 1) => "one seed".to_owned(),
        (least, most) if least < most => format!("{least} to {most} seeds"),
        (_, most) => format!("{most} seeds"),
    };
    format!(
        "{with} on {}, trained on {} images of {}? Each cell was planned with {seeds}.",
        listed(&networks),
        listed(&sizes),
        summary.dataset,
    )
}

/// `a, b and c`; of many the first and the last.
fn listed(items: &[String]) -> String {
    const LISTED: usize = 8;
    match items {
        [] => "nothing".to_owned(),
        [one] => one.clone(),
        [first, .., last] if items.len() > LISTED => format!("{first} to {last} ({} values)", items.len()),
        [begin @ .., last] => format!("{} and {last}", begin.join(", ")),
    }
}

fn in_order(items: impl Iterator<Item = String>) -> Vec<String> {
    let mut seen = BTreeSet::new();
    items.filter(|item| seen.insert(item.clone())).collect()
}

fn warnings(sources: &Sources, summary: &Summary) -> Vec<String> {
    let mut warnings = Vec::new();
    let incomplete = summary.cells.iter().filter(|cell| !cell.complete()).count();
    let cells = summary.cells.len();
    if summary.is_open() {
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
    if summary.cells.iter().all(|cell| cell.planned < 2) {
        warnings.push(
            "There is one seed: nothing is known of the spread, and no difference can be told from chance.".to_owned(),
        );
    }
    warnings.extend(sources.warnings.iter().cloned());
    warnings
}

/// That VAEs had not learnt all that they could: the cell whose loss fell most in the last quarter of its VAE's training.
fn unfinished_vaes(study: &Study, losses: &Curves) -> Option<String> {
    /// A fall that nobody needs to know of.
    const SMALL: f64 = 0.02;
    let falls = study.cells.iter().filter_map(|cell| Some((fall(losses.get(&cell.id)?)?, cell.spec.subset_size)));
    let (fall, size) = falls.max_by(|one, other| one.0.total_cmp(&other.0)).filter(|(fall, _)| *fall > SMALL)?;
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

fn failures_lead(summary: &Summary) -> String {
    let count = words::count(summary.failures.len(), "trial");
    format!("{count} failed; trials.jsonl has all. The command “swfn-coordinator retry --failed” tries them again.")
}

fn failure(group: &FailureGroup<'_>) -> FailureView {
    FailureView {
        title: group.title(),
        error: group.error(),
        trials: group.names(LISTED),
        log: group.log(LOG_LINES).join("\n"),
    }
}

/// The sheets of some VAEs: of each subset size one.
fn sheets(sources: &Sources) -> Vec<Sheet> {
    const SHEETS: usize = 4;
    const BYTES: u64 = 2 << 20;
    const PNG: &[u8] = b"\x89PNG\r\n\x1a\n";
    let mut sheets: BTreeMap<(u32, &str), Sheet> = BTreeMap::new();
    for (spec, row) in &sources.trials {
        let kind = (spec.subset_size, spec.density());
        if row.outcome.is_none() || spec.vae().is_none() || sheets.contains_key(&kind) || sheets.len() >= SHEETS {
            continue;
        }
        let Some(path) = sources.artifact(row.id, VAE_SHEET) else { continue };
        if path.metadata().map_or(true, |metadata| metadata.len() > BYTES) {
            continue;
        }
        // What is no picture is left out, as is what cannot be read: a report does not depend on it.
        let Some(bytes) = std::fs::read(path).ok().filter(|bytes| bytes.starts_with(PNG)) else { continue };
        let label = format!("{} images, seed {}", spec.subset_size, spec.seed);
        let label = if spec.density() == "vae" { label } else { format!("{label}, {}", spec.density()) };
        sheets.insert(kind, Sheet { label, base64: BASE64_STANDARD.encode(bytes) });
    }
    sheets.into_values().collect()
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
