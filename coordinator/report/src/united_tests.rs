//! Reports of several runs, and the selections, names and claims of grids.

use std::{fs, path::Path};

use swfn_shared::{
    grid::{DEFAULT_MAX_TRIALS, Grid},
    metrics::Outcome,
    state::TrialState,
    trial::TrialSpec,
};
use swfn_store::TrialRow;

use crate::{
    command::write_without_charts,
    numbers::{
        source::{Sources, open},
        summary::Summary,
        summary_tests::finished,
    },
    sample,
    views::charts::Theme,
};

const AXES: &str =
    "subset_size = 100\nseed = { count = 4 }\narchitecture = \"net\"\nlambda = [0, 0.1]";

/// Makes runs of these grids, and returns their report in Markdown from `out`.
fn report(dir: &Path, grids: &[&str]) -> String {
    let folder = |number: usize| dir.join(format!("run-{number}"));
    let runs: Vec<_> = (0..grids.len()).map(folder).collect();
    for (run, grid) in runs.iter().zip(grids) {
        sample::run(run, grid, |_, _| Some(Ok(())));
    }
    let out = dir.join("out");
    fs::create_dir(&out).unwrap();
    write_without_charts(&Sources::new(open(&runs).unwrap()).unwrap(), &out).unwrap();
    fs::read_to_string(out.join("report.md")).unwrap()
}

fn with_images(axes: &str) -> String {
    sample::grid(axes).replace("\"mnist\"", "\"mnist\"\nvalidation = 100")
}

#[test]
fn cells_that_differ_in_no_axis_stay_distinct() {
    let dir = tempfile::tempdir().unwrap();
    let short = sample::grid(AXES) + "[classifier]\niterations = 500\nevaluate_every = 100\n";
    let fashion = sample::grid(AXES).replace("\"mnist\"", "\"fashion-mnist\"");
    let markdown = report(dir.path(), &[&sample::grid(AXES), &short, &with_images(AXES), &fashion]);
    assert!(markdown.starts_with("# sample on fashion-mnist and mnist\n"), "{markdown}");
    for conflict in [
        "\\[data\\] validation: 0 in",
        "\\[classifier\\] iterations: 10000 in",
        "\\[data\\] dataset",
    ] {
        assert!(
            markdown.contains(&format!("The runs differ in {conflict}")),
            "{conflict}: {markdown}"
        );
    }
    let row = |variant: &str| format!("| net | fn 0.1 | {variant} | 100 | 4 |");
    let variant = "evaluate every 100, iterations 500, mnist, 0 validation images";
    assert!(markdown.contains(&row(variant)), "{markdown}");
    assert!(
        markdown.contains(&format!("| n = 100, net, {variant} | fn 0.1 | none |")),
        "{markdown}"
    );
    for (file, before) in [
        ("trials.csv", "label_smoothing,variant,final_"),
        ("summary.csv", "label_smoothing,variant,planned"),
    ] {
        let text = fs::read_to_string(dir.path().join("out").join(file)).unwrap();
        assert!(text.lines().next().unwrap().contains(before), "{text}");
        let fields = text.lines().map(|line| {
            csv::ReaderBuilder::new()
                .has_headers(false)
                .from_reader(line.as_bytes())
                .records()
                .next()
                .unwrap()
                .unwrap()
                .len()
        });
        let fields: Vec<usize> = fields.collect();
        assert!(fields.iter().all(|count| *count == fields[0]), "{fields:?}");
        assert_eq!(
            text.matches("iterations 500").count(),
            if file == "trials.csv" { 8 } else { 2 }
        );
    }
}

#[test]
fn a_grid_older_than_epochs_keeps_its_meaning() {
    let dir = tempfile::tempdir().unwrap();
    let run = dir.path().join("run");
    let old = sample::grid(AXES) + "[classifier]\nevaluate_every = 500\n";
    sample::run(&run, &format!("{old}epochs = \"restart\"\nrestart_every = 500\n"), |_, _| {
        Some(Ok(()))
    });
    fs::write(run.join("grid.toml"), &old).unwrap();
    write_without_charts(&Sources::new(open(&[run]).unwrap()).unwrap(), dir.path()).unwrap();
    let markdown = fs::read_to_string(dir.path().join("report.md")).unwrap();
    assert!(markdown.contains(r"| \[classifier\] restart_every | 500 |"), "{markdown}");
    assert!(markdown.contains("8 of 8 trials done"), "{markdown}");
}

#[test]
fn runs_without_the_function_norm_do_not_conflict() {
    let dir = tempfile::tempdir().unwrap();
    let [with, without] =
        ["[0, 0.1]", "0"].map(|lambda| sample::grid(&AXES.replace("[0, 0.1]", lambda)));
    let markdown = report(dir.path(), &[&with, &without]);
    assert!(!markdown.contains("The runs differ"), "{markdown}");
    assert!(!markdown.contains("variant"), "{markdown}");
}

#[test]
fn runs_that_select_differently_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let validated = with_images(AXES) + "[select]\nby = \"validation\"\n";
    let markdown = report(dir.path(), &[&validated, &sample::grid(AXES)]);
    let [one, other] = ["run-0", "run-1"].map(|run| dir.path().join(run).display().to_string());
    assert!(
        markdown.contains(&format!(
            "select different evaluations: validation in {one}, final in {other}."
        )),
        "{markdown}"
    );
    assert!(
        markdown.contains("8 of the 16 trials that are done have no accuracy by validation"),
        "{markdown}"
    );
}

#[test]
fn all_views_name_the_evaluation_that_counts() {
    let claim =
        "[[claim]]\ntext = \"it helps\"\nlambda = 0.1\nagainst = { lambda = 0 }\nis = \"better\"\n";
    let run = |selection: &str, grid: String| {
        let dir = tempfile::tempdir().unwrap();
        let markdown =
            report(dir.path(), &[&format!("{grid}[select]\nby = \"{selection}\"\n{claim}")]);
        let sources = Sources::new(open(&[dir.path().join("run-0")]).unwrap()).unwrap();
        let figures = write_without_charts(&sources, &dir.path().join("out")).unwrap();
        let chart = |name: &str| {
            figures.iter().find(|figure| figure.name == name).unwrap().svg(Theme::Light).unwrap()
        };
        let summary = fs::read_to_string(dir.path().join("out/summary.json")).unwrap();
        let summary: serde_json::Value = serde_json::from_str(&summary).unwrap();
        let mean = |of: &str| summary["cells"][1][of]["mean"].as_f64().unwrap();
        let counts = mean("test_accuracy") - mean("final_test_accuracy");
        (markdown, ["seeds", "differences"].map(chart), counts)
    };
    let (markdown, charts, counts) = run("validation", with_images(AXES));
    assert!(
        markdown.contains("validated test accuracy %") && !markdown.contains("CHOSEN ON"),
        "{markdown}"
    );
    assert!(charts.iter().all(|chart| chart.contains("validated test accuracy")));
    assert!((counts + 0.002).abs() < 1e-9, "{counts}");
    let (markdown, charts, counts) = run("best", sample::grid(AXES));
    assert!(charts.iter().all(|chart| chart.contains("best accuracy (chosen on test images)")));
    assert!((counts - 0.001).abs() < 1e-9, "{counts}");
    let synthesis = markdown.lines().find(|line| line.contains("of 1 comparison ")).unwrap();
    assert!(synthesis.contains("CHOSEN ON THE TEST IMAGES"), "{synthesis}");
    let caption = markdown.lines().find(|line| line.starts_with("Held: for all pairs")).unwrap();
    assert!(caption.contains("CHOSEN ON THE TEST IMAGES"), "{caption}");
}

fn parse(text: &str) -> Grid {
    Grid::parse("t", text, DEFAULT_MAX_TRIALS).unwrap()
}

fn trials(grid: &Grid) -> Vec<(TrialSpec, TrialRow)> {
    let row = |spec: TrialSpec| {
        let accuracy = 0.8 + 0.01 * ((spec.seed * 7 % 5) as f64) * (1.0 + 10.0 * spec.lambda());
        let outcome = Some(Outcome {
            final_test_accuracy: accuracy,
            best_test_accuracy: accuracy,
            final_test_loss: 0.5,
            vae_seconds: 0.0,
            classifier_seconds: 1.0,
            validation_accuracy: None,
            validated_test_accuracy: None,
        });
        let (error, log, worker, dataset_digest) = (None, None, None, None);
        let (id, state) = (spec.id(), TrialState::Succeeded);
        (spec, TrialRow { id, state, attempts: 1, error, log, worker, outcome, dataset_digest })
    };
    grid.trials().map(row).collect()
}

#[test]
fn two_grids_count_claims_and_comparisons_once() {
    let asked = |name: &str| {
        parse(&format!(
            "{}[[claim]]\ntext = \"it helps\"\nlambda = 0.1\nagainst = {{ lambda = 0 }}\nis = \"better\"\n\
             [[compare]]\nname = \"{name}\"\nlambda = 0.1\nagainst = {{ lambda = 0 }}\n",
            sample::grid(AXES)
        ))
    };
    let (one, other) = (asked("one"), asked("other"));
    let summary = Summary::united(&[&one, &other], &trials(&one));
    let [claim] = &summary.claims[..] else { panic!("{:?}", summary.claims) };
    assert!(claim.checks[0].p.is_some() && claim.checks[0].p == claim.checks[0].p_holm);
    let [comparison] = &summary.comparisons[..] else { panic!("{:?}", summary.comparisons) };
    assert_eq!((comparison.name.as_deref(), comparison.t_p), (Some("one"), comparison.t_p_holm));
    assert_eq!((summary.answer.synthesis.family, summary.answer.synthesis.claim_family), (1, 1));
}

/// Every trial has a regulariser beside the function norm, so none is without any; they are
/// compared all the same.
#[test]
fn networks_with_a_fixed_regulariser_have_an_answer() {
    let accuracy = |spec: &TrialSpec| Some(0.8 + 0.01 * (spec.seed as f64) * (1.0 + spec.lambda()));
    let dropout = finished(&sample::grid(&AXES.replace("\"net\"", "\"net+dropout\"")), accuracy);
    let decay = finished(&(sample::grid(AXES) + "weight_decay = 5e-4\n"), accuracy);
    for (summary, treatment, control) in
        [(dropout, "dropout + fn 0.1", "dropout"), (decay, "fn 0.1 + wd 5e-4", "wd 5e-4")]
    {
        let [comparison] = &summary.comparisons[..] else { panic!("{:?}", summary.comparisons) };
        assert_eq!(
            (comparison.treatment.as_str(), comparison.control.as_str()),
            (treatment, control)
        );
        assert_eq!(summary.answer.synthesis.comparisons, 1);
    }
}

#[test]
fn similar_lambdas_have_lines_of_their_own() {
    let labels = |lambdas: &str| -> Vec<String> {
        let grid = parse(&sample::grid(&AXES.replace("[0, 0.1]", lambdas)));
        Summary::united(&[&grid], &trials(&grid))
            .treatments()
            .iter()
            .map(|treatment| treatment.name.clone())
            .collect()
    };
    assert_eq!(labels("[0.10001, 0.10002]"), ["fn 0.10001", "fn 0.10002"]);
    assert_eq!(labels("[0.10001, 0.2]"), ["fn 0.1", "fn 0.2"]);
}
