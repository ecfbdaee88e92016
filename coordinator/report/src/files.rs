//! The result files of a run directory: `trials.csv`, `trials.jsonl`, `curves.csv`, `comparisons.csv`, `summary.{csv,json,md}`.

use std::{
    collections::{HashMap, HashSet},
    io::Write,
    path::Path,
};

use serde_json::json;
use swfn_shared::{quote::cell, treatment::Names, trial::TrialSpec};
use swfn_store::{TrialRow, WorkerRow, run_dir::replace};

use super::{
    comparisons,
    source::Sources,
    statistics::Estimate,
    study::{self, Differing},
    summary::{Cell, SETTINGS, Summary},
    table,
};

/// Writes all of them, each as a whole.
pub(crate) fn write_all(folder: &Path, sources: &Sources, summary: &Summary) -> anyhow::Result<()> {
    let trials = &sources.trials;
    replace(folder, "trials.csv", |file| trials_csv(file, trials))?;
    replace(folder, "trials.jsonl", |file| trials_jsonl(file, trials))?;
    replace(folder, "curves.csv", |file| curves_csv(file, sources))?;
    replace(folder, "comparisons.csv", |file| comparisons::csv(file, summary))?;
    replace(folder, "summary.csv", |file| summary_csv(file, summary))?;
    replace(folder, "summary.json", |file| Ok(serde_json::to_writer_pretty(file, summary)?))?;
    replace(folder, "summary.md", |file| Ok(file.write_all(table::markdown(summary).as_bytes())?))
}

const AXES: [&str; 10] = [
    "architecture",
    "network",
    "regulariser",
    "subset_size",
    "seed",
    "lambda",
    "density",
    "weight_decay",
    "learning_rate",
    "penalty_samples",
];

fn axes(names: Names, spec: &TrialSpec) -> [String; 10] {
    [
        spec.architecture.to_string(),
        spec.network().to_string(),
        names.regulariser(spec.regulariser()),
        spec.subset_size.to_string(),
        spec.seed.to_string(),
        spec.lambda().to_string(),
        spec.density().to_owned(),
        spec.weight_decay().to_string(),
        spec.learning_rate.to_string(),
        spec.penalty_samples().to_string(),
    ]
}

/// Names that tell the regularisers of these trials apart.
fn names(trials: &[(TrialSpec, TrialRow)]) -> Names {
    Names::among(trials.iter().map(|(spec, _)| spec.regulariser()))
}

/// A column of all that network, regulariser and subset size do not say, where anything of it differs.
struct Variants(Option<Differing>);

impl Variants {
    fn among(trials: &[(TrialSpec, TrialRow)]) -> Self {
        let mut cells = HashSet::new();
        let specs = trials.iter().map(|(spec, _)| spec).filter(|spec| cells.insert(spec.cell()));
        let differing = Differing::among(specs, &study::NAMED);
        let some = trials.iter().any(|(spec, _)| !differing.phrases(spec).is_empty());
        Self(some.then_some(differing))
    }

    fn header(&self) -> Option<&'static str> {
        self.0.as_ref().map(|_| "variant")
    }

    fn of(&self, spec: &TrialSpec) -> Option<String> {
        self.0.as_ref().map(|differing| differing.phrases(spec).join(", "))
    }
}

/// A worker's words, which are no formula.
fn text_cell(text: &str) -> String {
    cell(text).into_owned()
}

fn trials_csv(file: impl Write, trials: &[(TrialSpec, TrialRow)]) -> anyhow::Result<()> {
    let mut csv = csv::Writer::from_writer(file);
    let before = ["trial", "state"];
    let after = [
        "final_test_accuracy",
        "best_test_accuracy",
        "final_test_loss",
        "validation_accuracy",
        "validated_test_accuracy",
        "vae_seconds",
        "classifier_seconds",
        "attempts",
        "worker",
        "host",
        "device",
        "model",
        "threads",
        "software",
        "libtorch",
        "cuda",
        "dataset_digest",
        "error",
    ];
    let (names, variants) = (names(trials), Variants::among(trials));
    csv.write_record(before.iter().chain(&AXES).copied().chain(variants.header()).chain(after))?;
    for (spec, row) in trials {
        let number = |value: fn(&swfn_shared::metrics::Outcome) -> f64| {
            row.outcome.as_ref().map(|outcome| value(outcome).to_string()).unwrap_or_default()
        };
        let maybe = |value: fn(&swfn_shared::metrics::Outcome) -> Option<f64>| {
            row.outcome.as_ref().and_then(value).map(|value| value.to_string()).unwrap_or_default()
        };
        let from = |text: fn(&WorkerRow) -> &String| {
            row.worker.as_ref().map(text).map(|text| text_cell(text)).unwrap_or_default()
        };
        let outcome = [
            number(|o| o.final_test_accuracy),
            number(|o| o.best_test_accuracy),
            number(|o| o.final_test_loss),
            maybe(|o| o.validation_accuracy),
            maybe(|o| o.validated_test_accuracy),
            number(|o| o.vae_seconds),
            number(|o| o.classifier_seconds),
            row.attempts.to_string(),
            row.worker.as_ref().map(|worker| worker.id.to_string()).unwrap_or_default(),
            from(|p| &p.host),
            from(|p| &p.device),
            from(|p| &p.model),
            row.worker.as_ref().and_then(|worker| worker.threads).map(|n| n.to_string()).unwrap_or_default(),
            from(|p| &p.software),
            from(|p| &p.libtorch),
            row.worker.as_ref().and_then(|worker| worker.cuda.as_ref()).map(|text| text_cell(text)).unwrap_or_default(),
            row.dataset_digest.clone().unwrap_or_default(),
            // A trial that succeeded in the end has no error, whatever became of its earlier attempts.
            row.error.as_ref().filter(|_| row.outcome.is_none()).map(|text| text_cell(text)).unwrap_or_default(),
        ];
        let variant = variants.of(spec);
        let before = [row.id.to_string(), row.state.to_string()];
        csv.write_record(before.into_iter().chain(axes(names, spec)).chain(variant).chain(outcome))?;
    }
    Ok(csv.flush()?)
}

/// One line per trial: all its settings, resolved, what it came to, and where that comes from.
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
            "settings": spec,
            "outcome": row.outcome,
            "worker": worker,
            "dataset_digest": row.dataset_digest,
        });
        writeln!(file, "{line}")?;
    }
    Ok(())
}

fn curves_csv(file: impl Write, sources: &Sources) -> anyhow::Result<()> {
    let (names, variants) = (names(&sources.trials), Variants::among(&sources.trials));
    let specs: HashMap<_, _> =
        sources.trials.iter().map(|(spec, row)| (row.id, (axes(names, spec), variants.of(spec)))).collect();
    let mut csv = csv::Writer::from_writer(file);
    let header = ["trial"].into_iter().chain(AXES).chain(variants.header());
    csv.write_record(header.chain(["metric", "step", "value"]))?;
    sources.points(|row| {
        let point = [row.metric, row.step.to_string(), row.value.to_string()];
        if let Some((axes, variant)) = specs.get(&row.id) {
            csv.write_record([row.id.to_string()].iter().chain(axes).chain(variant).chain(&point))?;
        }
        Ok(())
    })?;
    Ok(csv.flush()?)
}

fn summary_csv(file: impl Write, summary: &Summary) -> anyhow::Result<()> {
    let mut csv = csv::Writer::from_writer(file);
    let mut header: Vec<String> = SETTINGS.iter().map(ToString::to_string).collect();
    let variants = comparisons::has_variants(summary);
    header.extend(variants.then(|| "variant".to_owned()));
    header.extend(["planned", "succeeded", "quarantined", "complete"].map(str::to_owned));
    for of in ["final_test_accuracy", "best_test_accuracy", "validated_test_accuracy", "gain_over_none"] {
        header.extend(["n", "mean", "standard_deviation", "confidence_95"].map(|part| format!("{of}_{part}")));
    }
    header.extend(["classifier_seconds", "vae_seconds", "selection"].map(str::to_owned));
    csv.write_record(&header)?;
    for cell in &summary.cells {
        let selection = [summary.selection.name().to_owned()];
        let variant = variants.then(|| cell.variant());
        let settings = cell.settings();
        csv.write_record(settings.iter().chain(&variant).chain(&summary_record(cell)).chain(&selection))?;
    }
    Ok(csv.flush()?)
}

/// All but the settings.
fn summary_record(cell: &Cell) -> Vec<String> {
    let maybe = |value: Option<f64>| value.map(|value| value.to_string()).unwrap_or_default();
    let mut record = [cell.planned, cell.succeeded, cell.quarantined].map(|count| count.to_string()).to_vec();
    record.push(cell.complete().to_string());
    let accuracies = [cell.final_test_accuracy, cell.best_test_accuracy, cell.validated_test_accuracy];
    for estimate in accuracies.into_iter().chain([cell.gain_over_none]) {
        let Estimate { n, mean, standard_deviation, confidence_95 } =
            estimate.unwrap_or(Estimate { n: 0, mean: f64::NAN, standard_deviation: None, confidence_95: None });
        let mean = (n > 0).then_some(mean);
        record.extend([n.to_string(), maybe(mean), maybe(standard_deviation), maybe(confidence_95)]);
    }
    record.extend([maybe(cell.classifier_seconds), maybe(cell.vae_seconds)]);
    record
}

#[cfg(test)]
mod tests {
    use super::{super::summary::tests::example, *};

    #[test]
    fn what_workers_say_is_no_formula() {
        let (mut trials, _) = example();
        for (_, row) in &mut trials {
            row.error = Some("-1+1".to_owned());
            row.worker.iter_mut().for_each(|worker| worker.host = "=cmd|'/C calc'!A0".to_owned());
        }
        let mut file = Vec::new();
        trials_csv(&mut file, &trials).unwrap();
        let text = String::from_utf8(file).unwrap();
        assert!(text.contains(",'=cmd") && text.contains(",'-1+1"), "{text}");
        assert!(!text.contains(",=cmd") && !text.contains(",-1+1"), "{text}");
    }

    #[test]
    fn csv_files() {
        let (trials, summary) = example();
        let (mut file, mut other) = (Vec::new(), Vec::new());
        trials_csv(&mut file, &trials).unwrap();
        insta::assert_snapshot!("trials", String::from_utf8(file).unwrap());
        let mut lines = Vec::new();
        trials_jsonl(&mut lines, &trials[..1]).unwrap();
        let line: serde_json::Value = serde_json::from_slice(&lines).unwrap();
        insta::assert_snapshot!("trial", serde_json::to_string_pretty(&line).unwrap());
        summary_csv(&mut other, &summary).unwrap();
        insta::assert_snapshot!("summary", String::from_utf8(other).unwrap());
    }
}
