//! Runs programs to their end and reads their output.

use std::{path::Path, process::Command};

use anyhow::{Context as _, bail};

/// Returns the standard output of a program that succeeds.
pub(crate) fn output(command: &mut Command) -> anyhow::Result<String> {
    let shown = format!("{command:?}");
    let output = command.output().with_context(|| format!("cannot start `{shown}`"))?;
    if !output.status.success() {
        let text = String::from_utf8_lossy(&output.stderr);
        let lines = Vec::from_iter(text.lines());
        let last = lines[lines.len().saturating_sub(20)..].join("\n");
        bail!("`{shown}` failed ({}); its last words:\n{last}", output.status);
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Returns the cargo that started this program, in the repository's root.
pub(crate) fn cargo() -> Command {
    let mut command = Command::new(env!("CARGO"));
    command.current_dir(repository());
    command
}

/// Returns the root of the repository.
pub(crate) fn repository() -> &'static Path {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    tests.parent().unwrap_or(tests)
}
