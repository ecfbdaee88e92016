//! Puts the report together: statistics, sentences, tables and charts.

use std::{collections::BTreeMap, fs};

use base64::prelude::{BASE64_STANDARD, Engine as _};
use swfn_shared::{
    artifacts::VAE_SHEET,
    metrics::{TEST_ACCURACY, TRAIN_FUNCTION_NORM, VAE_LOSS},
    text::count,
};

use super::{
    charts::{Content, Figure, Study, cells_of_curves, figures, swatch},
    table::TableView,
    tables::{self, AnswerView},
};
use crate::{
    numbers::{
        failures::groups,
        source::{Run, Sources},
        summary::Summary,
    },
    phrases::{
        answer::{progress, question},
        failures::{FailureText, describe},
        reservations::reservations,
    },
};

/// The report in the order of its parts, before it becomes HTML, Markdown or LaTeX.
pub(crate) struct Document<'s> {
    pub(crate) title: String,
    /// When the report was made, in UTC.
    pub(crate) made: String,
    pub(crate) version: &'static str,
    pub(crate) question: String,
    pub(crate) progress: String,
    pub(crate) answer: AnswerView,
    /// The mark of each row of the pivot, as SVG.
    pub(crate) swatches: Vec<String>,
    /// Reservations.
    pub(crate) warnings: Vec<String>,
    /// Claims, comparisons, cells.
    pub(crate) results: Vec<TableView>,
    pub(crate) figures: Vec<Figure>,
    pub(crate) sheets: Vec<Sheet>,
    pub(crate) failures_lead: String,
    pub(crate) failures: Vec<FailureText>,
    pub(crate) settings: TableView,
    pub(crate) provenance: TableView,
    pub(crate) cost: TableView,
    pub(crate) runs: &'s [Run],
}

/// A picture that a trial left behind.
pub(crate) struct Sheet {
    pub(crate) label: String,
    pub(crate) base64: String,
}

impl Document<'_> {
    /// The tables of comparisons, claims and cells.
    pub(crate) fn tables(&self) -> impl Iterator<Item = &TableView> {
        self.answer.decided.iter().chain(&self.results)
    }

    /// The figures with data.
    pub(crate) fn drawn(&self) -> impl Iterator<Item = &Figure> {
        self.figures.iter().filter(|figure| matches!(figure.content, Content::Drawing { .. }))
    }

    /// A sentence about the figures that are missing, and why; `None` if there is no such figure.
    pub(crate) fn missing(&self) -> Option<String> {
        let missing =
            self.figures.iter().filter_map(|figure| Some((figure.title, figure.missing()?)));
        let each: Vec<String> = missing.map(|(title, why)| format!("“{title}” ({why})")).collect();
        (!each.is_empty()).then(|| format!("Charts without data: {}.", each.join(", ")))
    }
}

/// The most groups of failures in the report.
const FAILURES: usize = 20;
/// The most lines of a group's log.
const LOG_LINES: usize = 30;

/// The report. `made`: the present time, in UTC.
pub(crate) fn compose<'s>(
    sources: &'s Sources,
    summary: &Summary,
    made: String,
) -> anyhow::Result<Document<'s>> {
    let study = Study::new(summary);
    let shown = cells_of_curves(&study);
    let with_curves = || summary.cells().iter().filter(|cell| shown.contains(&cell.id));
    let accuracy = sources.curves(TEST_ACCURACY, with_curves())?;
    let function_norm = sources.curves(TRAIN_FUNCTION_NORM, with_curves())?;
    let with_vae = summary.cells().iter().filter(|cell| cell.spec.vae().is_some());
    let vae_losses = sources.curves(VAE_LOSS, with_vae)?;
    let swatches = summary.answer.pivot.rows.iter().map(|row| {
        let cell = row.cells.iter().flatten().next();
        cell.map(|cell| swatch(study.look(&summary.cells()[cell.cell]))).unwrap_or_default()
    });
    let failures = groups(summary);
    Ok(Document {
        title: format!("{} on {}", summary.sweep, summary.dataset),
        made,
        version: env!("CARGO_PKG_VERSION"),
        question: question(summary),
        progress: progress(summary),
        answer: tables::answer(summary),
        swatches: swatches.collect(),
        warnings: reservations(sources, summary, &vae_losses),
        results: tables::results(summary),
        figures: figures(&study, &accuracy, &function_norm),
        sheets: sheets(sources),
        failures_lead: format!(
            "{} failed; trials.jsonl lists all. The command “swfn-coordinator retry --failed” \
             retries them.",
            count(summary.failures.len(), "trial")
        ),
        failures: failures.iter().take(FAILURES).map(|group| describe(group, LOG_LINES)).collect(),
        settings: tables::settings(&sources.trials),
        provenance: tables::provenance(&sources.trials),
        cost: tables::cost(sources.cost()?, summary, &sources.trials),
        runs: &sources.runs,
    })
}

/// The sheets of some VAEs: one for each subset size and density.
fn sheets(sources: &Sources) -> Vec<Sheet> {
    const SHEETS: usize = 4;
    const BYTES: u64 = 2 << 20;
    const PNG: &[u8] = b"\x89PNG\r\n\x1a\n";
    let mut sheets: BTreeMap<(u32, &str), Sheet> = BTreeMap::new();
    for (spec, row) in &sources.trials {
        let key = (spec.subset_size, spec.density());
        let has_sheet = row.outcome.is_some() && spec.vae().is_some();
        if !has_sheet || sheets.contains_key(&key) || sheets.len() >= SHEETS {
            continue;
        }
        let path = sources.artifact(row.id, VAE_SHEET);
        let path = path.filter(|path| path.metadata().is_ok_and(|file| file.len() <= BYTES));
        // A report does not depend on files that are unreadable, or no pictures.
        let Some(bytes) = path.and_then(|path| fs::read(path).ok()) else { continue };
        if !bytes.starts_with(PNG) {
            continue;
        }
        let mut label = format!("{} images, seed {}", spec.subset_size, spec.seed);
        if spec.density() != "vae" {
            label += &format!(", {}", spec.density());
        }
        sheets.insert(key, Sheet { label, base64: BASE64_STANDARD.encode(bytes) });
    }
    sheets.into_values().collect()
}
