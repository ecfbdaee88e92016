//! The files that trials leave behind, and that nothing which happens to a trial changes them.

use std::{fs, path::Path, thread::sleep, time::Duration};

use nix::sys::signal::Signal;
use serde_json::Value;
use swfn_tests::{process::send, sweep::Sweep};

fn grid(axes: &str, iterations: u32) -> String {
    format!(
        "version = 1\nname = \"test\"\n[data]\ndataset = \"synthetic\"\n[grid]\n{axes}\n\
         [classifier]\niterations = {iterations}\nevaluate_every = {iterations}\n[vae]\niterations = 200\n\
         [artifacts]\nweights = true\nvae_sheet = true\nconfusion = true\n"
    )
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn a_sweep_and_a_trial_alone_leave_the_same_files() {
    let axes = "seed = 3\nsubset_size = 60\narchitecture = [\"net\", \"lenet+bn\"]\nlambda = [0, 0.1]";
    let sweep = Sweep::of_grid(&grid(axes, 50));
    sweep.coordinator("coordinator", &["--local-workers", "2"]).succeed();
    let trials = sweep.csv("trials.csv");
    assert_eq!(trials.len(), 4);
    for trial in &trials {
        let folder = sweep.run_dir().join("artifacts").join(&trial["trial"]);
        let expected = match &*trial["lambda"] {
            "0" => vec!["confusion.csv", "weights.safetensors"],
            _ => vec!["confusion.csv", "vae.png", "weights.safetensors"],
        };
        assert_eq!(names(&folder), expected);
        let mut rows = csv::Reader::from_path(folder.join("confusion.csv")).unwrap();
        let rows: Vec<Vec<f64>> = rows.deserialize().collect::<Result<_, _>>().unwrap();
        assert_eq!(rows.len(), 10);
        let (mut images, mut right) = (0.0, 0.0);
        for (class, row) in rows.iter().enumerate() {
            // The class, ten counts, their sum, the share on the diagonal.
            assert_eq!((row[0], row[1..=10].iter().sum::<f64>()), (class as f64, row[11]));
            assert!((row[12] - row[1 + class] / row[11]).abs() < 1e-12);
            (images, right) = (images + row[11], right + row[1 + class]);
        }
        assert_eq!(images, 10_000.0);
        assert!((right / images - trial["final_test_accuracy"].parse::<f64>().unwrap()).abs() < 1e-9);
    }
    for trial in trials.iter().filter(|trial| trial["lambda"] == "0.1") {
        let alone = sweep.run_dir().join("alone").join(&trial["trial"]);
        let (grid, id) = (sweep.grid(), trial["trial"].as_str());
        let arguments = ["train", "--spec", grid.to_str().unwrap(), "--trial", id, "--artifacts"];
        let mut program = sweep.program("alone", &[&arguments[..], &[alone.to_str().unwrap()]].concat());
        program.succeed();
        for name in ["weights.safetensors", "vae.png", "confusion.csv"] {
            let swept = fs::read(sweep.run_dir().join("artifacts").join(id).join(name)).unwrap();
            assert!(swept == fs::read(alone.join(name)).unwrap(), "{name} differs");
        }
        let said = program.stdout();
        let last: Value = serde_json::from_str(said.lines().last().unwrap()).unwrap();
        assert_eq!(last["dataset_digest"], trial["dataset_digest"].as_str());
        assert_eq!(last["settings"]["penalty"]["lambda"], 0.1);
    }
}

#[test]
fn every_result_says_where_it_comes_from() {
    let axes = "seed = 3\nsubset_size = 60\narchitecture = \"net\"\nlambda = 0.1";
    let sweep = Sweep::of_grid(&grid(axes, 20));
    sweep.coordinator("coordinator", &["--local-workers", "1"]).succeed();
    let lines = fs::read_to_string(sweep.run_dir().join("trials.jsonl")).unwrap();
    let [line] = lines.lines().collect::<Vec<_>>()[..] else { panic!("{lines}") };
    let trial: Value = serde_json::from_str(line).unwrap();
    let worker = &trial["worker"];
    for key in ["id", "host", "device", "model", "software", "libtorch"] {
        assert!(worker[key].as_str().is_some_and(|text| !text.is_empty()), "{key}: {trial}");
    }
    assert_eq!((&worker["threads"], &worker["cuda"]), (&Value::from(1), &Value::from("")));
    assert_eq!(trial["dataset_digest"].as_str().map(str::len), Some(64));
    assert_eq!(
        (&trial["settings"]["seed"], &trial["settings"]["penalty"]["vae"]["vae"]["latent"]),
        (&3.into(), &100.into())
    );
    assert!(trial["outcome"]["vae_seconds"].as_f64().unwrap() > 0.0);
    assert!(trial["outcome"]["classifier_seconds"].as_f64().unwrap() > 0.0);
}

/// Pauses before the kills come from the clock of this machine, so they hit other steps each time.
#[test]
fn a_trial_that_is_killed_again_and_again_ends_with_the_same_weights() {
    let axes = "seed = 1\nsubset_size = 60\narchitecture = \"lenet+bn\"\nlambda = 0.1\nweight_decay = 5e-4\npenalty_samples = 4";
    let sweep = Sweep::of_grid(&grid(axes, 1200));
    let (grid, folder) = (sweep.grid(), sweep.cache());
    let train = |name: &str, artifacts: &Path, more: &[&str]| {
        let arguments = ["train", "--spec", grid.to_str().unwrap(), "--artifacts", artifacts.to_str().unwrap()];
        sweep.program(name, &[&arguments[..], more].concat())
    };
    let (undisturbed, disturbed) = (sweep.run_dir().join("undisturbed"), sweep.run_dir().join("disturbed"));
    train("undisturbed", &undisturbed, &[]).succeed();
    let checkpoints = folder.join("checkpoints");
    let (mut kills, mut resumed) = (0, 0);
    loop {
        let name = format!("attempt-{kills}");
        let more = ["--checkpoint-dir", checkpoints.to_str().unwrap(), "--checkpoint-seconds", "0"];
        let mut program = train(&name, &disturbed, &more);
        let nanoseconds = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().subsec_nanos();
        // Ever longer, so that the end is reached: after the last checkpoint there is an evaluation to get through.
        sleep(Duration::from_millis(400 + 200 * kills + u64::from(nanoseconds) % 600));
        let ended = kills == 60 || program.ended().is_some();
        if !ended {
            send(program.id(), Signal::SIGKILL);
            kills += 1;
        }
        if ended {
            program.succeed();
        } else {
            program.wait();
        }
        resumed += usize::from(program.stderr().contains("goes on from a checkpoint"));
        if ended {
            break;
        }
    }
    assert!(kills >= 2 && resumed >= 2, "{kills} kills, {resumed} resumed");
    for name in ["weights.safetensors", "vae.png", "confusion.csv"] {
        let same = fs::read(undisturbed.join(name)).unwrap() == fs::read(disturbed.join(name)).unwrap();
        assert!(same, "{name} differs after {kills} kills");
    }
    assert!(names(&checkpoints).iter().all(|name| !name.ends_with(".checkpoint")), "{:?}", names(&checkpoints));
}
