//! Runs the same steps in PyTorch, as a user would write them: tests/reference/bench.py.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::Context as _;

use crate::command;

/// Seconds for which each case is measured.
const SECONDS: &str = "1.5";

/// A Python that has PyTorch.
pub(crate) struct PyTorch {
    python: PathBuf,
    pub(crate) version: String,
}

impl PyTorch {
    /// Finds a Python with PyTorch, or says why there is none.
    pub(crate) fn find(python: Option<&Path>) -> Result<Self, String> {
        let hint = "hint: `make reference` makes one in target/reference (2.5 GB), or `make bench PYTHON=FILE`";
        let python = python.ok_or_else(|| format!("no Python with PyTorch was named\n{hint}"))?;
        let shown = python.display();
        if !python.exists() {
            return Err(format!("`{shown}` is missing\n{hint}"));
        }
        let version = command::output(
            Command::new(python).args(["-c", "import torch; print(torch.__version__)"]),
        );
        let version =
            version.map_err(|error| format!("`{shown}` has no PyTorch\n{hint}\n{error:#}"))?;
        Ok(Self { python: python.to_owned(), version: version.trim().to_owned() })
    }

    /// Measures the microseconds of a step.
    pub(crate) fn step(&self, case: &str) -> anyhow::Result<f64> {
        let mut program = Command::new(&self.python);
        program
            .current_dir(command::repository().join("tests/reference"))
            .args(["-B", "bench.py", SECONDS, case]);
        let text = command::output(&mut program)?;
        let rate = text
            .trim()
            .strip_prefix(case)
            .and_then(|rest| rest.trim_start_matches(':').split_whitespace().next());
        let rate = rate.and_then(|rate| rate.parse::<f64>().ok()).filter(|rate| *rate > 0.0);
        Ok(1e6
            / rate.with_context(|| {
                format!("bench.py printed no rate of `{case}`: `{}`", text.trim())
            })?)
    }
}
