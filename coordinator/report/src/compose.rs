//! Puts the report together: from the runs and their statistics to what is said, shown and drawn.

use std::collections::{BTreeMap, BTreeSet};

use base64::prelude::{BASE64_STANDARD, Engine as _};
use swfn_shared::{
    artifacts::VAE_SHEET,
    grid::Selection,
    metrics::{TEST_ACCURACY, TRAIN_FUNCTION_NORM},
    numbers::short,
};

use super::{
    charts::{Content, Difference, Figure, Material, Theme, cells_of_curves, figures, follow_page},
    comparisons,
    contrast::Comparison,
    document::{Document, FailureView, FigureView, GridText, MissingFigure, Sheet},
    rounding::percent,
    source::Sources,
    study::Study,
    summary::Summary,
    tables, words,
};

/// Sentences of the answer, and of what is not decided, beyond which nobody reads on.
const SENTENCES: usize = 8;
/// Trials that were given up of which the report tells the error.
const FAILURES: usize = 20;
/// Lines of the log of each.
const LOG_LINES: usize = 30;

/// The report, and its figures still to be drawn into files. `made`: when, in UTC.
pub(crate) fn compose(sources: &Sources, summary: &Summary, made: &str) -> anyhow::Result<(Document, Vec<Figure>)> {
    let study = Study::new(summary.selection, &sources.trials);
    let cells = cells_of_curves(&study);
    let accuracy = sources.curves(TEST_ACCURACY, &study, &cells)?;
    let function_norm = sources.curves(TRAIN_FUNCTION_NORM, &study, &cells)?;
    let differences: Vec<Difference> = summary.comparisons.iter().filter_map(difference).collect();
    let material = Material {
        study: &study,
        selection: summary.selection,
        accuracy: &accuracy,
        function_norm: &function_norm,
        differences: &differences,
    };
    let all = figures(&material);
    let (mut shown, mut missing) = (Vec::new(), Vec::new());
    for figure in &all {
        match draw(figure) {
            Ok(view) => shown.push(view),
            Err(why) => missing.push(MissingFigure { title: figure.title, why }),
        }
    }
    let document = Document {
        title: format!("{} on {}", summary.sweep, summary.dataset),
        made: made.to_owned(),
        version: env!("CARGO_PKG_VERSION"),
        question: question(summary, &study),
        progress: progress(summary),
        answer: answer(summary),
        undecided: undecided(summary),
        warnings: warnings(sources, summary),
        results: tables::results(summary),
        figures: shown,
        missing_figures: missing,
        sheets: sheets(sources),
        sheets_caption: "A row of images of the subset, a row of what the VAE makes of them, four rows of samples: what the function norm is measured on.",
        failures_lead: failures_lead(summary),
        failures: summary.failures.iter().take(FAILURES).map(failure).collect(),
        settings: tables::settings(&sources.trials),
        provenance: tables::provenance(&sources.trials),
        cost: tables::cost(sources.cost()?, summary, &sources.trials),
        grids: sources
            .runs
            .iter()
            .map(|run| GridText { run: run.path.display().to_string(), text: run.text.clone() })
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

fn difference(comparison: &Comparison) -> Option<Difference> {
    let estimate = comparison.difference?;
    let Comparison { name, context, treatment, control, .. } = comparison;
    let name = name.as_ref().map_or(String::new(), |name| format!("{name}: "));
    Some(Difference {
        group: format!("{name}{context}, against {control}"),
        label: treatment.clone(),
        mean: 100.0 * estimate.mean,
        half: estimate.confidence_95.map(|half| 100.0 * half),
        decided: decided(comparison),
    })
}

/// Whether the cells are told apart, at the level of 5 % that all intervals have.
pub(super) fn decided(comparison: &Comparison) -> bool {
    comparison.t_p_holm.is_some_and(|p| p < 0.05)
}

/// What was asked.
fn question(summary: &Summary, study: &Study) -> String {
    let sizes: Vec<String> = study.sizes().iter().map(u32::to_string).collect();
    let architectures: Vec<String> = in_order(study.cells.iter().map(|cell| cell.spec.architecture.to_string()));
    let lambdas: Vec<String> = study.lambdas().iter().map(|lambda| short(*lambda)).collect();
    let planned = || study.cells.iter().map(|cell| cell.planned);
    let seeds = match (planned().min().unwrap_or(0), planned().max().unwrap_or(0)) {
        (1, 1) => "one seed".to_owned(),
        (least, most) if least < most => format!("{least} to {most} seeds"),
        (_, most) => format!("{most} seeds"),
    };
    let lambda = match lambdas.len() {
        1 => format!("with the weight λ = {} of the function norm", lambdas[0]),
        _ => format!("and what does the function norm with weight λ = {} do to it", listed(&lambdas)),
    };
    format!(
        "How well do {} classify {} after training on {} images, {lambda}? Each cell was planned with {seeds}.",
        listed(&architectures),
        summary.dataset,
        listed(&sizes),
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

/// Whether trials have not ended.
fn is_open(summary: &Summary) -> bool {
    summary.succeeded + summary.failures.len() < summary.planned
}

fn progress(summary: &Summary) -> String {
    let Summary { planned, succeeded, .. } = summary;
    let failed = summary.failures.len();
    let open = planned - succeeded - failed.min(planned - succeeded);
    let mut text = match succeeded == planned {
        true => format!("All {planned} trials have succeeded."),
        false => format!("{succeeded} of {planned} trials have succeeded."),
    };
    if failed > 0 {
        text += &format!(" {failed} {} given up.", if failed == 1 { "was" } else { "were" });
    }
    if open > 0 {
        text += &format!(" {open} {} not ended yet.", if open == 1 { "has" } else { "have" });
    }
    text
}

fn answer(summary: &Summary) -> Vec<String> {
    let chosen =
        if comparisons::is_flattered(summary) { format!("; {}", comparisons::FLATTERED) } else { String::new() };
    let mut answer: Vec<String> = summary
        .claims
        .iter()
        .take(SENTENCES)
        .map(|claim| {
            let provisional = if claim.provisional { " so far" } else { "" };
            let reason = sentence(&format!("{}{chosen}", claim.reason));
            format!("Claim “{}”: {}{provisional}. {reason}", claim.text, claim.verdict.name())
        })
        .collect();
    if summary.claims.len() > SENTENCES {
        answer.push(format!("{} more claims stand in the table.", summary.claims.len() - SENTENCES));
    }
    answer.extend(summary.answer.iter().take(SENTENCES).map(|text| sentence(text)));
    if summary.answer.len() > SENTENCES {
        answer.push(format!("{} more comparisons like these stand in the tables.", summary.answer.len() - SENTENCES));
    }
    if answer.is_empty() {
        answer.push(match best(summary) {
            Some(best) => best,
            None if is_open(summary) => "There are no results yet.".to_owned(),
            None => "There are no results.".to_owned(),
        });
    }
    answer
}

/// The cell of the highest mean, where nothing is compared.
fn best(summary: &Summary) -> Option<String> {
    let known = summary.cells.iter().filter_map(|cell| Some((cell, cell.test_accuracy?)));
    let (cell, estimate) = known.max_by(|one, other| one.1.mean.total_cmp(&other.1.mean))?;
    let half = estimate.confidence_95.map(|half| format!(" ± {}", percent(half))).unwrap_or_default();
    let which = match summary.selection {
        Selection::Final => "test accuracy",
        Selection::Best => "best test accuracy (chosen on the test images)",
        Selection::Validation => "validated test accuracy",
    };
    let variant = cell.variant.iter().map(|phrase| format!(", {phrase}")).collect::<String>();
    let alone = if summary.comparisons.is_empty() { "; nothing was compared with it" } else { "" };
    Some(format!(
        "The highest mean {which} is {}{half} %, of {} with λ = {}{variant} and {} images ({} seeds){alone}.",
        percent(estimate.mean),
        cell.architecture,
        short(cell.lambda),
        cell.subset_size,
        estimate.n
    ))
}

/// With a capital and a full stop.
fn sentence(text: &str) -> String {
    let mut characters = text.chars();
    let first = characters.next().map(|first| first.to_uppercase().to_string()).unwrap_or_default();
    let stop = if text.ends_with(['.', '!', '?']) { "" } else { "." };
    format!("{first}{}{stop}", characters.as_str())
}

/// What the seeds cannot tell apart, and what nothing is known of: a sentence for all that is compared in one place with one thing.
fn undecided(summary: &Summary) -> Vec<String> {
    let mut places: Vec<((&str, &str), Vec<String>)> = Vec::new();
    let mut unknown = 0;
    for comparison in summary.comparisons.iter().filter(|comparison| !decided(comparison)) {
        let Comparison { context, treatment, control, .. } = comparison;
        let Some(difference) = comparison.difference else {
            unknown += 1;
            continue;
        };
        let half = difference.confidence_95.map(|half| format!(" ± {}", percent(half))).unwrap_or_default();
        let text = format!("{treatment} {}{half}", words::points(difference.mean));
        match places.iter_mut().find(|(place, _)| *place == (context, control)) {
            Some((_, texts)) => texts.push(text),
            None => places.push(((context, control), vec![text])),
        }
    }
    let count = places.len();
    let sentence = |((context, control), texts): &((&str, &str), Vec<String>)| {
        let more = texts.len().saturating_sub(SENTENCES);
        let more = if more > 0 { format!("; and {more} more") } else { String::new() };
        format!("{context}, against {control}: {}{more} points", texts[..texts.len().min(SENTENCES)].join("; "))
    };
    let mut sentences: Vec<String> = places.iter().take(SENTENCES).map(sentence).collect();
    if count > SENTENCES {
        sentences.push(format!("the same in {} more places; see the tables", count - SENTENCES));
    }
    if unknown > 0 {
        let yet = if is_open(summary) { " yet" } else { "" };
        sentences
            .push(format!("{unknown} of {} comparisons: no seed has both results{yet}", summary.comparisons.len()));
    }
    sentences
}

fn warnings(sources: &Sources, summary: &Summary) -> Vec<String> {
    let mut warnings = Vec::new();
    let incomplete = summary.cells.iter().filter(|cell| !cell.complete()).count();
    let cells = summary.cells.len();
    if is_open(summary) {
        warnings.push(format!(
            "The report is of an unfinished sweep: {incomplete} of {cells} cells lack seeds, and numbers will still move."
        ));
    } else if incomplete > 0 {
        warnings.push(format!("{incomplete} of {cells} cells lack seeds, whose trials were given up."));
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

fn failures_lead(summary: &Summary) -> String {
    let count = summary.failures.len();
    let shown = if count > FAILURES {
        format!("; these are the first {FAILURES}, trials.jsonl has all")
    } else {
        String::new()
    };
    format!(
        "{count} {} given up{shown}. The command “swfn-coordinator retry --failed” tries them again.",
        if count == 1 { "trial was" } else { "trials were" }
    )
}

fn failure(failure: &super::summary::Failure) -> FailureView {
    let lines: Vec<&str> = failure.log.as_deref().unwrap_or_default().lines().collect();
    let last = &lines[lines.len().saturating_sub(LOG_LINES)..];
    let log: Vec<String> = last.iter().map(|line| line.chars().filter(|c| !c.is_control()).collect()).collect();
    FailureView {
        title: format!(
            "{} seed={} (trial {}, attempt {})",
            failure.label,
            failure.seed,
            &failure.trial[..8],
            failure.attempts
        ),
        error: failure.error.chars().map(|c| if c.is_control() { ' ' } else { c }).collect(),
        log: log.join("\n"),
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
