//! The files of trials, which no fault may change.

use std::{
    fs,
    path::Path,
    thread::sleep,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use nix::sys::signal::Signal;
use serde_json::Value;
use swfn_tests::{
    images, permit,
    process::{send, wait_until},
    sweep::{Sweep, grid},
};

/// Makes a sweep on few images: they have three classes, and ninety of them are for the test.
fn sweep(axes: &str, iterations: u32) -> Sweep {
    let more = "[artifacts]\nweights = true\nvae_sheet = true\nconfusion = true";
    let grid =
        grid(axes, iterations, more).replace("[vae]\niterations = 60", "[vae]\niterations = 200");
    Sweep::with_grid(&grid).on(images::few())
}

fn names(folder: &Path) -> Vec<String> {
    let entries =
        fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut names: Vec<_> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn trials_leave_the_same_files_alone() {
    let _permit = permit::to_compute();
    let axes =
        "seed = [3]\nsubset_size = 60\narchitecture = [\"net\", \"lenet+bn\"]\nlambda = [0, 0.1]";
    let sweep = sweep(axes, 50);
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
        assert_eq!(rows.len(), 3);
        let (mut images, mut right) = (0.0, 0.0);
        for (class, row) in rows.iter().enumerate() {
            // The columns are: the class, three counts, their sum, the share on the diagonal.
            assert_eq!((row[0], row[1..=3].iter().sum::<f64>()), (class as f64, row[4]));
            assert!((row[5] - row[1 + class] / row[4]).abs() < 1e-12);
            (images, right) = (images + row[4], right + row[1 + class]);
        }
        assert_eq!(images, 90.0);
        assert!(
            (right / images - trial["final_test_accuracy"].parse::<f64>().unwrap()).abs() < 1e-9
        );
    }
    for trial in trials.iter().filter(|trial| trial["lambda"] == "0.1") {
        let alone = sweep.run_dir().join("alone").join(&trial["trial"]);
        let id = trial["trial"].as_str();
        let mut program =
            sweep.train("alone", &["--trial", id, "--artifacts", alone.to_str().unwrap()]);
        program.succeed();
        for name in ["weights.safetensors", "vae.png", "confusion.csv"] {
            let swept = fs::read(sweep.run_dir().join("artifacts").join(id).join(name)).unwrap();
            assert!(swept == fs::read(alone.join(name)).unwrap(), "{name} differs");
        }
        let output = program.stdout();
        let last: Value = serde_json::from_str(output.lines().last().unwrap()).unwrap();
        assert_eq!(last["dataset_digest"], trial["dataset_digest"].as_str());
        assert_eq!(last["settings"]["penalty"]["lambda"], 0.1);
    }
}

#[test]
fn every_result_names_its_origin() {
    let axes = "seed = [3]\nsubset_size = 60\narchitecture = \"net\"\nlambda = 0.1";
    let sweep = sweep(axes, 20);
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
fn a_repeatedly_killed_trial_has_the_same_weights() {
    let _permit = permit::to_compute();
    let axes = "seed = [1]\nsubset_size = 60\narchitecture = \"lenet+bn\"\nlambda = 0.1\nweight_decay = 5e-4\npenalty_samples = 4";
    let sweep = || sweep(axes, 300).evaluated_every(25);
    let (undisturbed, disturbed) = (sweep(), sweep().slowed(100));
    let train = |sweep: &Sweep, name: &str, more: &[&str]| {
        let artifacts = sweep.run_dir();
        sweep.train(name, &[&["--artifacts", artifacts.to_str().unwrap()], more].concat())
    };
    train(&undisturbed, "undisturbed", &[]).succeed();
    let checkpoints = disturbed.cache().join("checkpoints");
    let newest = || {
        let files = fs::read_dir(&checkpoints).into_iter().flatten().flatten();
        files.filter_map(|file| file.metadata().ok()?.modified().ok()).max()
    };
    let (mut kills, mut resumed, mut killed) = (0, 0, SystemTime::UNIX_EPOCH);
    loop {
        let more = ["--checkpoint-dir", checkpoints.to_str().unwrap(), "--checkpoint-seconds", "0"];
        let mut program = train(&disturbed, &format!("attempt-{kills}"), &more);
        // Each process gets further than the one before it.
        let ended = kills == 6
            || wait_until("a newer checkpoint or the end", || match program.ended() {
                Some(_) => Some(true),
                None => newest().is_some_and(|saved| saved > killed).then_some(false),
            });
        if ended {
            program.succeed();
        } else {
            let nanoseconds = UNIX_EPOCH.elapsed().unwrap().subsec_nanos();
            sleep(Duration::from_millis(u64::from(nanoseconds) % 250));
            send(program.id(), Signal::SIGKILL);
            program.wait();
            (kills, killed) = (kills + 1, SystemTime::now());
        }
        resumed += usize::from(program.stderr().contains("resumed from a checkpoint"));
        if ended {
            break;
        }
    }
    assert!(kills >= 2 && resumed >= 2, "{kills} kills, {resumed} resumed");
    for name in ["weights.safetensors", "vae.png", "confusion.csv"] {
        let [one, other] =
            [&undisturbed, &disturbed].map(|sweep| fs::read(sweep.run_dir().join(name)).unwrap());
        assert!(one == other, "{name} differs after {kills} kills");
    }
    assert!(
        names(&checkpoints).iter().all(|name| !name.ends_with(".checkpoint")),
        "{:?}",
        names(&checkpoints)
    );
}
