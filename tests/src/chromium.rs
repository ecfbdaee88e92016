//! Chromium for tests, where it is installed. The report's own tests include this file.

use std::path::PathBuf;

/// Names under which Chromium is installed.
const NAMES: [&str; 4] = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];

/// Arguments of every start: no window, no GPU, no requests of its own.
pub(crate) const QUIET: [&str; 5] = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--no-first-run",
];

/// Looks for Chromium in `PATH`; a message says if it is missing.
pub(crate) fn find() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path)
        .flat_map(|folder| NAMES.map(|name| folder.join(name)))
        .find(|file| file.is_file());
    if found.is_none() {
        let names = NAMES.join(", ");
        eprintln!("skipped: no Chromium in PATH ({names})\nhint: Debian has the package chromium");
    }
    found
}
