//! Finds the programs under test. Cargo builds them before it runs a test, because both packages
//! have integration tests.

use std::{
    env, fs,
    path::{Path, PathBuf},
    sync::OnceLock,
    time::SystemTime,
};

const NAMES: [&str; 2] = ["swfn-coordinator", "swfn-worker"];

/// Returns the folder with `swfn-coordinator` and `swfn-worker`, of the running test's profile.
///
/// # Panics
/// If one of them is missing, or older than one of its sources.
pub fn folder() -> &'static Path {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| {
        let test = env::current_exe().expect("a running program has a path");
        let folder = test.ancestors().nth(2).expect("tests lie in target/PROFILE/deps").to_owned();
        for name in NAMES {
            if let Some(problem) = stale(&folder.join(name)) {
                panic!("{problem}\nhint: `cargo test --workspace --no-run` builds the programs under test");
            }
        }
        folder
    })
}

/// Says why a program is not built from this source; `None` if it is.
fn stale(program: &Path) -> Option<String> {
    let time = |path: &Path| fs::metadata(path).and_then(|data| data.modified());
    let Ok(built) = time(program) else {
        return Some(format!("`{}` has not been built", program.display()));
    };
    // Cargo writes the names of all sources beside each program, in the form of a make rule.
    let rule = fs::read_to_string(program.with_extension("d")).unwrap_or_default();
    let (_, sources) = rule.split_once(": ")?;
    let newer = |source: &&str| time(Path::new(source)).unwrap_or(SystemTime::UNIX_EPOCH) > built;
    sources
        .split_whitespace()
        .find(newer)
        .map(|source| format!("`{}` is older than `{source}`", program.display()))
}
