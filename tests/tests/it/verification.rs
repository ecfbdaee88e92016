//! `[run] verify`: trials that are trained a second time, elsewhere, must have the same result.

use std::fs;

use nix::sys::signal::Signal;
use serde_json::Value;
use swfn_tests::{
    permit,
    process::{send, wait_until},
    sweep::{self, Sweep},
};

const AXES: &str =
    "seed = { count = 3 }\nsubset_size = 40\narchitecture = \"net\"\nlambda = [0, 0.1]";

/// Makes a sweep of six trials, with that line in `[run]`.
fn sweep(more: &str) -> Sweep {
    Sweep::with_grid(&sweep::grid(AXES, 20, more)).on(swfn_tests::images::few())
}

fn summary(sweep: &Sweep) -> Value {
    serde_json::from_str(&fs::read_to_string(sweep.run_dir().join("summary.json")).unwrap())
        .unwrap()
}

#[test]
fn a_verified_trial_is_trained_exactly_twice() {
    let _permit = permit::to_compute();
    let sweep = sweep("verify = 2");
    let mut first = sweep.coordinator("first", &["--local-workers", "2"]);
    first.succeed();
    let output = first.stderr();
    assert!(
        output.contains("2 trials were trained a second time, and 2 had the same result."),
        "{output}"
    );
    let verification = &summary(&sweep)["verification"];
    assert_eq!(
        (&verification["drawn"], &verification["identical"]),
        (&2.into(), &2.into()),
        "{verification}"
    );
    assert_eq!(sweep.csv("trials.csv").len(), 6);
    let events = || -> i64 {
        let database = sweep::database(&sweep.run_dir().join("verification")).unwrap();
        database.query_row("SELECT count(*) FROM event", [], |row| row.get(0)).unwrap()
    };
    let before = events();
    sweep.coordinator("again", &["--local-workers", "2"]).succeed();
    assert_eq!(events(), before, "nothing was trained");
    assert_eq!(summary(&sweep)["verification"]["identical"], 2);
}

#[test]
fn differing_devices_are_both_named() {
    let _permit = permit::to_compute();
    let sweep = sweep("verify = 6");
    let mut coordinator =
        sweep.coordinator("coordinator", &["--local-workers", "1", "--listen", "127.0.0.1:0"]);
    let address = sweep.address(&coordinator);
    let mut broken = sweep.worker_command(&address, &[]);
    let mut broken = sweep.start(broken.env("SWFN_BUG", "a-device-computes-wrongly"), "broken");
    assert_eq!(coordinator.wait(), Some(4), "{}", coordinator.stderr());
    broken.wait();
    let disagreements =
        summary(&sweep)["verification"]["disagreements"].as_array().unwrap().clone();
    assert!(!disagreements.is_empty());
    let output = coordinator.stderr();
    for disagreement in &disagreements {
        let workers: Vec<_> =
            disagreement["workers"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
        assert_eq!(
            workers.iter().filter(|worker| worker.starts_with(".local:")).count(),
            1,
            "{workers:?}"
        );
        assert!(workers.iter().all(|worker| output.contains(worker)), "{output}");
    }
    let run_dir = sweep.run_dir().display().to_string();
    sweep.bare_coordinator("report", &["report", &run_dir]).succeed();
    let report = fs::read_to_string(sweep.run_dir().join("report.md")).unwrap();
    assert!(report.contains("Results disagree"), "{report}");
}

#[test]
fn verification_survives_a_killed_coordinator() {
    let _permit = permit::to_compute();
    let sweep = sweep("verify = 6").slowed(20);
    let mut first = sweep.coordinator("first", &["--local-workers", "2"]);
    let database = sweep.run_dir().join("verification");
    let results = || -> Option<i64> {
        let database = sweep::database(&database).ok()?;
        database.query_row("SELECT count(*) FROM result", [], |row| row.get(0)).ok()
    };
    wait_until("some are trained again", || results().filter(|count| *count > 0));
    send(first.id(), Signal::SIGKILL);
    first.wait();
    let mut second = sweep.coordinator("second", &["--local-workers", "2"]);
    second.succeed();
    assert_eq!(summary(&sweep)["verification"]["identical"], 6, "{}", second.stderr());
    assert_eq!(results(), Some(6));
}
