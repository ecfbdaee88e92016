//! The program by itself, as cargo has just built it: what needs no worker.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

fn run(arguments: &[&str]) -> Output {
    let program = env!("CARGO_BIN_EXE_swfn-coordinator");
    Command::new(program).args(arguments).output().expect("the program starts")
}

fn grids(folder: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let files = fs::read_dir(folder)
        .expect("the folder is there")
        .map(|entry| entry.expect("it can be read").path());
    files.filter(|path| path.extension().is_some_and(|extension| extension == "toml")).collect()
}

#[test]
fn each_example_grid_has_a_dry_run() {
    let grids: Vec<_> = ["grids", "grids/ablations"].into_iter().flat_map(grids).collect();
    assert!(grids.len() > 5, "{grids:?}");
    for grid in grids {
        let grid = grid.display().to_string();
        let output = run(&["--grid", &grid, "--dry-run"]);
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && text.contains("\ntrials "), "{grid}: {output:?}");
    }
}

#[test]
fn a_report_has_one_of_three_extents() {
    let output = run(&["--grid", "nothing.toml", "--report", "some"]);
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{error}");
    assert!(
        error.contains("'some' for '--report <EXTENT>'")
            && error.contains("[possible values: none, tables, full]"),
        "{error}"
    );
}
