//! `swfn-coordinator view`: the page of a finished run, and of one that another process runs.

use std::{collections::BTreeSet, fs, path::Path};

use nix::sys::signal::Signal;
use swfn_tests::{
    page::{ask, json},
    process::{Process, wait_until},
    sweep::Sweep,
};

use super::AXES;

pub(super) fn view(sweep: &Sweep, name: &str, options: &[&str]) -> Process {
    let run_dir = sweep.run_dir().display().to_string();
    sweep.bare_coordinator(
        name,
        &[&["view", run_dir.as_str(), "--http", "127.0.0.1:0"], options].concat(),
    )
}

/// Waits for the page's address.
pub(super) fn page_address(view: &Process) -> String {
    wait_until("the page's address", || {
        let output = view.stderr();
        let (_, address) = output.split_once("http://")?;
        address.split_once([' ', '\n']).map(|(address, _)| address.to_owned())
    })
}

fn names(folder: &Path) -> BTreeSet<String> {
    let entries = fs::read_dir(folder).expect("a folder").flatten();
    entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}

#[test]
fn view_follows_running_sweeps_and_keeps_finished_ones() {
    let sweep = Sweep::new(AXES, 60).slowed(50);
    let mut coordinator =
        sweep.coordinator("coordinator", &["--local-workers", "1", "--http", "off"]);
    wait_until("a running sweep", || (sweep.succeeded() > 0).then_some(()));
    let mut beside = view(&sweep, "beside", &[]);
    let page = page_address(&beside);
    let state = json(&page, "/api/v1/sweep");
    assert_eq!(
        (&state["live"], &state["connected_workers"], &state["remaining_seconds"]),
        (&false.into(), &().into(), &().into())
    );
    wait_until("what the other process has done", || {
        (json(&page, "/api/v1/sweep")["trials"]["succeeded"] == 8).then_some(())
    });
    coordinator.succeed();
    assert!(
        !names(&sweep.run_dir()).contains("sweep.sqlite-wal"),
        "who looked on did not keep it from tidying up"
    );
    // The page also shows seeds that are added while it is open.
    let grid = fs::read_to_string(sweep.grid()).unwrap().replace("count = 2", "count = 3");
    fs::write(sweep.grid(), grid).unwrap();
    sweep.coordinator("more", &["--local-workers", "1", "--http", "off"]).succeed();
    wait_until("the new grid", || {
        (json(&page, "/api/v1/sweep")["trials"]["succeeded"] == 12).then_some(())
    });
    beside.signal(Signal::SIGINT);
    beside.succeed();

    let before = names(&sweep.run_dir());
    let mut after = view(&sweep, "after", &[]);
    let page = page_address(&after);
    wait_until("all results", || (json(&page, "/api/v1/sweep")["finished"] == true).then_some(()));
    let answer = json(&page, "/api/v1/answer");
    assert_eq!(answer["pivot"]["rows"][0]["cells"][0]["seeds"], 3);
    let id = json(&page, "/api/v1/trials")["items"][0]["id"].as_str().unwrap().to_owned();
    assert!(
        ask(&page, &format!("/api/v1/trials/{id}/logs/1"), &[])
            .head
            .contains("content-type: text/plain")
    );
    assert_eq!(ask(&page, "/readyz", &[]).status, 200);
    assert_eq!(ask(&page, "/metrics", &[]).status, 404, "nothing is counted there");
    after.signal(Signal::SIGINT);
    after.succeed();
    assert_eq!(names(&sweep.run_dir()), before, "it leaves nothing");
}

#[test]
fn view_admits_the_same_people() {
    let sweep = Sweep::new(AXES, 60);
    let mut nothing = view(&sweep, "nothing", &[]);
    assert_eq!(nothing.wait(), Some(1));
    assert!(
        nothing.stderr().contains("sweep.sqlite` is not there\nhint: name the run directory"),
        "{}",
        nothing.stderr()
    );
    let coordinator =
        sweep.coordinator("coordinator", &["--listen", "127.0.0.1:0", "--http", "off"]);
    sweep.address(&coordinator);
    let mut without = view(&sweep, "without", &["--http-token"]);
    assert_eq!(without.wait(), Some(1));
    assert!(
        without.stderr().contains("hint: name a file with --token-file"),
        "{}",
        without.stderr()
    );
    let token = sweep.folder().join("mine");
    fs::write(&token, "0123456789abcdef0123456789abcdef").unwrap();
    let with = view(
        &sweep,
        "with",
        &["--token-file", &token.display().to_string(), "--http-frame", "https://hub.example"],
    );
    let page = page_address(&with);
    assert_eq!(ask(&page, "/api/v1/sweep", &[]).status, 401);
    let known = "authorization: Bearer 0123456789abcdef0123456789abcdef";
    let answer = ask(&page, "/", &[known]);
    assert!(
        answer.status == 200 && answer.head.contains("frame-ancestors https://hub.example"),
        "{}",
        answer.head
    );
    assert_eq!(ask(&page, "/", &[known, "host: evil.example"]).status, 421);
    let mut off = view(&sweep, "off", &["--http", "off"]);
    assert_ne!(off.wait(), Some(0));
}
