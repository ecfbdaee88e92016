//! TensorBoard reads event files that were written while a sweep ran.

use std::{collections::BTreeMap, fs};

use nix::sys::signal::Signal;
use swfn_tests::{
    process::{children, send, wait_until},
    python::{python, script},
    sweep::Sweep,
};

use super::export;

/// Curves by trial, metric and step.
type Curves = BTreeMap<(String, String), Vec<(i64, f32)>>;

#[test]
fn tensorboard_shows_curves_and_compares_cells() {
    let Some(python) = python() else { return };
    let axes = "seed = { count = 2 }\nsubset_size = 60\narchitecture = \"net\"\nlambda = [0, 0.1]";
    let sweep = Sweep::new(axes, 300).evaluated_every(30).slowed(300);
    let mut coordinator =
        sweep.coordinator("coordinator", &["--local-workers", "1", "--tensorboard"]);
    let root = sweep.run_dir().join("tensorboard");
    let files = || -> Vec<_> {
        let folders = fs::read_dir(&root)
            .into_iter()
            .flatten()
            .flatten()
            .filter(|entry| entry.path().is_dir());
        folders
            .flat_map(|folder| fs::read_dir(folder.path()).unwrap().flatten())
            .map(|file| file.path())
            .collect()
    };
    // A running trial has a curve; then its worker is killed, and the trial begins anew.
    wait_until("a curve", || {
        files()
            .iter()
            .any(|path| fs::metadata(path).is_ok_and(|file| file.len() > 1000))
            .then_some(())
    });
    let supervisor = children(coordinator.id())[0];
    children(supervisor).into_iter().for_each(|worker| send(worker, Signal::SIGKILL));
    coordinator.succeed();
    let lost = sweep.query("SELECT count(*) FROM event WHERE kind = 'lost'").unwrap();
    assert!(lost >= 1, "the worker was killed in the middle of a trial");
    assert_eq!(files().len(), 4, "one file a trial: {:?}", files());

    let mut expected = Curves::new();
    for point in sweep.csv("curves.csv") {
        let curve =
            expected.entry((point["trial"][..8].to_owned(), point["metric"].clone())).or_default();
        curve.push((point["step"].parse().unwrap(), point["value"].parse::<f64>().unwrap() as f32));
    }
    assert!(expected.len() >= 14, "{:?}", expected.keys());
    let once = sweep.folder().join("once");
    export(&sweep, "once", &["--format", "tensorboard", "--out", once.to_str().unwrap()]);
    for root in [root, once.join("tensorboard")] {
        let read = script(python, "tensorboard_files.py", &[root.to_str().unwrap()]);
        let mut curves = Curves::new();
        for (run, tags) in read["runs"].as_object().unwrap() {
            let trial = run.rsplit('_').next().unwrap();
            for (tag, points) in tags.as_object().unwrap() {
                let point = |point: &serde_json::Value| {
                    (point[0].as_i64().unwrap(), point[1].as_f64().unwrap() as f32)
                };
                let points = points.as_array().unwrap().iter().map(point).collect();
                curves.insert((trial.to_owned(), tag.clone()), points);
            }
        }
        assert_eq!(curves, expected);
        // Two seeds are one group, whose metrics are their mean.
        let groups = read["groups"].as_array().unwrap();
        assert_eq!(groups.len(), 2);
        for group in groups {
            assert_eq!(group["sessions"].as_array().unwrap().len(), 2);
            assert_eq!(group["statuses"], serde_json::json!(["STATUS_SUCCESS", "STATUS_SUCCESS"]));
            let settings = &group["hparams"];
            // A constant setting has no column.
            let mut names: Vec<&String> = settings.as_object().unwrap().keys().collect();
            names.sort();
            assert_eq!(names, ["lambda", "regulariser"]);
            let lambda = settings["lambda"].as_f64().unwrap().to_string();
            assert_eq!(settings["regulariser"], if lambda == "0" { "none" } else { "fn 0.1" });
            let of_cell =
                sweep.csv("trials.csv").into_iter().filter(|trial| trial["lambda"] == lambda);
            let accuracies: Vec<f64> =
                of_cell.map(|trial| trial["final_test_accuracy"].parse().unwrap()).collect();
            let mean = accuracies.iter().sum::<f64>() / 2.0;
            assert!(
                (group["metrics"]["test/accuracy"].as_f64().unwrap() - mean).abs() < 1e-6,
                "{group}"
            );
        }
        assert_eq!(read["metrics"][0], "test/accuracy");
        assert!(
            read["hparams"].as_array().unwrap().contains(&"lambda".into()),
            "{}",
            read["hparams"]
        );
    }
}
