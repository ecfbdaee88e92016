//! A real MLflow server gets the trials of a sweep, once.

use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
    os::unix::process::CommandExt as _,
    path::Path,
    process::Command,
    time::Duration,
};

use nix::{
    sys::signal::{Signal, killpg},
    unistd::Pid,
};
use serde_json::Value;
use swfn_tests::{
    images, ports,
    process::{Process, wait_until},
    python::{python, script},
};

use super::{diverging_sweep, export, start_export};

/// A server with its children. Dropping it ends them all.
struct Server {
    process: Process,
    url: String,
}

impl Server {
    fn start(python: &Path, folder: &Path) -> Self {
        let address = ports::address();
        let (host, port) = address.split_once(':').unwrap();
        let mut command = Command::new(python);
        command
            .args([
                "-B",
                "-m",
                "mlflow",
                "server",
                "--host",
                host,
                "--workers",
                "1",
                "--port",
                port,
            ])
            .arg("--backend-store-uri")
            .arg(format!("sqlite:///{}", folder.join("mlflow.db").display()))
            .arg("--artifacts-destination")
            .arg(folder.join("mlflow-artifacts"))
            .envs([
                ("MLFLOW_DISABLE_TELEMETRY", "true"),
                ("DO_NOT_TRACK", "true"),
                ("MLFLOW_SERVER_ENABLE_JOB_EXECUTION", "false"),
            ])
            .current_dir(folder)
            // Its workers are separate processes, and end with the group.
            .process_group(0);
        let server = Self {
            process: Process::start(&mut command, folder, "mlflow"),
            url: format!("http://{address}"),
        };
        let healthy = || {
            let mut stream = TcpStream::connect(server.url.trim_start_matches("http://")).ok()?;
            stream.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
            stream.write_all(b"GET /health HTTP/1.0\r\nHost: 127.0.0.1\r\n\r\n").ok()?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer).ok()?;
            answer.contains(" 200 ").then_some(())
        };
        wait_until("the MLflow server", healthy);
        server
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let group = Pid::from_raw(i32::try_from(self.process.id()).unwrap());
        killpg(group, Signal::SIGKILL).ok();
    }
}

#[test]
fn repeated_uploads_make_one_run_per_trial() {
    let Some(python) = python() else { return };
    let sweep = diverging_sweep(1, 100);
    assert_eq!(sweep.coordinator("first", &["--local-workers", "2"]).wait(), Some(3));
    let server = Server::start(python, sweep.folder());
    let runs = || -> Vec<Value> {
        script(python, "mlflow_runs.py", &[&server.url, "exported"]).as_array().unwrap().clone()
    };
    let arguments = ["--mlflow", server.url.as_str()];
    let output = export(&sweep, "once", &arguments);
    assert!(output.ends_with("3 new runs, 0 updated, 0 unchanged\n"), "{output}");
    let first = runs();
    assert_eq!(first.len(), 3);
    let output = export(&sweep, "twice", &arguments);
    assert!(output.ends_with("0 new runs, 0 updated, 3 unchanged\n"), "{output}");
    assert_eq!(runs(), first, "nothing has changed");

    // The study grows, and the failed trials are retried.
    let more = std::fs::read_to_string(sweep.grid()).unwrap().replace("count = 1", "count = 2");
    std::fs::write(sweep.grid(), more).unwrap();
    let mut command = sweep.command("swfn-coordinator");
    command
        .args(["retry", "--diverged", "--report", "tables", "--local-workers", "2", "--grid"])
        .arg(sweep.grid());
    command.arg("--run-dir").arg(sweep.run_dir()).arg("--data-dir").arg(images::few());
    assert_eq!(sweep.start(&mut command, "more").wait(), Some(3));
    let output = export(&sweep, "more-exported", &arguments);
    assert!(output.ends_with("4 new runs, 0 updated, 2 unchanged\n"), "{output}");
    let all = runs();
    let (live, deleted): (Vec<_>, Vec<_>) = all.iter().partition(|run| run["stage"] == "active");
    assert_eq!(
        (live.len(), deleted.len()),
        (6, 1),
        "the run of the attempt that does not count is deleted"
    );
    let trials = sweep.csv("trials.csv");
    let curves = sweep.csv("curves.csv");
    for trial in &trials {
        let of: Vec<_> = live
            .iter()
            .filter(|run| run["tags"]["swfn.trial"] == trial["trial"].as_str())
            .collect();
        let [run] = of[..] else { panic!("{} runs of one trial", of.len()) };
        for axis in ["architecture", "subset_size", "seed", "density"] {
            assert_eq!(run["params"][axis], trial[axis].as_str(), "{axis}");
        }
        assert_eq!(run["params"]["classifier.iterations"], "100");
        assert!(run["name"].as_str().unwrap().ends_with(&trial["trial"][..8]));
        assert!(run["end"].as_i64().unwrap() >= run["start"].as_i64().unwrap());
        if trial["state"] == "quarantined" {
            assert_eq!(run["status"], "FAILED");
            assert!(run["tags"]["swfn.error"].as_str().unwrap().contains("diverged"));
            continue;
        }
        assert_eq!(
            (&run["status"], &run["tags"]["swfn.device"]),
            (&"FINISHED".into(), &"cpu".into())
        );
        let accuracy: f64 = trial["final_test_accuracy"].parse().unwrap();
        assert_eq!(run["curves"]["final_test_accuracy"], serde_json::json!([[0, accuracy]]));
        for metric in ["train/loss", "test/accuracy", "test/loss"] {
            let of = curves
                .iter()
                .filter(|point| point["trial"] == trial["trial"] && point["metric"] == metric);
            let points: Vec<(i64, f64)> =
                of.map(|p| (p["step"].parse().unwrap(), p["value"].parse().unwrap())).collect();
            assert!(!points.is_empty());
            assert_eq!(run["curves"][metric], serde_json::json!(points), "{metric}");
        }
    }
    // The upload recognises a server that is not MLflow.
    let mut wrong =
        start_export(&sweep, "wrong", &["--mlflow", &format!("{}/nowhere", server.url)]);
    assert_eq!(wrong.wait(), Some(1));
    assert!(wrong.stderr().contains("hint: is this an MLflow server?"), "{}", wrong.stderr());
}
