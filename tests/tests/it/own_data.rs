//! A user's own images, from the files to the results.

use std::fs;

use swfn_tests::{images::write_images, permit, sweep::Sweep};

#[test]
fn images_of_ones_own_are_inspected_and_swept() {
    let _permit = permit::to_compute();
    let folder = tempfile::tempdir().unwrap();
    write_images(folder.path(), "train", 300);
    write_images(folder.path(), "t10k", 60);
    let data = folder.path().display().to_string();

    let desk = Sweep::with_grid("");
    let mut inspect = desk.program("inspect", &["inspect", &data]);
    inspect.succeed();
    assert_eq!(inspect.stderr(), "note: 3 classes have 100 training images each\n");
    let grid = |name: &str| {
        format!(
            "version = 1\nname = \"{name}\"\n{}[grid]\nseed = [0]\nsubset_size = 90\narchitecture = [\"net\", \"lenet+bn\"]\n\
             lambda = [0, 0.01]\n[classifier]\niterations = 80\n[vae]\niterations = 40\n",
            inspect.stdout()
        )
    };
    let sweep = Sweep::with_grid(&grid("own"));
    let arguments = ["--local-workers", "1", "--data-dir", &data];
    let mut coordinator = sweep.coordinator("coordinator", &arguments);
    coordinator.succeed();
    assert!(coordinator.stdout().contains("own on idx: 4 of 4 trials"), "{}", coordinator.stdout());
    let trials = sweep.csv("trials.csv");
    assert_eq!(trials.len(), 4);
    for trial in &trials {
        let accuracy: f64 = trial["final_test_accuracy"].parse().unwrap();
        assert!(trial["state"] == "succeeded" && accuracy > 0.7, "0.33 by chance: {trial:?}");
    }

    // Other images get the same names. The worker will not pass them off as these, and the sweep
    // ends with the reason.
    write_images(folder.path(), "t10k", 61);
    let other = Sweep::with_grid(&grid("other"));
    let mut coordinator = other.coordinator("coordinator", &arguments);
    assert_eq!(coordinator.wait(), Some(1));
    let output = coordinator.stderr();
    let grid = fs::read_to_string(other.grid()).unwrap();
    let digest = grid.split("digest = \"").nth(1).unwrap().split('"').next().unwrap();
    for part in ["together the digest", &format!("but the grid says `{digest}`"), "hint: ", &data] {
        assert!(output.contains(part), "{part} is not in\n{output}");
    }
    assert_eq!(other.succeeded(), 0);
    assert!(
        other.journal().iter().all(|line| line.kind != "failed"),
        "a worker's lack of data is no fault of the trial"
    );
}

#[test]
fn a_worker_without_the_images_says_so() {
    let digest = "0".repeat(64);
    let grid = format!(
        "version = 1\nname = \"own\"\n[data]\ndataset = \"idx\"\ndigest = \"{digest}\"\nheight = 32\nwidth = 32\nclasses = 3\n\
         train_images = 300\ntest_images = 60\n[grid]\nseed = [0]\nsubset_size = 90\narchitecture = \"net\"\nlambda = 0\n"
    );
    let sweep = Sweep::with_grid(&grid);
    let mut coordinator = sweep.coordinator("coordinator", &["--local-workers", "1"]);
    assert_eq!(coordinator.wait(), Some(1));
    let output = coordinator.stderr();
    assert!(
        output.contains("no folder with its files is named") && output.contains("--data-dir DIR"),
        "{output}"
    );
}
