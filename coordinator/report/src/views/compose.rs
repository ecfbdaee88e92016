//! Puts the report together: from the runs and their statistics to what is said, shown and drawn.

use std::collections::BTreeMap;

use base64::prelude::{BASE64_STANDARD, Engine as _};
use swfn_shared::{
    artifacts::VAE_SHEET,
    metrics::{TEST_ACCURACY, TRAIN_FUNCTION_NORM, VAE_LOSS},
    text::count,
};

use super::{
    charts::{
        Content, Difference, Figure, Material, Study, Theme, cells_of_curves, figures, follow_page,
        swatch,
    },
    document::{
        Document, FailureView, FigureView, GridText, MissingFigure, PivotEntry, PivotGroup,
        PivotRowView, PivotView, Sheet,
    },
    tables,
};
use crate::{
    numbers::{
        answer::{PivotCell, PivotRow},
        cell::Cell,
        contrast::Comparison,
        failures::{self, FailureGroup},
        source::Sources,
        summary::Summary,
    },
    phrases::{
        answer::{pivot_cell, progress, question, symbol},
        failures::{error, log, names, title},
        reservations::{reservations, unfinished_vaes},
    },
};

/// Kinds of failures of which the report tells the error.
const FAILURES: usize = 20;
/// Failed trials of one kind that it names.
const LISTED: usize = 10;
/// Lines of the log of each.
const LOG_LINES: usize = 30;

/// The report, and its figures still to be drawn into files. `made`: when, in UTC.
pub(crate) fn compose(
    sources: &Sources,
    summary: &Summary,
    made: &str,
) -> anyhow::Result<(Document, Vec<Figure>)> {
    let study = Study::new(summary);
    let shown = cells_of_curves(&study);
    let of_charts = || summary.cells().iter().filter(|cell| shown.contains(&cell.id));
    let accuracy = sources.curves(TEST_ACCURACY, of_charts())?;
    let function_norm = sources.curves(TRAIN_FUNCTION_NORM, of_charts())?;
    let differences: Vec<Difference> = summary
        .comparisons
        .iter()
        .filter_map(|comparison| difference(&study, comparison))
        .collect();
    let material = Material {
        study: &study,
        accuracy: &accuracy,
        function_norm: &function_norm,
        differences: &differences,
    };
    let with_vae = summary.cells().iter().filter(|cell| cell.spec.vae().is_some());
    let vae_losses = sources.curves(VAE_LOSS, with_vae)?;
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
        question: question(summary),
        progress: progress(summary),
        answer: tables::answer(summary),
        pivot: pivot(summary, &study),
        warnings: reservations(sources, summary)
            .into_iter()
            .chain(unfinished_vaes(summary, &vae_losses))
            .collect(),
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
        grids: sources
            .runs
            .iter()
            .map(|run| GridText { run: run.name.clone(), text: run.text.clone() })
            .collect(),
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

/// A row of the forest plot.
fn difference(study: &Study<'_>, comparison: &Comparison) -> Option<Difference> {
    let estimate = comparison.difference?;
    let [cell, reference] =
        [comparison.cell, comparison.reference].map(|place| &study.summary.cells()[place]);
    let treatment = |cell: &Cell| study.treatment(cell).name.clone();
    let control = if cell.network == reference.network {
        treatment(reference)
    } else {
        format!("{}, {}", reference.network, treatment(reference))
    };
    Some(Difference {
        name: comparison.name.clone().unwrap_or_default(),
        size: cell.subset_size,
        network: cell.network.to_string(),
        treatment: treatment(cell),
        control,
        look: study.look(cell),
        mean: 100.0 * estimate.mean,
        half: estimate.confidence_95.map(|half| 100.0 * half),
        decided: comparison.decided().is_some(),
    })
}

fn pivot(summary: &Summary, study: &Study<'_>) -> PivotView {
    let pivot = &summary.answer.pivot;
    let row = |row: &PivotRow| {
        let first = row.cells.iter().flatten().next();
        let look = first.map(|cell| study.look(&summary.cells()[cell.cell]));
        let variant =
            if row.variant.is_empty() { String::new() } else { format!(", {}", row.variant) };
        let entry = |cell: &PivotCell| PivotEntry {
            text: pivot_cell(&PivotCell { decided: None, ..*cell }),
            sign: cell.decided.map_or("", symbol),
        };
        PivotRowView {
            swatch: look.map(swatch).unwrap_or_default(),
            name: format!("{}{variant}", row.regulariser),
            cells: row
                .cells
                .iter()
                .map(|cell| cell.as_ref().map(entry).unwrap_or_default())
                .collect(),
        }
    };
    let groups = pivot.rows.chunk_by(|one, other| one.network == other.network);
    let groups = groups.map(|rows| PivotGroup {
        network: rows[0].network.name(),
        rows: rows.iter().map(row).collect(),
    });
    PivotView { sizes: pivot.sizes.clone(), groups: groups.collect() }
}

fn failures_lead(summary: &Summary) -> String {
    let count = count(summary.failures.len(), "trial");
    format!(
        "{count} failed; trials.jsonl has all. The command “swfn-coordinator retry --failed” tries them again."
    )
}

fn failure(group: &FailureGroup<'_>) -> FailureView {
    FailureView {
        title: title(group),
        error: error(group),
        trials: names(group, LISTED),
        log: log(group, LOG_LINES).join("\n"),
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
        if row.outcome.is_none()
            || spec.vae().is_none()
            || sheets.contains_key(&kind)
            || sheets.len() >= SHEETS
        {
            continue;
        }
        let Some(path) = sources.artifact(row.id, VAE_SHEET) else { continue };
        if path.metadata().map_or(true, |metadata| metadata.len() > BYTES) {
            continue;
        }
        // What is no picture is left out, as is what cannot be read: a report does not depend on it.
        let Some(bytes) = std::fs::read(path).ok().filter(|bytes| bytes.starts_with(PNG)) else {
            continue;
        };
        let label = format!("{} images, seed {}", spec.subset_size, spec.seed);
        let label =
            if spec.density() == "vae" { label } else { format!("{label}, {}", spec.density()) };
        sheets.insert(kind, Sheet { label, base64: BASE64_STANDARD.encode(bytes) });
    }
    sheets.into_values().collect()
}
