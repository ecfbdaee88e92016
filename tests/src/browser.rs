//! A headless Chromium, where there is one.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use tempfile::TempDir;

/// Names under which it is installed.
const NAMES: [&str; 4] = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];

/// What a page came to.
#[derive(Debug)]
pub struct Rendered {
    /// Its elements, after its scripts have run.
    pub dom: String,
    /// What they said to the console; violations of a content security policy are said there, too.
    pub console: Vec<String>,
}

/// The browser, if it is installed; says so if it is not.
pub fn find() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found =
        std::env::split_paths(&path).flat_map(|folder| NAMES.map(|name| folder.join(name))).find(|file| file.is_file());
    if found.is_none() {
        eprintln!("skipped: no Chromium is installed (one of {})", NAMES.join(", "));
    }
    found
}

fn start(browser: &Path, url: &str, options: &[&str]) -> (String, String) {
    let profile = TempDir::new().expect("a temporary folder can be made");
    let output = Command::new(browser)
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run"])
        .args(["--enable-logging=stderr", "--virtual-time-budget=10000"])
        .arg(format!("--user-data-dir={}", profile.path().display()))
        .args(options)
        .arg(url)
        .output()
        .expect("the browser starts");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (text(&output.stdout), text(&output.stderr))
}

/// Opens a page and waits until it is at rest.
///
/// # Panics
/// If the browser does not start.
pub fn render(browser: &Path, url: &str) -> Rendered {
    let (dom, log) = start(browser, url, &["--dump-dom"]);
    Rendered { dom, console: log.lines().filter(|line| line.contains("CONSOLE")).map(str::to_owned).collect() }
}
