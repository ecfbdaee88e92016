//! A Python with the packages that read exports, pinned in `exports/requirements.txt`.

use std::{
    env,
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    process::{Command, Output},
    sync::OnceLock,
};

use serde_json::Value;

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
    let made = || match make() {
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

fn make() -> Result<PathBuf, String> {
    let test = env::current_exe().expect("a running program has a path");
    let folder = test.ancestors().nth(3).expect("tests lie in target/PROFILE/deps").join("exports-python");
    fs::create_dir_all(&folder).expect("the target folder can be written");
    let lock = File::create(folder.join(".lock")).expect("the target folder can be written");
    lock.lock().expect("a file can be locked");
    let wanted = fs::read_to_string(scripts().join("requirements.txt")).expect("the requirements are there");
    let (python, there) = (folder.join("bin/python"), folder.join("installed.txt"));
    if fs::read_to_string(&there).is_ok_and(|there| there == wanted) {
        return Ok(python);
    }
    let version = "import sys; sys.exit(f'Python {sys.version_info[0]}.{sys.version_info[1]} is too old') if sys.version_info < (3, 11) else 0";
    run("python3", &["-c", version])?;
    run("python3", &["-m", "venv", &folder.display().to_string()])?;
    let requirements = scripts().join("requirements.txt").display().to_string();
    let install = [
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
        "--no-input",
        "--requirement",
        &requirements,
    ];
    run(&python.display().to_string(), &install)?;
    fs::write(there, wanted).expect("the target folder can be written");
    Ok(python)
}

fn run(program: &str, arguments: &[&str]) -> Result<(), String> {
    match Command::new(program).args(arguments).output() {
        Err(error) => Err(format!("`{program}` cannot be started: {error}")),
        Ok(Output { status, .. }) if status.success() => Ok(()),
        Ok(Output { stderr, .. }) => {
            let said = String::from_utf8_lossy(&stderr);
            let last = said.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("it did not say why");
            Err(format!("`{program} {}` failed: {last}", arguments.join(" ")))
        }
    }
}

/// What one of the scripts prints.
///
/// # Panics
/// If it fails.
pub fn script(python: &Path, name: &str, arguments: &[&str]) -> Value {
    let output =
        Command::new(python).arg("-B").arg(scripts().join(name)).args(arguments).output().expect("Python starts");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{name}: {said}");
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{name}: {error}: {said}"))
}
