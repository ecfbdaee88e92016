//! The API shows while a sweep runs what its files contain at the end.

use std::{collections::BTreeMap, fs};

use nix::sys::signal::Signal;
use serde_json::Value;
use swfn_tests::{
    page::{ask, json},
    process::wait_until,
    sweep::Sweep,
};

use super::{AXES, DOORS};

fn items(value: &Value) -> &Vec<Value> {
    value["items"].as_array().expect("a list has items")
}

fn number(text: &str) -> f64 {
    text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
}

#[test]
fn the_api_agrees_with_the_files() {
    let sweep = Sweep::new(AXES, 60).slowed(300);
    let mut coordinator = sweep.coordinator("coordinator", &DOORS);
    let page = sweep.dashboard(&coordinator);
    assert_eq!(ask(&page, "/readyz", &[]).body, "ready\n");
    let mut worker =
        sweep.worker("worker", &sweep.address(&coordinator), &["--exit-when-idle", "1"]);
    let mut seen_running = false;
    wait_until("the end of the sweep", || {
        let state = json(&page, "/api/v1/sweep");
        let count = |name: &str| state["trials"][name].as_u64().expect("a count");
        assert_eq!(
            count("total"),
            count("pending") + count("leased") + count("succeeded") + count("quarantined")
        );
        seen_running |= count("leased") == 1 && state["connected_workers"] == 1;
        (state["finished"] == true).then_some(())
    });
    assert!(seen_running);
    let trials = json(&page, "/api/v1/trials");
    let cells = json(&page, "/api/v1/cells");
    let mut points = BTreeMap::new();
    for trial in items(&trials) {
        let id = trial["id"].as_str().expect("an id");
        let details = json(&page, &format!("/api/v1/trials/{id}"));
        assert_eq!(
            (&details["state"], &details["settings"]["seed"]),
            (&"succeeded".into(), &trial["seed"])
        );
        for point in items(&json(&page, &format!("/api/v1/trials/{id}/points"))) {
            let key = (
                id.to_owned(),
                point["metric"].as_str().expect("a name").to_owned(),
                point["step"].to_string(),
            );
            assert!(
                points.insert(key, point["value"].as_f64().expect("a number")).is_none(),
                "{point}"
            );
        }
    }
    let workers = json(&page, "/api/v1/workers");
    assert_eq!((&workers["total"], &workers["items"][0]["succeeded"]), (&1.into(), &8.into()));
    let metrics = ask(&page, "/metrics", &[]).body;
    for line in [
        "swfn_trials{state=\"succeeded\"} 8",
        "swfn_results_total 8",
        "swfn_leases_ended_total{how=\"succeeded\"} 8",
    ] {
        assert!(metrics.contains(line), "{line} is not in\n{metrics}");
    }
    assert!(metrics.contains(&format!("swfn_points_total {}", points.len())), "{metrics}");
    worker.succeed();
    coordinator.signal(Signal::SIGTERM);
    coordinator.succeed();

    let rows = sweep.csv("trials.csv");
    assert_eq!((rows.len(), items(&trials).len()), (8, 8));
    for (row, trial) in rows.iter().zip(items(&trials)) {
        assert_eq!(
            (&row["trial"], &row["state"]),
            (&trial["id"].as_str().unwrap().to_owned(), &"succeeded".to_owned())
        );
        for key in ["architecture", "worker"] {
            assert_eq!(row[key], trial[key].as_str().unwrap(), "{key}");
        }
        for key in ["final_test_accuracy", "best_test_accuracy", "final_test_loss"] {
            assert!(
                (number(&row[key]) - trial["outcome"][key].as_f64().unwrap()).abs() < 1e-14,
                "{key}"
            );
        }
        for key in ["lambda", "seed", "subset_size", "attempts", "weight_decay"] {
            assert_eq!(number(&row[key]), trial[key].as_f64().unwrap(), "{key}");
        }
    }
    let curves: BTreeMap<_, _> = sweep
        .csv("curves.csv")
        .into_iter()
        .map(|row| {
            (
                (row["trial"].clone(), row["metric"].clone(), row["step"].clone()),
                number(&row["value"]),
            )
        })
        .collect();
    assert!(curves.len() > 16, "{} points", curves.len());
    assert!(points.keys().eq(curves.keys()), "{points:?} {curves:?}");
    // The JSON reader of this test may be wrong in the last bit.
    let close = |(a, b): (&f64, &f64)| (a - b).abs() <= 1e-15 * a.abs().max(b.abs());
    assert!(points.values().zip(curves.values()).all(close), "{points:?} {curves:?}");
    let summary: Value =
        serde_json::from_str(&fs::read_to_string(sweep.run_dir().join("summary.json")).unwrap())
            .unwrap();
    let mut printed = cells["items"].clone();
    for cell in printed.as_array_mut().expect("a list") {
        let cell = cell.as_object_mut().expect("a cell");
        // Other requests use these names of the cell.
        assert!(cell.remove("id").is_some() && cell.remove("axes").is_some());
    }
    assert_eq!(summary["cells"], printed);
    // The test has closed the database before the coordinator did, which then removed the log.
    assert!(!sweep.run_dir().join("sweep.sqlite-wal").exists());
}

#[test]
fn only_a_named_port_must_be_free() {
    let sweeps = [Sweep::new(AXES, 60), Sweep::new(AXES, 60)];
    let started: Vec<_> = sweeps
        .iter()
        .map(|sweep| sweep.coordinator("coordinator", &["--listen", "127.0.0.1:0"]))
        .collect();
    let pages: Vec<_> = sweeps
        .iter()
        .zip(&started)
        .map(|(sweep, coordinator)| sweep.dashboard(coordinator))
        .collect();
    assert_ne!(pages[0], pages[1]);
    assert!(started.iter().any(|coordinator| {
        coordinator.stderr().contains("port 7078 is taken, so the dashboard is on port")
    }));
    for page in &pages {
        assert_eq!(ask(page, "/healthz", &[]).status, 200);
    }
    let third = Sweep::new(AXES, 60);
    let mut refused =
        third.coordinator("coordinator", &["--listen", "127.0.0.1:0", "--http", &pages[0]]);
    assert_eq!(refused.wait(), Some(1));
    let output = refused.stderr();
    assert!(
        output.contains(&format!("cannot listen on `{}`", pages[0]))
            && output.contains("hint: ")
            && output.contains("--http"),
        "{output}"
    );
    let off = third.coordinator("off", &["--listen", "127.0.0.1:0", "--http", "off"]);
    third.address(&off);
    assert!(!off.stderr().contains("dashboard"), "{}", off.stderr());
}
