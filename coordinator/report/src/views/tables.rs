//! The tables of the report: cells, comparisons, claims; settings, provenance and cost.

use std::collections::{BTreeMap, BTreeSet};

use swfn_shared::{
    grid::Selection,
    ids::{CellId, TRAINER_REVISION},
    text::count as counted,
    trial::TrialSpec,
};
use swfn_store::{TrialRow, WorkerRow};

use super::table::{Columns, Entry, TableView, Tone};
use crate::{
    numbers::{
        answer::{ClaimLine, Decided, PivotCell, PivotRow},
        cell::Cell,
        claim::Verdict,
        contrast::Comparison,
        cost::Cost,
        settings::{key, settings as settings_of},
        summary::{Failure, Summary},
    },
    phrases::{
        answer::{pivot_cell, synthesis},
        claims::{grounds, reasons, verdict},
        legends,
        rounding::{decimal, percent},
        words::{estimate, interval, known, p_value, points, wins},
    },
};

/// Claims, comparisons, cells.
pub(crate) fn results(summary: &Summary) -> Vec<TableView> {
    [claims(summary), comparisons(summary), cells(summary)].into_iter().flatten().collect()
}

/// The answer as it stands before everything else.
pub(crate) struct AnswerView {
    /// A line for each claim.
    pub(crate) claims: Option<TableView>,
    /// In sentences.
    pub(crate) synthesis: Vec<String>,
    pub(crate) pivot: TableView,
    /// Every comparison that is decided.
    pub(crate) decided: Option<TableView>,
}

/// The answer for files.
pub(crate) fn answer(summary: &Summary) -> AnswerView {
    let synthesis = synthesis(summary);
    AnswerView {
        claims: verdicts(summary),
        synthesis,
        pivot: pivot(summary),
        decided: decided(summary),
    }
}

fn told(claim: &ClaimLine) -> Entry {
    let tone = match claim.verdict {
        Verdict::Held => Tone::Held,
        Verdict::NotHeld => Tone::NotHeld,
        Verdict::Undecided => Tone::Undecided,
    };
    Entry { text: verdict(claim), tone }
}

/// Each claim in a line.
fn verdicts(summary: &Summary) -> Option<TableView> {
    let mut columns = Columns::<ClaimLine>::new();
    columns.words("verdict", told);
    columns.words("claim", |claim| claim.text.clone());
    columns.words("results", grounds);
    columns.view("verdicts", "Claims", "", &summary.answer.claims).if_any()
}

/// A row for each network and regulariser, a column for each subset size.
pub(crate) fn pivot(summary: &Summary) -> TableView {
    let pivot = &summary.answer.pivot;
    let mut columns = Columns::<PivotRow>::new();
    columns.words("network", |row| row.network.name());
    columns.words("regulariser", |row| row.regulariser.clone());
    if pivot.rows.iter().any(|row| !row.variant.is_empty()) {
        columns.words("variant", |row| row.variant.clone());
    }
    let entry = |cell: &PivotCell| Entry::strong_if(cell.decided.is_some(), pivot_cell(cell));
    for (place, size) in pivot.sizes.iter().enumerate() {
        columns.number(format!("n = {size}"), move |row| {
            row.cells[place].as_ref().map_or_else(|| Entry::from(""), entry)
        });
    }
    columns.view("pivot", "Cells", legends::pivot(summary), &pivot.rows)
}

/// Every comparison that is decided, by corrected p-value.
pub(crate) fn decided(summary: &Summary) -> Option<TableView> {
    let family = counted(summary.answer.synthesis.family, "comparison");
    let caption = format!(
        "Decided comparisons, by Holm p, which is corrected over {family}. 95 % interval and p are of each comparison alone."
    );
    let mut columns = Columns::<Decided>::new();
    columns.words("at", |decided| decided.context.clone());
    columns.words("regulariser", |decided| decided.treatment.clone());
    columns.words("over", |decided| decided.control.clone());
    columns.number("points", |decided| points(decided.mean));
    columns.number("95 % interval", |decided| {
        known(interval(decided.mean, decided.confidence_95), |ends| ends)
    });
    columns.number("p", |decided| p_value(decided.p));
    columns.number("Holm p", |decided| p_value(decided.p_holm));
    // No row is left out.
    columns.view("decided", "Decided", caption, &summary.answer.decided).if_any()
}

fn claims(summary: &Summary) -> Option<TableView> {
    let family = counted(summary.answer.synthesis.claim_family, "pair");
    let mut caption = format!(
        "Held: the whole interval of the paired difference lies where the claim says, for all pairs of cells that it names. Not held: for \
         one of them it lies elsewhere. Holm's correction over {family} of cells of all claims decides; what is told of a pair alone is not corrected."
    );
    if legends::is_flattered(summary) {
        caption += &format!(" Differences {}.", legends::FLATTERED);
    }
    let mut columns = Columns::<(&ClaimLine, String)>::new();
    columns.words("claim", |(claim, _)| claim.text.clone());
    columns.words("verdict", |(claim, _)| told(claim));
    columns.words("why", |(_, reason)| reason.clone());
    let rows: Vec<_> = summary.answer.claims.iter().zip(reasons(&summary.claims)).collect();
    columns.view("claims", "Claims", caption, &rows).limited().if_any()
}

/// Columns of names and of the signed-rank test are there only if they tell anything.
fn comparisons(summary: &Summary) -> Option<TableView> {
    let caption =
        format!("{} Bold: decided. {}", legends::comparisons(summary), legends::SEEDS_NEEDED);
    let mut columns = Columns::<Comparison>::new();
    if summary.comparisons.iter().any(|comparison| comparison.name.is_some()) {
        columns.words("name", |comparison| comparison.name.clone().unwrap_or_default());
    }
    let mean = |comparison: &Comparison| {
        known(comparison.difference, |difference| points(difference.mean))
    };
    columns.words("at", |comparison| comparison.context.clone());
    columns.words("regulariser", |comparison| comparison.treatment.clone());
    columns.words("over", |comparison| comparison.control.clone());
    columns.number("points", move |comparison| {
        Entry::strong_if(comparison.decided().is_some(), mean(comparison))
    });
    columns.number("95 % interval", |comparison| {
        known(comparison.difference.and_then(|of| interval(of.mean, of.confidence_95)), |ends| ends)
    });
    columns.number("p", |comparison| known(comparison.t_p, p_value));
    columns.number("Holm p", |comparison| known(comparison.t_p_holm, p_value));
    if legends::signed_rank_decides(summary) {
        columns.number("signed rank", |comparison| known(comparison.wilcoxon_p_holm, p_value));
    }
    columns.number("d", |comparison| known(comparison.hedges_g, |g| decimal(g, 1)));
    columns.number("w/t/l", |comparison| match comparison.missing_seeds[..] {
        [] => wins(comparison),
        _ => format!("{} of {}", wins(comparison), comparison.planned),
    });
    columns.view("comparisons", "Comparisons", caption, &summary.comparisons).limited().if_any()
}

/// A column that is empty everywhere is left out.
fn cells(summary: &Summary) -> Option<TableView> {
    let best = best_of_each_size(summary.cells());
    let caption =
        format!("{} Bold: the highest mean of each subset size.", legends::cells(summary));
    let some = |has: fn(&Cell) -> bool| summary.cells().iter().any(has);
    let accuracy = match summary.selection {
        Selection::Final => "test accuracy %",
        Selection::Best => "best test accuracy %",
        Selection::Validation => "validated test accuracy %",
    };
    let mut columns = Columns::<Cell>::new();
    columns.words("network", |cell| cell.network.to_string());
    columns.words("regulariser", |cell| cell.regulariser.clone());
    if some(|cell| !cell.variant.is_empty()) {
        columns.words("variant", Cell::variant);
    }
    columns.number("n", |cell| cell.subset_size.to_string());
    columns.number("seeds", seeds);
    columns.number(accuracy, |cell| {
        Entry::strong_if(best.contains(&cell.id), estimate(cell.test_accuracy, percent))
    });
    columns.number("sd", |cell| {
        known(cell.test_accuracy.and_then(|of| of.standard_deviation), percent)
    });
    if some(|cell| cell.gain_over_none.is_some()) {
        columns.number("over λ = 0", |cell| estimate(cell.gain_over_none, points));
    }
    columns.number("best %", |cell| known(cell.best_test_accuracy, |best| percent(best.mean)));
    columns.number("s/trial", |cell| known(cell.classifier_seconds, |seconds| decimal(seconds, 1)));
    columns.view("cells", "Cells", caption, summary.cells()).limited().if_any()
}

fn seeds(cell: &Cell) -> String {
    match (cell.complete(), cell.quarantined) {
        (true, _) => cell.succeeded.to_string(),
        (false, 0) => format!("{} of {}", cell.succeeded, cell.planned),
        (false, failed) => format!("{} of {} ({failed} failed)", cell.succeeded, cell.planned),
    }
}

/// The cells with the highest mean of their subset size.
fn best_of_each_size(cells: &[Cell]) -> BTreeSet<CellId> {
    let mut best: BTreeMap<u32, (CellId, f64)> = BTreeMap::new();
    for cell in cells {
        let Some(estimate) = cell.test_accuracy else { continue };
        let entry = best.entry(cell.subset_size).or_insert((cell.id, estimate.mean));
        if estimate.mean > entry.1 {
            *entry = (cell.id, estimate.mean);
        }
    }
    best.into_values().map(|(cell, _)| cell).collect()
}

/// Every failed trial.
pub(crate) fn failures(summary: &Summary) -> Option<TableView> {
    let mut columns = Columns::<Failure>::new();
    columns.words("trial", |failure| failure.trial[..8].to_owned());
    columns.words("cell", |failure| failure.label.clone());
    columns.number("seed", |failure| failure.seed.to_string());
    columns.number("attempts", |failure| failure.attempts.to_string());
    columns.words("error", |failure| failure.error.clone());
    let caption = "summary.json has the end of each log.";
    columns.view("failures", "Failed trials", caption, &summary.failures).limited().if_any()
}

/// Values of one setting that are listed.
const VALUES: usize = 12;

/// All settings, resolved; those that vary in bold.
pub(crate) fn settings(trials: &[(TrialSpec, TrialRow)]) -> TableView {
    let caption = "Everything that determines a result, as in the grid file, defaults included. Bold: what varies.";
    let mut values: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let (mut cells, mut seeds) = (BTreeSet::new(), BTreeSet::new());
    for (spec, _) in trials {
        seeds.insert(spec.seed);
        if !cells.insert(spec.cell()) {
            continue;
        }
        for (path, value) in settings_of(spec) {
            let known = values.entry(path).or_default();
            if !known.contains(&value) {
                known.push(value);
            }
        }
    }
    values.insert("seed".to_owned(), seeds.iter().map(u64::to_string).collect());
    let mut rows: Vec<(String, Vec<String>)> =
        values.into_iter().map(|(path, values)| (key(&path), values)).collect();
    rows.sort();
    let shown = |values: &[String]| match values.len() {
        count if count > VALUES => {
            format!("{}, … {} ({count} values)", values[..VALUES - 1].join(", "), values[count - 1])
        }
        _ => values.join(", "),
    };
    let mut columns = Columns::<(String, Vec<String>)>::new();
    columns.words("setting", |(key, values)| Entry::strong_if(values.len() > 1, key.as_str()));
    columns.words("value", |(_, values)| shown(values));
    columns.view("settings", "Settings", caption, &rows).limited()
}

/// Where the results come from.
pub(crate) fn provenance(trials: &[(TrialSpec, TrialRow)]) -> TableView {
    let caption = "Of the trials that succeeded: how many come from where.";
    let of_worker = |value: fn(&WorkerRow) -> Option<String>| {
        count(trials.iter().filter_map(|(_, row)| value(row.worker.as_ref()?)))
    };
    let facts = [
        ("data set digest", count(trials.iter().filter_map(|(_, row)| row.dataset_digest.clone()))),
        ("software", of_worker(|worker| Some(worker.software.clone()))),
        ("libtorch", of_worker(|worker| Some(worker.libtorch.clone()))),
        (
            "CUDA",
            of_worker(|worker| {
                Some(
                    worker
                        .cuda
                        .clone()
                        .filter(|cuda| !cuda.is_empty())
                        .unwrap_or("none".to_owned()),
                )
            }),
        ),
        ("host", of_worker(|worker| Some(worker.host.clone()))),
        ("device", of_worker(|worker| Some(format!("{}, {}", kind(&worker.device), worker.model)))),
        ("threads", of_worker(|worker| worker.threads.map(|threads| threads.to_string()))),
    ];
    let mut rows: Vec<(&str, String, usize)> = Vec::new();
    for (name, values) in facts {
        rows.extend(values.into_iter().map(|(value, trials)| (name, value, trials)));
    }
    rows.retain(|(_, value, _)| !value.is_empty());
    let succeeded = trials.iter().filter(|(_, row)| row.outcome.is_some()).count();
    rows.push(("trainer revision", TRAINER_REVISION.to_string(), succeeded));
    let mut columns = Columns::<(&str, String, usize)>::new();
    columns.words("", |(name, ..)| *name);
    columns.words("value", |(_, value, _)| value.clone());
    columns.number("trials", |(_, _, trials)| trials.to_string());
    columns.view("provenance", "Provenance", caption, &rows).limited()
}

/// `cuda:3` is a `cuda`.
fn kind(device: &str) -> &str {
    device.split(':').next().unwrap_or(device)
}

fn count(values: impl Iterator<Item = String>) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    values.for_each(|value| *counts.entry(value).or_default() += 1);
    counts
}

/// What it took.
pub(crate) fn cost(cost: Cost, summary: &Summary, trials: &[(TrialSpec, TrialRow)]) -> TableView {
    let caption = "Device time: how long devices held at least one trial, failed attempts included, added up over devices; of attempts that were \
                   lost or given back, until the event before. Trials an hour: \
                   those that succeeded, over the time for which any device did. Share of the VAEs: of the seconds of the trials that succeeded.";
    let mut rows: Vec<(&str, String)> = Vec::new();
    let mut fact = |name, value| rows.push((name, value));
    fact("device time", duration(cost.device_seconds));
    fact("elapsed while devices worked", duration(cost.busy_seconds));
    fact("workers", cost.devices.to_string());
    fact("attempts", cost.attempts.to_string());
    fact("trials that succeeded", summary.succeeded.to_string());
    if cost.busy_seconds > 0.0 && summary.succeeded > 0 {
        let an_hour = summary.succeeded as f64 * 3600.0 / cost.busy_seconds;
        // A slow trial is no trial at all otherwise.
        let digits = if an_hour < 10.0 { 2 } else { 0 };
        fact("trials an hour", format!("{an_hour:.digits$}"));
    }
    let outcomes = || trials.iter().filter_map(|(_, row)| row.outcome);
    let vae: f64 = outcomes().map(|outcome| outcome.vae_seconds).sum();
    let all: f64 = outcomes().map(|outcome| outcome.vae_seconds + outcome.classifier_seconds).sum();
    if all > 0.0 {
        fact("share of the VAEs", format!("{} %", decimal(100.0 * vae / all, 0)));
    }
    let mut columns = Columns::<(&str, String)>::new();
    columns.words("", |(name, _)| *name);
    columns.number("", |(_, value)| value.clone());
    columns.view("cost", "Cost", caption, &rows)
}

fn duration(seconds: f64) -> String {
    let whole = seconds.round().max(0.0) as u64;
    match (whole / 3600, whole / 60 % 60, whole % 60) {
        (0, 0, _) => format!("{} s", decimal(seconds, 1)),
        (0, minutes, seconds) => format!("{minutes} min {seconds} s"),
        (hours, minutes, _) => format!("{hours} h {minutes} min"),
    }
}
