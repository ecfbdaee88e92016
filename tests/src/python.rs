//! A Python with the packages that read exports, pinned in `exports/requirements.txt`.

use std::{
    env, io,
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
};

use serde_json::Value;

use crate::tools;

/// Returns the folder with the scripts.
pub fn scripts() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("exports")
}

/// Returns the Python of a virtual environment under `target/`, which the first call makes (670
/// MB). Returns `None`, with a message, if that fails. With `SWFN_NEEDS_PYTHON` set, it panics
/// instead.
///
/// # Panics
/// If it fails and `SWFN_NEEDS_PYTHON` is set.
pub fn python() -> Option<&'static Path> {
    static PYTHON: OnceLock<Option<PathBuf>> = OnceLock::new();
    let made = || match tools::python("exports-python", &scripts().join("requirements.txt")) {
        Ok(python) => Some(python),
        Err(problem) => {
            let text = format!("what other programs read of an export is not tested: {problem}");
            assert!(env::var_os("SWFN_NEEDS_PYTHON").is_none(), "{text}");
            // `eprintln!` would not do: the test harness hides it when a test succeeds.
            io::Write::write_all(&mut io::stderr(), format!("\nSKIPPED: {text}\n").as_bytes()).ok();
            None
        }
    };
    PYTHON.get_or_init(made).as_deref()
}

/// Runs one of the scripts and returns its output as JSON.
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
    let printed = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{name}: {printed}");
    serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{name}: {error}: {printed}"))
}
