//! PyTorch loads the weights of trials. The test needs a Python with the packages of
//! tests/reference/requirements.txt, named by SWFN_PYTHON: `make reference` has one.

use std::{env, fs, path::Path, process::Command};

use swfn_tests::{images::write_images, sweep::Sweep};

/// Reads the counts of a confusion matrix, row by row. The shares behind them are rounded
/// differently.
fn counts(csv: &[u8]) -> Vec<Vec<u32>> {
    let mut rows = csv::Reader::from_reader(csv);
    let columns = rows.headers().unwrap().len();
    let row = |row: csv::StringRecord| {
        row.iter().take(columns - 1).map(|cell| cell.parse().unwrap()).collect()
    };
    rows.records().map(|record| row(record.unwrap())).collect()
}

#[test]
#[ignore = "needs PyTorch: make reference"]
fn pytorch_classifies_with_a_trials_weights() {
    let python = env::var_os("SWFN_PYTHON").expect("SWFN_PYTHON names a Python with PyTorch");
    let folder = tempfile::tempdir().unwrap();
    write_images(folder.path(), "train", 150);
    write_images(folder.path(), "t10k", 999);
    let data = folder.path().display().to_string();
    let desk = Sweep::with_grid("");
    let mut inspect = desk.program("inspect", &["inspect", &data]);
    inspect.succeed();
    let sweep = Sweep::with_grid(&format!(
        "version = 1\nname = \"pytorch\"\n{}[grid]\nseed = [0]\nsubset_size = 90\nlambda = 0.01\n\
         [[zip]]\narchitecture = [\"net\", \"net+dropout\", \"lenet\", \"lenet+bn\"]\n\
         learning_rate = [0.01, 0.01, 0.001, 1e-5]\n\
         [classifier]\niterations = 12\n[vae]\niterations = 20\n[artifacts]\nweights = true\nconfusion = true\n",
        inspect.stdout()
    ));
    sweep.coordinator("coordinator", &["--local-workers", "1", "--data-dir", &data]).succeed();
    let reference = Path::new(env!("CARGO_MANIFEST_DIR")).join("reference");
    let mut different = Vec::new();
    for trial in sweep.csv("trials.csv") {
        let artifacts = sweep.run_dir().join("artifacts").join(&trial["trial"]);
        let mut program = Command::new(&python);
        program
            .arg("-B")
            .arg(reference.join("confusion.py"))
            .arg(artifacts.join("weights.safetensors"));
        program.args(
            ["images-idx3", "labels-idx1"]
                .map(|name| folder.path().join(format!("t10k-{name}-ubyte.gz"))),
        );
        let output = program.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let ours = counts(&fs::read(artifacts.join("confusion.csv")).unwrap());
        assert_eq!(ours.iter().map(|row| row[4]).sum::<u32>(), 999);
        assert_eq!(counts(&output.stdout), ours, "{}", trial["architecture"]);
        different.push(ours);
    }
    different.dedup();
    // Half-trained networks each make errors of their own, so a mix-up would show.
    assert_eq!(different.len(), 4);
}
