//! Third-party tools that some tests need, fetched in pinned versions into `target/` at the first
//! call.

use std::{
    env,
    ffi::OsStr,
    fs::{self, File},
    io::{self, Write as _},
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use serde_json::Value;

/// Prints that something is not tested, past the test harness, which hides the output of tests that
/// succeed. With `SWFN_NEEDS_TOOLS` set, it panics instead.
///
/// # Panics
/// If `SWFN_NEEDS_TOOLS` is set.
pub fn skip(what: &str, problem: &str) {
    let text = format!("not tested: {what}; {problem}");
    assert!(env::var_os("SWFN_NEEDS_TOOLS").is_none(), "{text}");
    io::stderr().write_all(format!("\nSKIPPED: {text}\n").as_bytes()).ok();
}

/// Returns a folder in `target/`. `make` fills it unless the same files made it before.
fn prepared(
    name: &str,
    wanted: &str,
    make: impl FnOnce(&Path) -> Result<(), String>,
) -> Result<PathBuf, String> {
    let test = env::current_exe().expect("a running program has a path");
    let folder = test.ancestors().nth(3).expect("tests lie in target/PROFILE/deps").join(name);
    fs::create_dir_all(&folder).expect("the target folder can be written");
    let lock = File::create(folder.join(".lock")).expect("the target folder can be written");
    lock.lock().expect("a file can be locked");
    let there = folder.join("installed.txt");
    if fs::read_to_string(&there).is_ok_and(|there| there == wanted) {
        return Ok(folder);
    }
    make(&folder)?;
    fs::write(there, wanted).expect("the target folder can be written");
    Ok(folder)
}

/// Returns a Python, 3.11 or newer, with the packages of a file of requirements.
///
/// # Errors
/// With the reason why there is none.
///
/// # Panics
/// If the target folder cannot be written.
pub fn python(name: &str, requirements: &Path) -> Result<PathBuf, String> {
    let wanted = fs::read_to_string(requirements).expect("the requirements are there");
    let folder = prepared(name, &wanted, |folder| {
        let version = "import sys; old = f'Python {sys.version_info[0]}.{sys.version_info[1]} is too old'; \
                       sys.exit(old if sys.version_info < (3, 11) else 0)";
        run(Command::new("python3").args(["-c", version]))?;
        run(Command::new("python3").args(["-m", "venv"]).arg(folder))?;
        let install = "-m pip install --quiet --disable-pip-version-check --no-input --requirement";
        run(Command::new(folder.join("bin/python")).args(install.split(' ')).arg(requirements))
    })?;
    Ok(folder.join("bin/python"))
}

/// Returns a folder with copies of `files`, which include `package.json` and its lock, and with
/// their packages.
///
/// # Errors
/// With the reason why there is none.
///
/// # Panics
/// If the target folder cannot be written.
pub fn node(name: &str, from: &Path, files: &[&str]) -> Result<PathBuf, String> {
    let read = |file: &&str| fs::read_to_string(from.join(file)).expect("the files are there");
    let wanted: String = files.iter().map(read).collect();
    prepared(name, &wanted, |folder| {
        // The scripts need import.meta.dirname.
        let version = "const [major, minor] = process.versions.node.split('.'); \
                       if (major < 20 || (major == 20 && minor < 11)) { console.error('Node.js is older than 20.11'); process.exit(1); }";
        run(Command::new("node").args(["-e", version]))?;
        for file in files {
            fs::copy(from.join(file), folder.join(file)).expect("the target folder can be written");
        }
        run(Command::new("npm")
            .args("ci --ignore-scripts --no-audit --no-fund".split(' '))
            .current_dir(folder))
    })
}

/// Finds Prometheus' `promtool` in PATH, or unpacks it from Debian's package without installing it.
///
/// # Errors
/// With the reason why there is none.
///
/// # Panics
/// If the target folder cannot be written.
pub fn promtool() -> Result<PathBuf, String> {
    if run(Command::new("promtool").arg("--version")).is_ok() {
        return Ok("promtool".into());
    }
    let folder = prepared("promtool", "prometheus", |folder| {
        let download =
            || run(Command::new("apt-get").args(["download", "prometheus"]).current_dir(folder));
        download().or_else(|_| {
            run(Command::new("apt-get").arg("update"))?;
            download()
        })?;
        let files =
            fs::read_dir(folder).expect("the target folder can be read").filter_map(Result::ok);
        let packages = files
            .map(|file| file.path())
            .filter(|path| path.extension().is_some_and(|end| end == "deb"));
        let package = packages.last().ok_or("apt-get brought no package")?;
        run(Command::new("dpkg-deb").arg("--extract").arg(package).arg(folder))
    })?;
    Ok(folder.join("usr/bin/promtool"))
}

fn run(command: &mut Command) -> Result<(), String> {
    let name = command.get_program().to_string_lossy().into_owned();
    match command.output() {
        Err(error) => Err(format!("`{name}` cannot be started: {error}")),
        Ok(Output { status, .. }) if status.success() => Ok(()),
        Ok(Output { stderr, .. }) => {
            let printed = String::from_utf8_lossy(&stderr);
            let last = printed
                .lines()
                .rev()
                .find(|line| !line.trim().is_empty())
                .unwrap_or("it printed no reason");
            let arguments: Vec<_> = command.get_args().map(OsStr::to_string_lossy).collect();
            Err(format!("`{name} {}` failed: {last}", arguments.join(" ")))
        }
    }
}

/// Passes a question to a program as JSON and returns its answer.
///
/// # Panics
/// If the program fails.
pub fn ask(program: &Path, arguments: &[&OsStr], question: &Value) -> Value {
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("the program starts");
    let mut input = child.stdin.take().expect("its input is a pipe");
    input.write_all(question.to_string().as_bytes()).expect("it reads the question first");
    drop(input);
    let output = child.wait_with_output().expect("it ends");
    let printed = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {printed}", program.display());
    serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{}: {error}: {printed}", program.display()))
}
