//! The run directory has the logs of trials from workers anywhere, and a trial's id finds them.

use std::fs;

use nix::sys::signal::Signal;
use swfn_tests::{
    process::{Process, children, send, wait_until},
    sweep::Sweep,
};

use super::diverging_sweep;

fn logs(sweep: &Sweep, name: &str, arguments: &[&str]) -> Process {
    let mut command = sweep.command("swfn-coordinator");
    command.arg("logs").args(arguments).arg("--run-dir").arg(sweep.run_dir());
    sweep.start(&mut command, name)
}

#[test]
fn logs_have_failed_lost_and_succeeded_attempts() {
    let sweep = diverging_sweep(1, 100).slowed(500);
    let mut coordinator = sweep.coordinator("coordinator", &["--listen", "127.0.0.1:0"]);
    // The worker is not local, as on another machine.
    let worker = sweep.worker("worker", &sweep.address(&coordinator), &[]);
    let sql = "SELECT id FROM trial WHERE state = 'leased' AND learning_rate < 1 AND EXISTS
               (SELECT 1 FROM point WHERE point.trial = number AND point.attempt = trial.attempt)";
    let running = wait_until("a trial on its way", || {
        sweep.database()?.query_row(sql, [], |row| row.get::<_, String>(0)).ok()
    });
    let mut followed = logs(&sweep, "followed", &[&running[..12], "--follow"]);
    wait_until("the log of a trial that runs", || {
        followed.stdout().contains("begins settings=").then_some(())
    });
    children(worker.id()).into_iter().for_each(|process| send(process, Signal::SIGKILL));
    assert_eq!(coordinator.wait(), Some(3));
    // Following the log ends when the trial does.
    followed.succeed();
    let story = followed.stdout();
    let place =
        |text: &str| story.find(text).unwrap_or_else(|| panic!("`{text}` is missing:\n{story}"));
    let order = [
        "== attempt 1, ",
        "begins settings={\"dataset\"",
        "== lost, ",
        "SIGKILL",
        "== attempt 2, ",
        "test/accuracy 0.",
        "trial done",
        "== done, ",
    ];
    let places: Vec<_> = order.iter().map(|text| place(text)).collect();
    assert!(places.is_sorted(), "{places:?}:\n{story}");
    assert_eq!(story.matches("== attempt").count(), 2, "{story}");
    let mut again = logs(&sweep, "again", &[&running]);
    again.succeed();
    assert_eq!(
        again.stdout().replace("done) in", "running) in"),
        story,
        "what was followed is what there is"
    );
    let file =
        fs::read_to_string(sweep.run_dir().join("logs").join(&running).join("2.log")).unwrap();
    assert!(file.contains("step=100") && file.ends_with('\n') && story.contains(&file), "{file}");

    let run_dir = sweep.run_dir().display().to_string();
    let mut retry =
        sweep.bare_coordinator("retry", &["retry", &run_dir, "--failed", "--report", "none"]);
    assert_eq!(retry.wait(), Some(3), "nothing was tried again");
    let output = retry.stderr();
    assert!(
        output.contains(
            "trying 0 failed trials again; left out 1 that diverged and would diverge again"
        ),
        "{output}"
    );

    let trials = sweep.csv("trials.csv");
    let failed = trials.iter().find(|trial| trial["state"] == "quarantined").unwrap();
    let mut of_failed = logs(&sweep, "failed", &[&failed["trial"]]);
    of_failed.succeed();
    let story = of_failed.stdout();
    assert!(
        story.contains("== failed for good, ")
            && story.contains(": diverged: ")
            && story.contains("ERROR diverged: "),
        "{story}"
    );
    assert!(story.contains("== last lines of its process:"), "{story}");
    let mut unknown = logs(&sweep, "unknown", &["0123456789abcdef"]);
    assert_eq!(unknown.wait(), Some(1));
    let output = unknown.stderr();
    assert!(
        output.contains("no trial has an id that begins with `0123456789abcdef`")
            && output.contains(&failed["trial"]),
        "{output}"
    );
}
