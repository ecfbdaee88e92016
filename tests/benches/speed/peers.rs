//! Runs the same steps in PyTorch and in JAX, as a user would write them: `bench.py` and
//! `bench_jax.py` in tests/reference.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    path::Path,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

use anyhow::Context as _;

use crate::command;

/// Seconds for which each turn is measured.
const SECONDS: &str = "1.5";

/// A way to train the same trials.
pub(crate) struct Peer {
    pub(crate) name: &'static str,
    pub(crate) module: &'static str,
    arguments: &'static [&'static str],
}

/// Each library at its best, for one trial and for eight at once.
pub(crate) const PEERS: [Peer; 6] = [
    Peer::new("PyTorch", "torch", &["bench.py"]),
    Peer::new("torch.compile", "torch", &["bench.py", "--compile"]),
    Peer::new("JAX, patches", "jax", &["bench_jax.py", "--form", "patches"]),
    Peer::new("JAX, convolution", "jax", &["bench_jax.py", "--form", "convolution"]),
    Peer::new(
        "JAX, patches, 8 lanes",
        "jax",
        &["bench_jax.py", "--form", "patches", "--lanes", "8"],
    ),
    Peer::new(
        "JAX, convolution, 8 lanes",
        "jax",
        &["bench_jax.py", "--form", "convolution", "--lanes", "8"],
    ),
];

impl Peer {
    const fn new(
        name: &'static str,
        module: &'static str,
        arguments: &'static [&'static str],
    ) -> Self {
        Self { name, module, arguments }
    }

    /// The version of the peer's library, or why it cannot run.
    pub(crate) fn version(&self, python: Option<&Path>) -> Result<String, String> {
        let hint = "hint: `make reference` makes one in target/reference (2.5 GB, and JAX), or `make bench PYTHON=FILE`";
        let python = python.ok_or_else(|| format!("no Python was named\n{hint}"))?;
        let shown = python.display();
        if !python.exists() {
            return Err(format!("`{shown}` is missing\n{hint}"));
        }
        let print = format!("import {0}; print({0}.__version__)", self.module);
        let version = command::output(Command::new(python).args(["-c", &print]));
        let version = version
            .map_err(|error| format!("`{shown}` has no {}\n{hint}\n{error:#}", self.module))?;
        Ok(format!("{} {}", self.module, version.trim()))
    }

    /// Starts a process that trains this case, compiled and warm. It waits between its turns.
    pub(crate) fn start(&self, python: &Path, case: &str) -> anyhow::Result<Turns> {
        let mut process = Command::new(python)
            .current_dir(command::repository().join("tests/reference"))
            .arg("-B")
            .args(self.arguments)
            .args(["--turns", SECONDS, case])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot start `{}`", python.display()))?;
        let (input, output) = (process.stdin.take(), process.stdout.take());
        let (input, output) = input.zip(output).context("a pipe of the process is missing")?;
        let mut turns = Turns { process, input, output: BufReader::new(output) };
        let ready = turns.line()?;
        anyhow::ensure!(ready == "ready", "{} said `{ready}` in place of `ready`", self.name);
        Ok(turns)
    }
}

/// A process that measures when it is its turn.
pub(crate) struct Turns {
    process: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Turns {
    /// Microseconds of the processor for an iteration of one trial.
    pub(crate) fn measure(&mut self) -> anyhow::Result<f64> {
        self.input.write_all(b"\n").context("a peer has ended")?;
        let line = self.line()?;
        let rate = line.parse::<f64>().ok().filter(|rate| *rate > 0.0);
        Ok(1e6 / rate.with_context(|| format!("a peer printed `{line}` in place of a rate"))?)
    }

    fn line(&mut self) -> anyhow::Result<String> {
        let mut line = String::new();
        let read = self.output.read_line(&mut line).context("a peer's output cannot be read")?;
        anyhow::ensure!(read > 0, "a peer ended before its turn; its error stands above");
        Ok(line.trim().to_owned())
    }
}

impl Drop for Turns {
    fn drop(&mut self) {
        // It has nothing to save.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
