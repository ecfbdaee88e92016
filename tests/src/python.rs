//! A Python with the packages that read exports, pinned in `exports/requirements.txt`.

use std::{
    env, io,
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
};

use serde_json::Value;

use crate::tools;

/// The folder with the scripts.
pub fn scripts() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("exports")
}

/// The Python, in a virtual environment under `target/` that is made at the first call (670 MB). `None`, with a word about why, where it
/// cannot be had: then a test cannot tell anything. With `SWFN_NEEDS_PYTHON` set, that is a failure.
///
/// # Panics
/// If it cannot be had and must be.
pub fn python() -> Option<&'static Path> {
    static PYTHON: OnceLock<Option<PathBuf>> = OnceLock::new();
    let made = || match tools::python("exports-python", &scripts().join("requirements.txt")) {
        Ok(python) => Some(python),
        Err(problem) => {
            let text = format!("what other programs read of an export is not tested: {problem}");
            assert!(env::var_os("SWFN_NEEDS_PYTHON").is_none(), "{text}");
            // Not `eprintln!`, which the test harness keeps to itself when a test succeeds.
            io::Write::write_all(&mut io::stderr(), format!("\nSKIPPED: {text}\n").as_bytes()).ok();
            None
        }
    };
    PYTHON.get_or_init(made).as_deref()
}

/// What one of the scripts prints.
///
/// # Panics
/// If it fails.
pub fn script(python: &Path, name: &str, arguments: &[&str]) -> Value {
    let output = Command::new(python)
        .arg("-B")
        .arg(scripts().join(name))
        .args(arguments)
        .output()
        .expect("Python starts");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{name}: {said}");
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{name}: {error}: {said}"))
}
