//! Sweeps from the command line to the result files.

use std::{collections::HashSet, fs};

use nix::sys::signal::Signal;
use swfn_tests::{
    process::{children, wait_until},
    sweep::Sweep,
};

const AXES: &str = "seed = { count = 2 }\nsubset_size = 40\narchitecture = [\"net\", \"lenet+bn\"]\nlambda = [0, 0.1]";

#[test]
fn two_workers_finish_a_sweep_and_a_second_run_has_nothing_to_do() {
    let sweep = Sweep::new(AXES, 60);
    let mut coordinator = sweep.coordinator("first", &["--local-workers", "2"]);
    coordinator.succeed();

    let trials = sweep.csv("trials.csv");
    assert_eq!(trials.len(), 8);
    assert!(trials.iter().all(|trial| trial["state"] == "succeeded" && trial["attempts"] == "1"), "{trials:?}");
    let workers: HashSet<_> = trials.iter().map(|trial| &trial["worker"]).collect();
    assert_eq!(workers.len(), 2, "both workers had something to do");
    let journal = sweep.journal();
    assert_eq!(journal.iter().filter(|line| line.kind == "succeeded").count(), 8);
    assert_eq!(sweep.query("SELECT count(*) FROM result"), Some(8));

    let cells = sweep.csv("summary.csv");
    assert_eq!(cells.len(), 4);
    for cell in &cells {
        assert_eq!((&*cell["complete"], &*cell["final_test_accuracy_n"]), ("true", "2"));
        let accuracy: f64 = cell["final_test_accuracy_mean"].parse().unwrap();
        assert!((0.11..1.0).contains(&accuracy), "better than guessing after 60 steps: {cell:?}");
        assert!(cell["final_test_accuracy_confidence_95"].parse::<f64>().unwrap() > 0.0);
    }
    let curves = sweep.csv("curves.csv");
    for metric in ["train/loss", "test/accuracy", "test/loss"] {
        let of: HashSet<_> = curves.iter().filter(|p| p["metric"] == metric).map(|p| &p["trial"]).collect();
        assert_eq!(of.len(), 8, "{metric}");
    }
    for metric in ["train/function_norm", "vae/loss"] {
        let lambdas: HashSet<_> = curves.iter().filter(|p| p["metric"] == metric).map(|p| &*p["lambda"]).collect();
        assert_eq!(lambdas, HashSet::from(["0.1"]), "{metric} only where there is a function norm");
    }
    let table = coordinator.stdout();
    assert!(table.contains("test on synthetic: 8 of 8 trials") && table.contains("lenet+bn"), "{table}");
    assert!(fs::read_to_string(sweep.run_dir().join("summary.md")).unwrap().contains("| net | 40 | 0.1 | 2 |"));

    let before = sweep.results();
    let mut again = sweep.coordinator("again", &["--local-workers", "2"]);
    again.succeed();
    assert_eq!(sweep.journal(), journal, "nothing was leased again");
    assert_eq!(sweep.results(), before);
    assert_eq!(again.stdout(), table);
}

#[test]
fn a_grown_grid_runs_only_what_is_new() {
    let axes = "subset_size = 40\narchitecture = \"net\"\nlambda = 0\nseed = { count = 2 }";
    let sweep = Sweep::new(axes, 20);
    sweep.coordinator("first", &["--local-workers", "1"]).succeed();
    let (journal, grown) =
        (sweep.journal(), fs::read_to_string(sweep.grid()).unwrap().replace("count = 2", "count = 3"));
    fs::write(sweep.grid(), grown).unwrap();
    sweep.coordinator("second", &["--local-workers", "1"]).succeed();
    let after = sweep.journal();
    assert_eq!(after[..journal.len()], journal);
    assert_eq!(after.len(), journal.len() + 2, "one lease and one success");
    assert_eq!(sweep.csv("trials.csv").len(), 3);
}

#[test]
fn workers_may_be_started_by_hand_join_late_and_leave() {
    let sweep = Sweep::new("seed = { count = 6 }\nsubset_size = 40\narchitecture = \"net\"\nlambda = 0.1", 400);
    let mut coordinator = sweep.coordinator("coordinator", &["--listen", "127.0.0.1:0"]);
    let address = sweep.address(&coordinator);
    let mut first = sweep.worker("first", &address, &[]);
    wait_until("the first result", || (sweep.succeeded() >= 1).then_some(()));
    let mut second = sweep.worker("second", &address, &[]);
    wait_until("a lease of the second worker", || {
        (sweep.query("SELECT count(DISTINCT worker) FROM event WHERE kind = 'leased'") == Some(2)).then_some(())
    });
    first.signal(Signal::SIGTERM);
    first.succeed();
    second.succeed();
    coordinator.succeed();
    let journal = sweep.journal();
    assert!(journal.iter().all(|line| line.kind != "lost"), "a worker that leaves in order loses nothing: {journal:?}");
    assert!(journal.iter().any(|line| line.kind == "released"), "the first left in the middle of a trial: {journal:?}");
    assert_eq!(sweep.csv("trials.csv").iter().filter(|trial| trial["state"] == "succeeded").count(), 6);
}

#[test]
fn a_diverging_trial_is_given_up_and_told() {
    let sweep =
        Sweep::new("seed = 0\nsubset_size = 40\narchitecture = \"net\"\nlambda = 0\nlearning_rate = [0.01, 1e9]", 40);
    let mut coordinator = sweep.coordinator("coordinator", &["--local-workers", "1"]);
    assert_eq!(coordinator.wait(), Some(3), "{}", coordinator.stderr());
    let table = coordinator.stdout();
    assert!(table.contains("failed: net n=40 lambda=0") && table.contains("train/loss is `"), "{table}");
    let trials = sweep.csv("trials.csv");
    assert_eq!(trials.iter().map(|trial| &*trial["state"]).collect::<Vec<_>>(), ["succeeded", "quarantined"]);
    assert_eq!(trials[1]["attempts"], "1", "training is deterministic: it is not tried again");
    let cells = sweep.csv("summary.csv");
    assert_eq!(cells.iter().map(|cell| &*cell["complete"]).collect::<Vec<_>>(), ["true", "false"]);
}

#[test]
fn an_interrupt_stops_in_order_and_leaves_no_process_behind() {
    let sweep = Sweep::new("seed = { count = 2 }\nsubset_size = 40\narchitecture = \"lenet\"\nlambda = 0", 100_000);
    let mut coordinator = sweep.coordinator("coordinator", &["--local-workers", "2"]);
    wait_until("two leases", || (sweep.query("SELECT count(*) FROM event") >= Some(2)).then_some(()));
    let supervisors = children(coordinator.id());
    let workers: Vec<_> = supervisors.iter().flat_map(|id| children(*id)).collect();
    assert_eq!((supervisors.len(), workers.len()), (1, 2));
    coordinator.signal(Signal::SIGINT);
    assert_eq!(coordinator.wait(), Some(130));
    let gone = |id: &u32| !std::path::Path::new(&format!("/proc/{id}")).exists();
    assert!(supervisors.iter().chain(&workers).all(gone));
    let journal = sweep.journal();
    assert_eq!(journal.iter().filter(|line| line.kind == "released").count(), 2, "{journal:?}");
    assert!(coordinator.stdout().contains("0 of 2"), "what there is, is told: {}", coordinator.stdout());
}
