//! Where the programs under test are.

use std::{
    env,
    fs::{self, File},
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
};

/// Environment variable with the folder of the folders `usual` and `faulty`, where they have just been built.
pub const PROGRAMS: &str = "SWFN_TEST_PROGRAMS";

const NAMES: [&str; 2] = ["swfn-coordinator", "swfn-worker"];

/// The folder with `swfn-coordinator` and `swfn-worker`, built in the profile of the running test. `cargo test` builds programs only for
/// packages with tests of their own kind, so the harness has cargo build them, once per test program; it is quick when nothing changed.
///
/// # Panics
/// If they cannot be built.
pub fn folder() -> &'static Path {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| built("usual", false))
}

/// The folder with the same programs, built with failpoints, planted bugs and poison.
///
/// # Panics
/// If they cannot be built.
pub fn faulty() -> &'static Path {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| built("faulty", true))
}

/// Cargo keeps what it compiles with and without the feature side by side, and only the programs at the end have one place for both. So
/// tests run copies, which nobody replaces while they are running, and cargo puts the usual programs back into their place.
fn built(name: &str, faults: bool) -> PathBuf {
    if let Some(folder) = env::var_os(PROGRAMS) {
        return Path::new(&folder).join(name);
    }
    let folder = profile();
    let _alone = lock(&folder);
    let copies = folder.join("programs").join(name);
    fs::create_dir_all(&copies).expect("the target folder can be written");
    build(&folder, faults);
    for program in NAMES {
        let content = fs::read(folder.join(program)).expect("a program can be read");
        if fs::read(copies.join(program)).is_ok_and(|copy| copy == content) {
            continue;
        }
        // Under a new name first: what still runs from the old file goes on.
        let copy = copies.join(format!(".{program}"));
        fs::copy(folder.join(program), &copy).expect("a program can be copied");
        fs::rename(copy, copies.join(program)).expect("a copy can be renamed");
    }
    if faults {
        build(&folder, false);
    }
    copies
}

/// `target/PROFILE`.
fn profile() -> PathBuf {
    let test = env::current_exe().expect("a running program has a path");
    test.ancestors().nth(2).expect("tests lie in target/PROFILE/deps").to_owned()
}

/// Of the programs that test processes share, one is built at a time.
fn lock(folder: &Path) -> File {
    let file = File::create(folder.join(".swfn-tests-lock")).expect("the target folder can be written");
    file.lock().expect("a file can be locked");
    file
}

fn build(folder: &Path, faults: bool) {
    let mut cargo = Command::new(env!("CARGO"));
    // The whole workspace with a test: dependencies have the features then that they have in `cargo test --workspace`, and nothing is
    // compiled for these programs alone.
    cargo
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .args("build --quiet --locked --workspace --bins --test own_data".split(' '));
    if faults {
        for program in NAMES {
            cargo.args(["--features", &format!("{program}/faults")]);
        }
    }
    if folder.ends_with("release") {
        cargo.arg("--release");
    }
    let built = cargo.status().expect("cargo starts");
    assert!(built.success(), "the programs under test do not build");
}
