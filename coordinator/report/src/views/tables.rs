//! The tables of the report: answer, claims, comparisons, cells; settings, provenance and cost.

use std::collections::{BTreeMap, BTreeSet};

use swfn_shared::{
    ids::{CellId, TRAINER_REVISION},
    text::count as counted,
    trial::TrialSpec,
};
use swfn_store::{TrialRow, WorkerRow};

use super::table::{Columns, Entry, TableView, Tone};
use crate::{
    numbers::{
        answer::{ClaimLine, PivotRow},
        cell::Cell,
        contrast::Comparison,
        cost::Cost,
        settings::{key, settings as settings_of},
        summary::{Failure, Summary},
    },
    phrases::{
        answer::{MarkNames, marks, pivot_cell, synthesis},
        claims::{grounds, reasons, verdict},
        legends,
        rounding::{decimal, percent},
        values::{estimate, interval, or_unknown, p_value, points, wins},
    },
};

/// Claims, comparisons, cells.
pub(crate) fn results(summary: &Summary) -> Vec<TableView> {
    [claims(summary), comparisons(summary), cells(summary)].into_iter().flatten().collect()
}

/// The answer, which stands before everything else.
pub(crate) struct AnswerView {
    /// A line for each claim.
    pub(crate) claims: Option<TableView>,
    /// In sentences.
    pub(crate) synthesis: String,
    pub(crate) pivot: TableView,
    /// All decided comparisons.
    pub(crate) decided: Option<TableView>,
}

pub(crate) fn answer(summary: &Summary) -> AnswerView {
    AnswerView {
        claims: verdicts(summary),
        synthesis: synthesis(summary).join(" "),
        pivot: pivot(summary, MarkNames::Told),
        decided: decided(summary),
    }
}

fn verdict_entry(claim: &ClaimLine) -> Entry {
    Entry::with_tone(Tone::Verdict(claim.verdict), verdict(claim))
}

/// Each claim in a line.
fn verdicts(summary: &Summary) -> Option<TableView> {
    let mut columns = Columns::<ClaimLine>::new();
    columns.words("verdict", verdict_entry);
    columns.words("claim", |claim| claim.text.clone());
    columns.words("results", |claim| grounds(claim).join(";\n"));
    columns.view("verdicts", "Claims", "", &summary.answer.claims).if_any()
}

/// A row for each network and treatment, a column for each subset size.
pub(crate) fn pivot(summary: &Summary, names: MarkNames) -> TableView {
    let pivot = &summary.answer.pivot;
    let mut columns = Columns::<PivotRow>::new();
    columns.words("network", |row| row.network.name());
    columns.words("regulariser", |row| match row.variant.as_str() {
        "" => row.regulariser.clone(),
        variant => format!("{}, {variant}", row.regulariser),
    });
    for (index, size) in pivot.sizes.iter().enumerate() {
        columns.number(format!("n = {size}"), move |row| {
            let Some(cell) = &row.cells[index] else { return Entry::from("") };
            let sign = marks(cell, pivot, names);
            Entry { sign, ..Entry::strong_if(!cell.decided.is_empty(), pivot_cell(cell)) }
        });
    }
    columns.view("pivot", "Test accuracy", legends::pivot(summary), &pivot.rows).grouped_if(true)
}

/// The columns that all tables of comparisons begin with.
fn comparison_columns<'c>(columns: &mut Columns<'c, Comparison>, bold: bool) {
    columns.words("at", |comparison| comparison.context.clone());
    columns.words("regulariser", |comparison| comparison.treatment.clone());
    columns.words("over", |comparison| comparison.control.clone());
    columns.number("points", move |comparison| {
        let mean = or_unknown(comparison.difference, |difference| points(difference.mean));
        Entry::strong_if(bold && comparison.decided().is_some(), mean)
    });
    columns.number("95 % interval", |comparison| {
        let ends = comparison.difference.and_then(|of| interval(of.mean, of.confidence_95));
        or_unknown(ends, |ends| ends)
    });
    columns.number("p", |comparison| or_unknown(comparison.t_p, p_value));
    columns.number("Holm p", |comparison| or_unknown(comparison.t_p_holm, p_value));
}

/// All decided comparisons, by corrected p-value.
pub(crate) fn decided(summary: &Summary) -> Option<TableView> {
    let family = counted(summary.answer.synthesis.family, "comparison");
    let caption = format!(
        "Decided comparisons in the order of Holm p, which is corrected over {family}. The 95 % \
         interval and p belong to one comparison alone."
    );
    let mut columns = Columns::new();
    comparison_columns(&mut columns, false);
    let decided = summary.answer.decided.iter();
    let comparisons = decided.map(|decided| &summary.comparisons[decided.comparison]);
    columns.view("decided", "Decided comparisons", caption, comparisons).if_any()
}

/// The undecided comparisons with the smallest p-values.
pub(crate) fn nearest(summary: &Summary, most: usize) -> Option<TableView> {
    let undecided = |comparison: &&Comparison| comparison.decided().is_none();
    let known = summary.comparisons.iter().filter(|comparison| comparison.difference.is_some());
    let mut nearest: Vec<&Comparison> = known.filter(undecided).collect();
    let p = |comparison: &Comparison| comparison.t_p.unwrap_or(1.0);
    nearest.sort_by(|one, other| p(one).total_cmp(&p(other)));
    nearest.truncate(most);
    let mut columns = Columns::new();
    comparison_columns(&mut columns, false);
    columns.view("nearest", "Comparisons with the smallest p", "", nearest).if_any()
}

fn claims(summary: &Summary) -> Option<TableView> {
    let family = counted(summary.answer.synthesis.claim_family, "pair");
    let mut caption = format!(
        "Held: for all pairs of cells that the claim names, the whole interval of the paired \
         difference lies where the claim says. Not held: for one pair it lies elsewhere. Verdicts \
         follow Holm's correction over {family} of cells of all claims. Numbers of a pair alone \
         are not corrected."
    );
    if legends::is_flattered(summary) {
        caption += &format!(" Differences {}.", legends::FLATTERED);
    }
    let mut columns = Columns::<(&ClaimLine, String)>::new();
    columns.words("claim", |(claim, _)| claim.text.clone());
    columns.words("verdict", |(claim, _)| verdict_entry(claim));
    columns.words("why", |(_, reason)| reason.clone());
    let rows: Vec<_> = summary.answer.claims.iter().zip(reasons(&summary.claims)).collect();
    columns.view("claims", "Claims", caption, &rows).limited().if_any()
}

/// Columns of names and of the signed-rank test are there only if they add anything.
fn comparisons(summary: &Summary) -> Option<TableView> {
    let caption =
        format!("{} Bold: decided. {}", legends::comparisons(summary), legends::SEEDS_NEEDED);
    let mut columns = Columns::<Comparison>::new();
    let named = summary.comparisons.iter().any(|comparison| comparison.name.is_some());
    if named {
        columns.words("name", |comparison| comparison.name.clone().unwrap_or_default());
    }
    comparison_columns(&mut columns, true);
    if legends::signed_rank_decides(summary) {
        columns.number("signed rank", |comparison| or_unknown(comparison.wilcoxon_p_holm, p_value));
    }
    columns.number("d", |comparison| or_unknown(comparison.hedges_g, |g| decimal(g, 1)));
    columns.number("w/t/l", |comparison| match comparison.missing_seeds[..] {
        [] => wins(comparison),
        _ => format!("{} of {}", wins(comparison), comparison.planned),
    });
    let view = columns.view("comparisons", "Comparisons", caption, &summary.comparisons);
    view.grouped_if(named).limited().if_any()
}

/// A column that is empty everywhere is left out.
fn cells(summary: &Summary) -> Option<TableView> {
    let best = best_of_each_size(summary.cells());
    let caption = format!("{} ★: the highest mean of each subset size.", legends::cells(summary));
    let some = |has: fn(&Cell) -> bool| summary.cells().iter().any(has);
    let accuracy = format!("{} %", legends::selected_accuracy(summary.selection));
    let mut columns = Columns::<Cell>::new();
    columns.words("network", |cell| cell.network.to_string());
    columns.words("regulariser", |cell| cell.regulariser.clone());
    if some(|cell| !cell.variant.is_empty()) {
        columns.words("variant", Cell::variant);
    }
    columns.number("n", |cell| cell.subset_size.to_string());
    columns.number("seeds", seeds);
    columns.number(accuracy, |cell| {
        let star = if best.contains(&cell.id) { " ★" } else { "" };
        estimate(cell.test_accuracy, percent) + star
    });
    columns.number("sd", |cell| {
        or_unknown(cell.test_accuracy.and_then(|of| of.standard_deviation), percent)
    });
    if some(|cell| cell.gain_over_none.is_some()) {
        columns.number("over λ = 0", |cell| estimate(cell.gain_over_none, points));
    }
    columns.number("best %", |cell| or_unknown(cell.best_test_accuracy, |best| percent(best.mean)));
    columns.number("s/trial", |cell| {
        or_unknown(cell.classifier_seconds, |seconds| decimal(seconds, 1))
    });
    columns.view("cells", "Cells", caption, summary.cells()).limited().if_any()
}

fn seeds(cell: &Cell) -> String {
    match (cell.complete(), cell.quarantined) {
        (true, _) => cell.succeeded.to_string(),
        (false, 0) => format!("{} of {}", cell.succeeded, cell.planned),
        (false, failed) => format!("{} of {} ({failed} failed)", cell.succeeded, cell.planned),
    }
}

/// The cell with the highest mean of each subset size.
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

/// All failed trials.
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

/// The most values of one setting that are listed.
const VALUES: usize = 12;

/// All settings of the trials; those that vary in bold.
pub(crate) fn settings(trials: &[(TrialSpec, TrialRow)]) -> TableView {
    let caption = "All settings that determine a result, with the keys of the grid file and with \
                   defaults.";
    let mut values: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let (mut cells, mut seeds) = (BTreeSet::new(), BTreeSet::new());
    for (spec, _) in trials {
        seeds.insert(spec.seed);
        if cells.insert(spec.cell()) {
            for (path, value) in settings_of(spec) {
                let known = values.entry(path).or_default();
                if !known.contains(&value) {
                    known.push(value);
                }
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
    columns.words("setting", |(key, _)| key.clone());
    columns.words("value", |(_, values)| shown(values));
    columns.view("settings", "Settings", caption, &rows).limited()
}

/// Data, software and devices of the results.
pub(crate) fn provenance(trials: &[(TrialSpec, TrialRow)]) -> TableView {
    let caption = "Number of done trials for each origin.";
    let mut counts: BTreeMap<(usize, &str, String), usize> = BTreeMap::new();
    for (_, row) in trials {
        let digest = ("data set digest", row.dataset_digest.clone().unwrap_or_default());
        let facts = std::iter::once(digest).chain(row.worker.iter().flat_map(facts));
        for (place, (name, value)) in facts.enumerate().filter(|(_, (_, value))| !value.is_empty())
        {
            *counts.entry((place, name, value)).or_default() += 1;
        }
    }
    let succeeded = trials.iter().filter(|(_, row)| row.outcome.is_some()).count();
    let mut rows: Vec<(&str, String, usize)> =
        counts.into_iter().map(|((_, name, value), trials)| (name, value, trials)).collect();
    rows.push(("trainer revision", TRAINER_REVISION.to_string(), succeeded));
    let mut columns = Columns::<(&str, String, usize)>::new();
    columns.words("", |(name, ..)| *name);
    columns.words("value", |(_, value, _)| value.clone());
    columns.number("trials", |(_, _, trials)| trials.to_string());
    columns.view("provenance", "Provenance", caption, &rows).limited()
}

fn facts(worker: &WorkerRow) -> [(&'static str, String); 6] {
    let cuda = worker.cuda.clone().filter(|cuda| !cuda.is_empty()).unwrap_or("none".to_owned());
    // Devices differ in their kind, `cuda`, and not in their number, `cuda:3`.
    let kind = worker.device.split(':').next().unwrap_or_default();
    [
        ("software", worker.software.clone()),
        ("libtorch", worker.libtorch.clone()),
        ("CUDA", cuda),
        ("host", worker.host.clone()),
        ("device", format!("{kind}, {}", worker.model)),
        ("threads", worker.threads.map(|threads| threads.to_string()).unwrap_or_default()),
    ]
}

/// Times, devices and attempts.
pub(crate) fn cost(cost: Cost, summary: &Summary, trials: &[(TrialSpec, TrialRow)]) -> TableView {
    let caption = "Device time: the time for which devices held at least one trial, added up over \
                   devices. Failed attempts count. Attempts that were lost or returned count until \
                   the event before. Trials an hour: done trials, over the time for which any \
                   device held one. Share of the VAEs: their part of the seconds of done trials.";
    let mut rows: Vec<(&str, String)> = Vec::new();
    let mut fact = |name, value| rows.push((name, value));
    fact("device time", duration(cost.device_seconds));
    fact("elapsed while devices worked", duration(cost.busy_seconds));
    fact("workers", cost.devices.to_string());
    fact("attempts", cost.attempts.to_string());
    fact("trials done", summary.succeeded.to_string());
    if cost.busy_seconds > 0.0 && summary.succeeded > 0 {
        let an_hour = summary.succeeded as f64 * 3600.0 / cost.busy_seconds;
        // Slow trials would be shown as 0 without decimals.
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
