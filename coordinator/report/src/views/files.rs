//! The result files of a run directory: `trials.csv`, `trials.jsonl`, `curves.csv`,
//! `comparisons.csv` and `summary.{csv,json,md}`.

use std::{collections::HashMap, io::Write, path::Path};

use serde::Serialize;
use serde_json::json;
use swfn_shared::{
    axes::{Axis, Role},
    metrics::OUTCOMES,
    quote,
    trial::TrialSpec,
};
use swfn_store::{TrialRow, WorkerRow, run_dir::replace};

use super::{markdown, table::Columns};
use crate::{
    numbers::{
        cell::Cell, claim::ClaimVerdict, contrast::Comparison, source::Sources,
        statistics::Estimate, summary::Summary,
    },
    phrases::claims::reasons,
};

/// The name of a column, and its value for a row.
type Fact<Row, Value> = (&'static str, fn(Row) -> Value);

/// Writes all result files, and replaces each as a whole.
pub(crate) fn write_all(folder: &Path, sources: &Sources, summary: &Summary) -> anyhow::Result<()> {
    let trials = &sources.trials;
    replace(folder, "trials.csv", |file| trials_csv(file, summary, trials))?;
    replace(folder, "trials.jsonl", |file| trials_jsonl(file, trials))?;
    replace(folder, "curves.csv", |file| curves_csv(file, summary, sources))?;
    replace(folder, "comparisons.csv", |file| comparisons_csv(file, summary))?;
    replace(folder, "summary.csv", |file| summary_csv(file, summary))?;
    replace(folder, "summary.json", |file| summary_json(file, summary))?;
    replace(folder, "summary.md", |file| Ok(file.write_all(markdown::summary(summary).as_bytes())?))
}

/// A trial with its cell.
struct Line<'l> {
    cell: &'l Cell,
    spec: &'l TrialSpec,
    row: &'l TrialRow,
}

fn lines<'l>(summary: &'l Summary, trials: &'l [(TrialSpec, TrialRow)]) -> Vec<Line<'l>> {
    let line = |(spec, row): &'l (TrialSpec, TrialRow)| {
        Some(Line { cell: summary.cell(spec.cell())?, spec, row })
    };
    trials.iter().filter_map(line).collect()
}

/// Adds the settings of a cell, under names with that prefix, and the seed if there is one.
fn settings<'c, T: 'c>(
    columns: &mut Columns<'c, T>,
    prefix: &str,
    cell: impl Fn(&T) -> &Cell + Copy + 'c,
    seed: Option<fn(&T) -> u64>,
) {
    for axis in Axis::columns() {
        match (axis.role, seed) {
            (Role::Seed, None) => {}
            (Role::Seed, Some(seed)) => columns.words(axis.name, move |of| seed(of).to_string()),
            _ => columns.words(format!("{prefix}{}", axis.name), move |of| {
                axis.column(&cell(of).spec).to_string()
            }),
        }
        if axis.role == Role::Network {
            columns.words(format!("{prefix}network"), move |of| cell(of).network.to_string());
            columns.words(format!("{prefix}regulariser"), move |of| cell(of).regulariser.clone());
        }
    }
}

/// Whether there are cells that the columns of the axes do not distinguish.
fn has_variants(summary: &Summary) -> bool {
    summary.cells().iter().any(|cell| !cell.variant.is_empty())
}

/// The settings of a trial.
fn settings_of_trials<'c>(columns: &mut Columns<'c, Line<'c>>, summary: &Summary) {
    settings(columns, "", |line| line.cell, Some(|line| line.spec.seed));
    if has_variants(summary) {
        columns.words("variant", |line| line.cell.variant());
    }
}

fn maybe<T: ToString>(value: Option<T>) -> String {
    value.map(|value| value.to_string()).unwrap_or_default()
}

/// Foreign text, which spreadsheets must not take for a formula.
fn text(text: Option<&String>) -> String {
    text.map(|text| quote::cell(text).into_owned()).unwrap_or_default()
}

fn trials_csv(
    file: impl Write,
    summary: &Summary,
    trials: &[(TrialSpec, TrialRow)],
) -> anyhow::Result<()> {
    let mut columns = Columns::<Line<'_>>::new();
    columns.words("trial", |line| line.row.id.to_string());
    columns.words("state", |line| line.row.state.to_string());
    settings_of_trials(&mut columns, summary);
    for metric in OUTCOMES {
        columns
            .words(metric.name, move |line| maybe(line.row.outcome.as_ref().and_then(metric.get)));
    }
    columns.words("attempts", |line| line.row.attempts.to_string());
    let facts: [Fact<&WorkerRow, String>; 8] = [
        ("worker", |worker| worker.id.to_string()),
        ("host", |worker| text(Some(&worker.host))),
        ("device", |worker| text(Some(&worker.device))),
        ("model", |worker| text(Some(&worker.model))),
        ("threads", |worker| maybe(worker.threads)),
        ("software", |worker| text(Some(&worker.software))),
        ("libtorch", |worker| text(Some(&worker.libtorch))),
        ("cuda", |worker| text(worker.cuda.as_ref())),
    ];
    for (name, fact) in facts {
        columns.words(name, move |line| maybe(line.row.worker.as_ref().map(fact)));
    }
    columns.words("dataset_digest", |line| line.row.dataset_digest.clone().unwrap_or_default());
    // A trial that succeeded has no error, even if earlier attempts had one.
    columns.words("error", |line| {
        text(line.row.error.as_ref().filter(|_| line.row.outcome.is_none()))
    });
    columns.csv(file, &lines(summary, trials))
}

/// A line for each trial: all settings, the outcome, and the worker.
fn trials_jsonl(file: &mut dyn Write, trials: &[(TrialSpec, TrialRow)]) -> anyhow::Result<()> {
    for (spec, row) in trials {
        let worker = row.worker.as_ref().map(|worker| {
            json!({
                "id": worker.id.to_string(),
                "host": worker.host,
                "device": worker.device,
                "model": worker.model,
                "threads": worker.threads,
                "software": worker.software,
                "libtorch": worker.libtorch,
                "cuda": worker.cuda,
            })
        });
        let line = json!({
            "trial": row.id.to_string(),
            "state": row.state,
            "attempts": row.attempts,
            "error": row.error.as_ref().filter(|_| row.outcome.is_none()),
            "log": row.log.as_ref().filter(|_| row.outcome.is_none()),
            "settings": serde_json::from_str::<serde_json::Value>(&spec.to_json())?,
            "outcome": row.outcome,
            "worker": worker,
            "dataset_digest": row.dataset_digest,
        });
        writeln!(file, "{line}")?;
    }
    Ok(())
}

fn curves_csv(file: impl Write, summary: &Summary, sources: &Sources) -> anyhow::Result<()> {
    let mut columns = Columns::<Line<'_>>::new();
    columns.words("trial", |line| line.row.id.to_string());
    settings_of_trials(&mut columns, summary);
    let lines = lines(summary, &sources.trials);
    let before: HashMap<_, Vec<String>> =
        lines.iter().map(|line| (line.row.id, columns.texts(line).collect())).collect();
    let mut csv = csv::Writer::from_writer(file);
    csv.write_record(columns.titles().chain(["metric", "step", "value"]))?;
    sources.points(|row| {
        if let Some(before) = before.get(&row.id) {
            csv.write_record(before.iter().chain(&[
                row.metric,
                row.step.to_string(),
                row.value.to_string(),
            ]))?;
        }
        Ok(())
    })?;
    Ok(csv.flush()?)
}

/// A line for each comparison, with the settings of both cells. Pairs stand in `summary.json`.
pub(super) fn comparisons_csv(file: impl Write, summary: &Summary) -> anyhow::Result<()> {
    let mut columns = Columns::<(&Comparison, &Cell, &Cell)>::new();
    columns.words("name", |(of, ..)| of.name.clone().unwrap_or_default());
    columns.words("selection", |_| summary.selection.name());
    columns.words("context", |(of, ..)| of.context.clone());
    columns.words("treatment", |(of, ..)| of.treatment.clone());
    columns.words("control", |(of, ..)| of.control.clone());
    settings(&mut columns, "", |(_, cell, _)| cell, None);
    settings(&mut columns, "reference_", |(_, _, reference)| reference, None);
    if has_variants(summary) {
        columns.words("variant", |(_, cell, _)| cell.variant());
        columns.words("reference_variant", |(_, _, reference)| reference.variant());
    }
    columns.words("planned", |(of, ..)| of.planned.to_string());
    columns.words("n", |(of, ..)| of.pairs.len().to_string());
    columns.words("missing_seeds", |(of, ..)| {
        of.missing_seeds.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
    });
    let mut number = |name: &str, value: fn(&Comparison) -> Option<f64>| {
        columns.words(name, move |(of, ..)| maybe(value(of)));
    };
    number("mean_difference", |of| Some(of.difference?.mean));
    number("standard_deviation", |of| of.difference?.standard_deviation);
    number("confidence_95", |of| of.difference?.confidence_95);
    number("t_p", |of| of.t_p);
    number("t_p_holm", |of| of.t_p_holm);
    number("wilcoxon_p", |of| of.wilcoxon_p);
    number("wilcoxon_p_holm", |of| of.wilcoxon_p_holm);
    columns.words("wilcoxon_method", |(of, ..)| maybe(of.wilcoxon_method));
    columns.words("cohens_d", |(of, ..)| maybe(of.cohens_d));
    columns.words("hedges_g", |(of, ..)| maybe(of.hedges_g));
    columns.words("wins", |(of, ..)| of.wins.to_string());
    columns.words("ties", |(of, ..)| of.ties.to_string());
    columns.words("losses", |(of, ..)| of.losses.to_string());
    let cells = summary.cells();
    let rows: Vec<_> =
        summary.comparisons.iter().map(|of| (of, &cells[of.cell], &cells[of.reference])).collect();
    columns.csv(file, &rows)
}

pub(super) fn summary_csv(file: impl Write, summary: &Summary) -> anyhow::Result<()> {
    let mut columns = Columns::<Cell>::new();
    settings(&mut columns, "", |cell| cell, None);
    if has_variants(summary) {
        columns.words("variant", Cell::variant);
    }
    columns.words("planned", |cell| cell.planned.to_string());
    columns.words("succeeded", |cell| cell.succeeded.to_string());
    columns.words("quarantined", |cell| cell.quarantined.to_string());
    columns.words("complete", |cell| cell.complete().to_string());
    let parts: [Fact<Estimate, Option<f64>>; 3] = [
        ("mean", |estimate| Some(estimate.mean)),
        ("standard_deviation", |estimate| estimate.standard_deviation),
        ("confidence_95", |estimate| estimate.confidence_95),
    ];
    let mut estimate = |name: &str, of: fn(&Cell) -> Option<Estimate>| {
        columns.words(format!("{name}_n"), move |cell| {
            of(cell).map_or(0, |estimate| estimate.n).to_string()
        });
        for (part, value) in parts {
            columns.words(format!("{name}_{part}"), move |cell| maybe(of(cell).and_then(value)));
        }
    };
    estimate("final_test_accuracy", |cell| cell.final_test_accuracy);
    estimate("best_test_accuracy", |cell| cell.best_test_accuracy);
    estimate("validated_test_accuracy", |cell| cell.validated_test_accuracy);
    estimate("gain_over_none", |cell| cell.gain_over_none);
    columns.words("classifier_seconds", |cell| maybe(cell.classifier_seconds));
    columns.words("vae_seconds", |cell| maybe(cell.vae_seconds));
    columns.words("selection", |_| summary.selection.name());
    columns.csv(file, summary.cells())
}

/// The numbers, and with each claim why it has its verdict.
pub(super) fn summary_json(file: impl Write, summary: &Summary) -> anyhow::Result<()> {
    #[derive(Serialize)]
    struct Written<'s> {
        #[serde(flatten)]
        summary: &'s Summary,
        claims: Vec<Claim<'s>>,
    }
    #[derive(Serialize)]
    struct Claim<'s> {
        #[serde(flatten)]
        claim: &'s ClaimVerdict,
        reason: String,
    }
    let claims = summary.claims.iter().zip(reasons(&summary.claims));
    let claims = claims.map(|(claim, reason)| Claim { claim, reason }).collect();
    Ok(serde_json::to_writer_pretty(file, &Written { summary, claims })?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::numbers::summary_tests::example;

    #[test]
    fn foreign_text_is_no_formula() {
        let (mut trials, summary) = example();
        for (_, row) in &mut trials {
            row.error = Some("-1+1".to_owned());
            row.worker.iter_mut().for_each(|worker| worker.host = "=cmd|'/C calc'!A0".to_owned());
        }
        let mut file = Vec::new();
        trials_csv(&mut file, &summary, &trials).unwrap();
        let text = String::from_utf8(file).unwrap();
        assert!(text.contains(",'=cmd") && text.contains(",'-1+1"), "{text}");
        assert!(!text.contains(",=cmd") && !text.contains(",-1+1"), "{text}");
    }

    #[test]
    fn csv_files() {
        let (trials, summary) = example();
        let (mut file, mut other) = (Vec::new(), Vec::new());
        trials_csv(&mut file, &summary, &trials).unwrap();
        insta::assert_snapshot!("trials", String::from_utf8(file).unwrap());
        let mut lines = Vec::new();
        trials_jsonl(&mut lines, &trials[..1]).unwrap();
        let line: serde_json::Value = serde_json::from_slice(&lines).unwrap();
        insta::assert_snapshot!("trial", serde_json::to_string_pretty(&line).unwrap());
        summary_csv(&mut other, &summary).unwrap();
        insta::assert_snapshot!("summary", String::from_utf8(other).unwrap());
    }
}
