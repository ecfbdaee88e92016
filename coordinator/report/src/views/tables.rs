//! The tables of the report: cells, comparisons, claims; settings, provenance and cost.

use std::collections::{BTreeMap, BTreeSet};

use swfn_shared::{ids::TRAINER_REVISION, trial::TrialSpec};
use swfn_store::{TrialRow, WorkerRow};

use crate::{
    numbers::{
        claim::Verdict,
        cost::Cost,
        study::{key, settings as settings_of},
        summary::{Cell, Failure, Summary},
    },
    phrases::{rounding::decimal, words},
    views::{
        comparisons, table,
        view::{Column, Entry, TableView, Tone, markdown},
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
    let synthesis = words::synthesis(summary);
    AnswerView { claims: verdicts(summary), synthesis, pivot: pivot(summary), decided: decided(summary) }
}

impl AnswerView {
    /// In Markdown.
    pub(crate) fn markdown(&self) -> String {
        let mut text = String::new();
        self.claims.iter().for_each(|table| text += &format!("\n{}", table.markdown()));
        text += &format!("\n{}\n", markdown(&self.synthesis.join(" ")));
        for table in [Some(&self.pivot), self.decided.as_ref()].into_iter().flatten() {
            text += &format!("\n{}\n{}\n", table.markdown(), markdown(&table.caption));
        }
        text
    }
}

fn tone(verdict: Verdict) -> Tone {
    match verdict {
        Verdict::Held => Tone::Held,
        Verdict::NotHeld => Tone::NotHeld,
        Verdict::Undecided => Tone::Undecided,
    }
}

/// Each claim in a line.
fn verdicts(summary: &Summary) -> Option<TableView> {
    let mut view = TableView::new("verdicts", "Claims", "", &["verdict", "claim", "results"]);
    for claim in &summary.answer.claims {
        let verdict = Entry { text: words::verdict(claim), tone: tone(claim.verdict) };
        view.rows.push(vec![verdict, Entry::new(&claim.text), Entry::new(words::grounds(claim))]);
    }
    (!view.rows.is_empty()).then_some(view)
}

/// A row for each network and regulariser, a column for each subset size.
fn pivot(summary: &Summary) -> TableView {
    let pivot = &summary.answer.pivot;
    let mut view = TableView::new("pivot", "Cells", &words::pivot_legend(summary), &["network", "regulariser"]);
    let varies = pivot.rows.iter().any(|row| !row.variant.is_empty());
    view.columns.extend(varies.then(|| column("variant", false)));
    view.columns.extend(pivot.sizes.iter().map(|size| column(&format!("n = {size}"), true)));
    for row in &pivot.rows {
        let mut entries = vec![Entry::new(row.network.name()), Entry::new(&row.regulariser)];
        entries.extend(varies.then(|| Entry::new(&row.variant)));
        entries.extend(row.cells.iter().map(|cell| match cell {
            None => Entry::new(""),
            Some(cell) => Entry::strong_if(cell.decided.is_some(), words::pivot_cell(cell)),
        }));
        view.rows.push(entries);
    }
    view
}

/// Every comparison that is decided, by corrected p-value.
fn decided(summary: &Summary) -> Option<TableView> {
    let family = words::count(summary.answer.synthesis.family, "comparison");
    let caption = format!(
        "Decided comparisons, by Holm p, which is corrected over {family}. 95 % interval and p are of each comparison alone."
    );
    let titles = ["at", "regulariser", "over", "#points", "#95 % interval", "#p", "#Holm p"];
    let mut view = TableView::new("decided", "Decided", &caption, &titles);
    // No row is left out.
    view.rows = summary.answer.decided.iter().map(|decided| words::decided(decided).map(Entry::new).to_vec()).collect();
    (!view.rows.is_empty()).then_some(view)
}

fn claims(summary: &Summary) -> Option<TableView> {
    let family = words::count(summary.answer.synthesis.claim_family, "pair");
    let mut caption = format!(
        "Held: the whole interval of the paired difference lies where the claim says, for all pairs of cells that it names. Not held: for \
         one of them it lies elsewhere. Holm's correction over {family} of cells of all claims decides; what is told of a pair alone is not corrected."
    );
    if comparisons::is_flattered(summary) {
        caption += &format!(" Differences {}.", comparisons::FLATTERED);
    }
    let mut view = TableView::new("claims", "Claims", &caption, &["claim", "verdict", "why"]);
    for (claim, line) in summary.claims.iter().zip(&summary.answer.claims) {
        let verdict = Entry { text: words::verdict(line), tone: tone(claim.verdict) };
        view.push(vec![Entry::new(&claim.text), verdict, Entry::new(&claim.reason)]);
    }
    (!view.rows.is_empty()).then_some(view)
}

fn comparisons(summary: &Summary) -> Option<TableView> {
    let caption = format!("{} Bold: decided. {}", comparisons::legend(summary), words::SEEDS_NEEDED);
    let mut view = TableView::new("comparisons", "Comparisons", &caption, &[]);
    let columns = comparisons::columns(summary);
    view.columns = columns.iter().map(|(title, number, _)| column(title, *number)).collect();
    for comparison in &summary.comparisons {
        let entries = columns.iter();
        let entry = |(title, _, value): &comparisons::Column| {
            Entry::strong_if(*title == "points" && comparison.decided().is_some(), value(comparison))
        };
        view.push(entries.map(entry).collect());
    }
    (!view.rows.is_empty()).then_some(view)
}

fn cells(summary: &Summary) -> Option<TableView> {
    let best = best_of_each_size(&summary.cells);
    let caption = format!("{} Bold: the highest mean of each subset size.", table::legend(summary));
    let mut view = TableView::new("cells", "Cells", &caption, &[]);
    let columns = table::columns(summary);
    view.columns = columns.iter().map(|(title, number, _)| column(title, *number)).collect();
    for (place, cell) in summary.cells.iter().enumerate() {
        let strong = |title: &str| title.contains("test accuracy") && best.contains(&place);
        view.push(columns.iter().map(|(title, _, value)| Entry::strong_if(strong(title), value(cell))).collect());
    }
    (!view.rows.is_empty()).then_some(view)
}

/// Every failed trial.
pub(crate) fn failures(summary: &Summary) -> TableView {
    let caption = "summary.json has the end of each log.";
    let titles = ["trial", "cell", "#seed", "#attempts", "error"];
    let mut view = TableView::new("failures", "Failed trials", caption, &titles);
    for failure in &summary.failures {
        let Failure { trial, label, seed, attempts, error, .. } = failure;
        let row = [trial[..8].to_owned(), label.clone(), seed.to_string(), attempts.to_string(), error.clone()];
        view.push(row.map(Entry::new).to_vec());
    }
    view
}

fn column(title: &str, number: bool) -> Column {
    Column { title: title.to_owned(), number }
}

/// The places of the cells with the highest mean of their subset size.
fn best_of_each_size(cells: &[Cell]) -> BTreeSet<usize> {
    let mut best: BTreeMap<u32, (usize, f64)> = BTreeMap::new();
    for (place, cell) in cells.iter().enumerate() {
        let Some(estimate) = cell.test_accuracy else { continue };
        let entry = best.entry(cell.subset_size).or_insert((place, estimate.mean));
        if estimate.mean > entry.1 {
            *entry = (place, estimate.mean);
        }
    }
    best.into_values().map(|(place, _)| place).collect()
}

/// Values of one setting that are listed.
const VALUES: usize = 12;

/// All settings, resolved; those that vary in bold.
pub(crate) fn settings(trials: &[(TrialSpec, TrialRow)]) -> TableView {
    let caption = "Everything that determines a result, as in the grid file, defaults included. Bold: what varies.";
    let mut view = TableView::new("settings", "Settings", caption, &["setting", "value"]);
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
    // Without function norm lambda is zero.
    if trials.iter().any(|(spec, _)| spec.penalty.is_none()) {
        values.entry("penalty.lambda".to_owned()).or_default().insert(0, "0".to_owned());
    }
    for (path, values) in values {
        let shown = match values.len() {
            count if count > VALUES => {
                format!("{}, … {} ({count} values)", values[..VALUES - 1].join(", "), values[count - 1])
            }
            _ => values.join(", "),
        };
        view.push(vec![Entry::strong_if(values.len() > 1, key(&path)), Entry::new(shown)]);
    }
    view.rows.sort_by(|one, other| one[0].text.cmp(&other[0].text));
    view
}

/// Where the results come from.
pub(crate) fn provenance(trials: &[(TrialSpec, TrialRow)]) -> TableView {
    let caption = "Of the trials that succeeded: how many come from where.";
    let mut view = TableView::new("provenance", "Provenance", caption, &["", "value", "#trials"]);
    let of_worker = |value: fn(&WorkerRow) -> Option<String>| {
        count(trials.iter().filter_map(|(_, row)| value(row.worker.as_ref()?)))
    };
    let named = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
    let facts = [
        ("data set digest", count(trials.iter().filter_map(|(_, row)| row.dataset_digest.clone()))),
        ("software", of_worker(|worker| Some(worker.software.clone()))),
        ("libtorch", of_worker(|worker| Some(worker.libtorch.clone()))),
        (
            "CUDA",
            of_worker(|worker| Some(worker.cuda.clone().filter(|cuda| !cuda.is_empty()).unwrap_or("none".to_owned()))),
        ),
        ("host", of_worker(|worker| Some(worker.host.clone()))),
        ("device", of_worker(|worker| Some(format!("{}, {}", kind(&worker.device), worker.model)))),
        ("threads", of_worker(|worker| worker.threads.map(|threads| threads.to_string()))),
    ];
    for (name, values) in facts {
        for (value, trials) in values {
            let Some(value) = named(&value) else { continue };
            view.push(vec![Entry::new(name), Entry::new(value), Entry::new(trials.to_string())]);
        }
    }
    let succeeded = trials.iter().filter(|(_, row)| row.outcome.is_some()).count();
    view.push(vec![
        Entry::new("trainer revision"),
        Entry::new(TRAINER_REVISION.to_string()),
        Entry::new(succeeded.to_string()),
    ]);
    view
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
    let mut view = TableView::new("cost", "Cost", caption, &["", "#"]);
    let mut fact = |name: &str, value: String| view.push(vec![Entry::new(name), Entry::new(value)]);
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
    view
}

fn duration(seconds: f64) -> String {
    let whole = seconds.round().max(0.0) as u64;
    match (whole / 3600, whole / 60 % 60, whole % 60) {
        (0, 0, _) => format!("{} s", decimal(seconds, 1)),
        (0, minutes, seconds) => format!("{minutes} min {seconds} s"),
        (hours, minutes, _) => format!("{hours} h {minutes} min"),
    }
}
