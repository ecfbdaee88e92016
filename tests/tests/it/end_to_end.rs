//! Sweeps from the command line to the result files.

use std::{
    collections::{BTreeMap, HashSet},
    fs,
    path::Path,
};

use nix::sys::signal::Signal;
use swfn_tests::{
    images, permit,
    process::{children, wait_until},
    sweep::Sweep,
};

const AXES: &str = "seed = { count = 2 }\nsubset_size = 40\narchitecture = [\"net\", \"lenet+bn\"]\nlambda = [0, 0.1]";

#[test]
fn two_workers_finish_a_sweep_exactly_once() {
    let _permit = permit::to_compute();
    let sweep = Sweep::with_digits(AXES, 60).slowed(300);
    let mut coordinator = sweep.coordinator("first", &["--local-workers", "2"]);
    coordinator.succeed();

    let trials = sweep.csv("trials.csv");
    assert_eq!(trials.len(), 8);
    assert!(
        trials.iter().all(|trial| trial["state"] == "succeeded" && trial["attempts"] == "1"),
        "{trials:?}"
    );
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
        let of: HashSet<_> =
            curves.iter().filter(|p| p["metric"] == metric).map(|p| &p["trial"]).collect();
        assert_eq!(of.len(), 8, "{metric}");
    }
    for metric in ["train/function_norm", "vae/loss"] {
        let lambdas: HashSet<_> =
            curves.iter().filter(|p| p["metric"] == metric).map(|p| &*p["lambda"]).collect();
        assert_eq!(lambdas, HashSet::from(["0.1"]), "{metric} only where there is a function norm");
    }
    let table = coordinator.stdout();
    assert!(
        table.contains("test on synthetic: 8 of 8 trials") && table.contains("bn + fn 0.1"),
        "{table}"
    );
    assert!(
        fs::read_to_string(sweep.run_dir().join("summary.md"))
            .unwrap()
            .contains("| net | fn 0.1 | 40 | 2 |")
    );

    let before = sweep.results();
    let mut again = sweep.coordinator("again", &["--local-workers", "2"]);
    again.succeed();
    assert_eq!(sweep.journal(), journal, "nothing was leased again");
    assert_eq!(sweep.results(), before);
    assert_eq!(again.stdout(), table);
}

/// Lanes are meant for GPUs, but work on CPUs, too.
#[test]
fn lanes_change_no_result() {
    let _permit = permit::to_compute();
    let axes = "seed = { count = 4 }\nsubset_size = 40\narchitecture = \"lenet+bn\"\nlambda = 0.1\npenalty_samples = 3\n\
         weight_decay = [0, 5e-4]";
    let [one, four] = ["1", "4"].map(|lanes| {
        let sweep = Sweep::new(axes, 30);
        sweep.coordinator("run", &["--local-workers", "1", "--lanes", lanes]).succeed();
        sweep
    });
    let most_at_a_time = |sweep: &Sweep| {
        let at_a_time = sweep.journal().into_iter().scan(0, |running, line| {
            *running += if line.kind == "leased" { 1 } else { -1 };
            Some(*running)
        });
        at_a_time.max().unwrap_or(0)
    };
    // A worker asks for the next trials shortly before it has room for them.
    assert!(most_at_a_time(&one) <= 2, "{}", most_at_a_time(&one));
    assert!((4..=8).contains(&most_at_a_time(&four)), "{}", most_at_a_time(&four));
    let by_trial = |sweep: &Sweep| {
        let mut trials = sweep.csv("trials.csv");
        trials.sort_by_key(|trial| trial["trial"].clone());
        trials
    };
    for (one, four) in by_trial(&one).iter().zip(by_trial(&four)) {
        assert_eq!(
            (&one["trial"], &*four["state"], &*four["attempts"]),
            (&four["trial"], "succeeded", "1")
        );
        let loss = |trial: &std::collections::BTreeMap<String, String>| -> f64 {
            trial["final_test_loss"].parse().unwrap()
        };
        assert!((loss(one) - loss(&four)).abs() < 1e-3 * loss(one), "{one:?} {four:?}");
    }
}

#[test]
fn a_grown_grid_runs_only_what_is_new() {
    let _permit = permit::to_compute();
    let axes = "subset_size = 40\narchitecture = \"net\"\nlambda = 0\nseed = { count = 2 }";
    let sweep = Sweep::new(axes, 20);
    sweep.coordinator("first", &["--local-workers", "1"]).succeed();
    let (journal, grown) = (
        sweep.journal(),
        fs::read_to_string(sweep.grid()).unwrap().replace("count = 2", "count = 3"),
    );
    fs::write(sweep.grid(), grown).unwrap();
    sweep.coordinator("second", &["--local-workers", "1"]).succeed();
    let after = sweep.journal();
    assert_eq!(after[..journal.len()], journal);
    assert_eq!(after.len(), journal.len() + 2, "one lease and one success");
    assert_eq!(sweep.csv("trials.csv").len(), 3);
    // Axes may grow as well. The results then cover the whole grid, including earlier trials.
    let more = fs::read_to_string(sweep.grid()).unwrap();
    let more =
        more.replace("lambda = 0", "lambda = [0, 0.1]").replace("\"net\"", "[\"net\", \"lenet\"]");
    fs::write(sweep.grid(), &more).unwrap();
    sweep.coordinator("third", &["--local-workers", "1"]).succeed();
    let grown = sweep.journal();
    assert_eq!(grown[..after.len()], after);
    let succeeded = grown[after.len()..].iter().filter(|line| line.kind == "succeeded");
    assert_eq!(succeeded.count(), 9, "3 seeds x 4 cells, less the 3 trials from before");
    assert!(
        grown[after.len()..].iter().all(|line| after.iter().all(|known| known.trial != line.trial))
    );
    let comparisons = |sweep: &Sweep| {
        let lines = sweep.csv("comparisons.csv").into_iter();
        lines
            .map(|line| format!("{} of {}: {}", line["n"], line["planned"], line["context"]))
            .collect::<Vec<_>>()
    };
    assert_eq!(comparisons(&sweep), ["3 of 3: n = 40, net", "3 of 3: n = 40, lenet"]);
    // Comparisons and claims may change without training anything, even where nothing could be
    // trained.
    let asked = more
        + "[[compare]]\nlambda = 0\narchitecture = \"lenet\"\nagainst = { architecture = \"net\" }\n\
                        [[claim]]\ntext = \"it helps\"\nlambda = 0.1\nagainst = { lambda = 0 }\nis = \"better\"\n";
    fs::write(sweep.grid(), asked).unwrap();
    let mut again = sweep.coordinator("fourth", &["--listen", "127.0.0.1:0", "--http", "off"]);
    again.succeed();
    assert!(again.stdout().contains("it helps ("), "{}", again.stdout());
    assert_eq!(sweep.journal(), grown);
    assert_eq!(comparisons(&sweep), ["3 of 3: n = 40"]);
}

#[test]
fn sweeps_that_share_a_folder_share_vaes() {
    let axes = "seed = [0]\nsubset_size = 40\narchitecture = \"net\"\nlambda = 0.1";
    let vae = |sweep: &Sweep| {
        let curve: Vec<_> = sweep
            .csv("curves.csv")
            .into_iter()
            .filter(|point| point["metric"] == "vae/loss")
            .collect();
        let curve: Vec<_> =
            curve.iter().map(|point| (point["step"].clone(), point["value"].clone())).collect();
        assert_eq!(curve.len(), 1, "{curve:?}");
        (sweep.csv("trials.csv")[0]["vae_seconds"].parse::<f64>().unwrap(), curve)
    };
    let first = Sweep::new(axes, 20);
    first.coordinator("coordinator", &["--local-workers", "1"]).succeed();
    let vaes = first.cache().join("vaes");
    assert_eq!(fs::read_dir(&vaes).unwrap().count(), 1);
    // Another classifier makes another trial, on the same VAE.
    let second = Sweep::new(axes, 30);
    let mut coordinator = second.coordinator("coordinator", &["--listen", "127.0.0.1:0"]);
    let address = second.address(&coordinator);
    second.worker("worker", &address, &["--vae-cache", &vaes.display().to_string()]).succeed();
    coordinator.succeed();
    let ((seconds, curve), (no_seconds, same_curve)) = (vae(&first), vae(&second));
    assert!(seconds > 0.0 && no_seconds == 0.0, "{seconds} {no_seconds}");
    assert_eq!(curve, same_curve);
    assert!(!second.cache().join("vaes").exists());
    // Without the folder the VAE is trained.
    let third = Sweep::new(axes, 30);
    let mut coordinator = third.coordinator("coordinator", &["--listen", "127.0.0.1:0"]);
    third.worker("worker", &third.address(&coordinator), &["--no-vae-cache"]).succeed();
    coordinator.succeed();
    assert_eq!((vae(&third).0 > 0.0, vae(&third).1), (true, curve));
    assert_eq!(third.results(), second.results());
    assert!(!third.cache().join("vaes").exists());
}

#[test]
fn workers_may_join_late_and_leave_early() {
    // The first worker has to be in the middle of a trial when it is asked to leave.
    let axes = "seed = { count = 6 }\nsubset_size = 40\narchitecture = \"net\"\nlambda = 0.1";
    let sweep = Sweep::new(axes, 200).evaluated_every(20).slowed(250);
    let mut coordinator = sweep.coordinator("coordinator", &["--listen", "127.0.0.1:0"]);
    let address = sweep.address(&coordinator);
    let mut first = sweep.worker("first", &address, &[]);
    wait_until("the first result", || (sweep.succeeded() >= 1).then_some(()));
    let mut second = sweep.worker("second", &address, &[]);
    wait_until("a lease of the second worker", || {
        (sweep.query("SELECT count(DISTINCT worker) FROM event WHERE kind = 'leased'") == Some(2))
            .then_some(())
    });
    first.signal(Signal::SIGTERM);
    first.succeed();
    second.succeed();
    coordinator.succeed();
    let journal = sweep.journal();
    assert!(
        journal.iter().all(|line| line.kind != "lost"),
        "a worker that leaves in order loses nothing: {journal:?}"
    );
    assert!(
        journal.iter().any(|line| line.kind == "released"),
        "the first left in the middle of a trial: {journal:?}"
    );
    assert_eq!(
        sweep.csv("trials.csv").iter().filter(|trial| trial["state"] == "succeeded").count(),
        6
    );
}

#[test]
fn a_diverging_trial_is_given_up_and_reported() {
    let sweep = Sweep::new(
        "seed = [0]\nsubset_size = 40\narchitecture = \"net\"\nlambda = 0\nlearning_rate = [0.01, 1e9]",
        40,
    );
    let mut coordinator = sweep.coordinator("coordinator", &["--local-workers", "1"]);
    assert_eq!(coordinator.wait(), Some(3), "{}", coordinator.stderr());
    let table = coordinator.stdout();
    assert!(
        table.contains("net, n = 40, none, lr 1e9, seed 0") && table.contains("train/loss is `"),
        "{table}"
    );
    let trials = sweep.csv("trials.csv");
    assert_eq!(
        trials.iter().map(|trial| &*trial["state"]).collect::<Vec<_>>(),
        ["succeeded", "quarantined"]
    );
    assert_eq!(trials[1]["attempts"], "1", "training is deterministic: it is not tried again");
    let cells = sweep.csv("summary.csv");
    assert_eq!(cells.iter().map(|cell| &*cell["complete"]).collect::<Vec<_>>(), ["true", "false"]);
}

#[test]
fn an_interrupt_leaves_no_process_behind() {
    let sweep = Sweep::new(
        "seed = { count = 2 }\nsubset_size = 40\narchitecture = \"lenet\"\nlambda = 0",
        100_000,
    )
    .slowed(200);
    let mut coordinator = sweep.coordinator("coordinator", &["--local-workers", "2"]);
    wait_until("two leases", || {
        (sweep.query("SELECT count(*) FROM event") >= Some(2)).then_some(())
    });
    let supervisors = children(coordinator.id());
    let workers: Vec<_> = supervisors.iter().flat_map(|id| children(*id)).collect();
    assert_eq!((supervisors.len(), workers.len()), (1, 2));
    coordinator.signal(Signal::SIGINT);
    assert_eq!(coordinator.wait(), Some(130));
    let gone = |id: &u32| !std::path::Path::new(&format!("/proc/{id}")).exists();
    assert!(supervisors.iter().chain(&workers).all(gone));
    let journal = sweep.journal();
    assert_eq!(journal.iter().filter(|line| line.kind == "released").count(), 2, "{journal:?}");
    assert!(
        coordinator.stdout().contains("0 of 2"),
        "the report names its contents: {}",
        coordinator.stdout()
    );
}

#[test]
fn a_trial_has_the_same_result_alone() {
    let sweep = Sweep::new(
        "seed = [3]\nsubset_size = 40\narchitecture = [\"lenet\", \"net+dropout\"]\nlambda = [0, 0.1]",
        40,
    );
    sweep.coordinator("sweep", &["--local-workers", "2"]).succeed();
    let trials = sweep.csv("trials.csv");
    let trial = trials
        .iter()
        .find(|trial| trial["architecture"] == "net+dropout" && trial["lambda"] == "0.1")
        .unwrap();
    let id = &trial["trial"];
    let mut alone = sweep.train("alone", &["--trial", &id[..10]]);
    alone.succeed();
    let lines = alone.stdout();
    let points = sweep.csv("curves.csv").into_iter().filter(|point| point["trial"] == *id);
    let mut expected: Vec<_> = points
        .map(|p| {
            format!(
                "\"metric\":\"{}\",\"step\":{},\"value\":{}",
                p["metric"], p["step"], p["value"]
            )
        })
        .collect();
    assert!(expected.len() >= 5);
    expected.push(format!("\"final_test_accuracy\":{}", trial["final_test_accuracy"]));
    expected.push(format!("\"final_test_loss\":{}", trial["final_test_loss"]));
    for text in expected {
        assert!(lines.contains(&text), "{text} is not in\n{lines}");
    }
    let mut unclear = sweep.train("unclear", &[]);
    assert_eq!(unclear.wait(), Some(1));
    assert!(
        unclear.stderr().contains("more than one trial\nhint: choose one with --trial ID"),
        "{}",
        unclear.stderr()
    );
}

#[test]
fn a_backup_of_a_running_sweep_resumes() {
    let sweep = Sweep::new(&AXES.replace("lenet+bn", "net+dropout"), 60).slowed(500);
    let mut coordinator = sweep.coordinator("coordinator", &["--local-workers", "1"]);
    wait_until("two results", || (sweep.succeeded() >= 2).then_some(()));
    let elsewhere = Sweep::existing(&sweep.folder().join("elsewhere")).on(images::few());
    fs::create_dir(elsewhere.folder()).unwrap();
    fs::copy(sweep.grid(), elsewhere.grid()).unwrap();
    let backup = |name: &str, to: &Path| {
        let mut command = sweep.command("swfn-coordinator");
        sweep.start(command.arg("backup").arg(sweep.run_dir()).arg(to), name)
    };
    let mut made = backup("backup", &elsewhere.run_dir());
    made.succeed();
    let copied = elsewhere.succeeded();
    assert!((2..8).contains(&copied), "{copied} when it was still at work");
    assert!(made.stdout().contains(&format!("{copied} of 8 trials done")), "{}", made.stdout());
    coordinator.succeed();

    for (name, to, problem) in [
        ("twice", elsewhere.run_dir(), "is there already, and nothing is overwritten"),
        ("within", sweep.run_dir().join("copy"), "would be part of what is copied"),
        ("deeper", sweep.run_dir().join("copies/copy"), "would be part of what is copied"),
    ] {
        let mut refused = backup(name, &to);
        assert_eq!(refused.wait(), Some(1));
        assert!(refused.stderr().contains(problem), "{}", refused.stderr());
    }
    assert!(!sweep.run_dir().join("copies").exists() && elsewhere.succeeded() == copied);

    elsewhere.coordinator("again", &["--local-workers", "2"]).succeed();
    let leased = elsewhere.journal().into_iter().filter(|line| line.kind == "leased");
    assert!(leased.count() as i64 <= 8 + 8 - copied, "what had its result was not trained again");
    assert_eq!(elsewhere.results(), sweep.results());
}

/// Reports that were not written at the end can be written later, since the run directory has all
/// data.
#[test]
fn the_extent_of_the_report_is_an_option() {
    let sweep = Sweep::new(
        "seed = { count = 2 }\nsubset_size = 40\narchitecture = \"net\"\nlambda = [0, 0.1]",
        20,
    );
    let tables = [
        "trials.csv",
        "trials.jsonl",
        "curves.csv",
        "comparisons.csv",
        "summary.csv",
        "summary.json",
        "summary.md",
    ];
    let reports = ["report.html", "report.md", "summary.tex", "charts"];
    let in_folder = |folder: &Path, names: &[&str]| {
        let there: Vec<_> = names.iter().map(|name| folder.join(name).exists()).collect();
        assert!(there.iter().all(|it| *it == there[0]), "all or none of {names:?}: {there:?}");
        there[0]
    };
    let run_dir = sweep.run_dir();
    let report = |name: &str, out: &Path| {
        let mut command = sweep.command("swfn-coordinator");
        let mut program =
            sweep.start(command.arg("report").arg(&run_dir).arg("--out").arg(out), name);
        program.succeed();
        program.stdout()
    };
    let later =
        format!("no report was written: `swfn-coordinator report {}` writes it", run_dir.display());
    let mut printed = Vec::new();
    for (extent, has_tables, has_report) in
        [("none", false, false), ("tables", true, false), ("full", true, true)]
    {
        // All but the first find the sweep at its end.
        let mut coordinator =
            sweep.coordinator(extent, &["--local-workers", "1", "--report", extent]);
        coordinator.succeed();
        let there = (in_folder(&run_dir, &tables), in_folder(&run_dir, &reports));
        assert_eq!(there, (has_tables, has_report), "--report {extent}");
        let elsewhere = sweep.folder().join(format!("after-{extent}"));
        let after = report(&format!("report-{extent}"), &elsewhere);
        for (text, folder, has_report) in
            [(coordinator.stdout(), &run_dir, has_report), (after, &elsewhere, true)]
        {
            let (table, last) = text.trim_end().rsplit_once('\n').unwrap();
            let page = folder.join("report.html").canonicalize();
            let expected =
                page.map_or(later.clone(), |page| format!("report: file://{}", page.display()));
            assert_eq!(
                (last, has_report),
                (expected.as_str(), folder.join("report.html").exists()),
                "--report {extent}"
            );
            printed.push(table.to_owned());
        }
        assert!(
            in_folder(&elsewhere, &tables) && in_folder(&elsewhere, &reports),
            "made from what --report {extent} left"
        );
    }
    assert!(printed[0].contains("test on idx: 4 of 4 trials done"), "{}", printed[0]);
    assert!(printed.iter().all(|table| *table == printed[0]), "{printed:#?}");
    assert!(fs::read_dir(run_dir.join("charts")).unwrap().count() > 0);
}

/// The database is a dump. The last program of version 4 wrote it and was killed in the middle of
/// its sweep.
#[test]
fn a_sweep_of_an_earlier_version_resumes() {
    let _permit = permit::to_compute();
    let grid = include_str!("../../../coordinator/store/src/fixtures/version-4.toml");
    let sweep = Sweep::with_grid(&format!("{grid}[run]\nlease_seconds = 4\n"));
    fs::create_dir_all(sweep.run_dir()).unwrap();
    fs::write(sweep.run_dir().join("grid.toml"), grid).unwrap();
    let dump = include_str!("../../../coordinator/store/src/fixtures/version-4.sql");
    let database = rusqlite::Connection::open(sweep.run_dir().join("sweep.sqlite")).unwrap();
    database.execute_batch(dump).unwrap();
    let done = || -> BTreeMap<String, (f64, String)> {
        let sql = "SELECT id, final_test_accuracy, worker FROM result JOIN trial ON trial.number = result.trial";
        let mut query = database.prepare(sql).unwrap();
        let rows =
            query.query_map([], |row| Ok((row.get(0)?, (row.get(1)?, row.get(2)?)))).unwrap();
        rows.collect::<Result<_, _>>().unwrap()
    };
    let before = done();
    let mut coordinator = sweep.coordinator("coordinator", &["--local-workers", "1"]);
    coordinator.succeed();
    let after = done();
    assert_eq!((before.len(), after.len()), (9, 16));
    assert!(
        before.iter().all(|(trial, result)| after.get(trial) == Some(result)),
        "{before:?} {after:?}"
    );
}
