//! Folders of the user that both programs know.

use std::path::PathBuf;

use etcetera::BaseStrategy as _;

use crate::command_line::variable;

/// The folder for replaceable files: downloads, trained VAEs, checkpoints, measured speeds.
///
/// The environment variable `SWFN_CACHE` moves it. `None` if the user has no home.
#[must_use]
pub fn cache() -> Option<PathBuf> {
    let usual = || Some(etcetera::choose_base_strategy().ok()?.cache_dir().join("swfn"));
    variable("SWFN_CACHE").map(PathBuf::from).or_else(usual)
}
