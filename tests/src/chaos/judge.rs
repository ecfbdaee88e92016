//! The judge of all scenarios: an undisturbed sweep of the same grid, once for each grid.

use std::{
    collections::{BTreeMap, HashMap},
    env,
    fs::{self, File},
    hash::{DefaultHasher, Hash as _, Hasher as _},
    path::Path,
    sync::{Arc, Mutex, OnceLock, PoisonError},
};

use super::audit;
pub use crate::sweep::grid;
use crate::{images, sweep::Sweep};

/// A sweep of such a grid.
///
/// # Panics
/// If its folder cannot be written.
pub fn sweep(grid: &str) -> Sweep {
    Sweep::of_grid(grid).on(images::few())
}

/// The same with trials that take their time: [`Sweep::slowed`].
///
/// # Panics
/// If its folder cannot be written.
pub fn slow(grid: &str, pause: u32) -> Sweep {
    sweep(grid).evaluated_every(REPORT_EVERY).slowed(pause)
}

/// Iterations between two reports of such trials: few, since what counts is that they report and last.
const REPORT_EVERY: u32 = 30;

/// Eight trials, with and without function norm.
pub const EIGHT: &str = "seed = { count = 2 }\nsubset_size = 42\narchitecture = [\"net\", \"net+dropout\"]\nlambda = [0, 0.1]\npenalty_samples = 4";

/// Environment variable with a folder of undisturbed sweeps, which processes share.
pub const UNDISTURBED: &str = "SWFN_UNDISTURBED";

/// What an undisturbed sweep leaves behind.
#[derive(Debug)]
struct Undisturbed {
    results: Vec<String>,
    /// By trial and name.
    files: BTreeMap<String, Vec<u8>>,
}

/// Holds what a sweep has left behind against an undisturbed one, and its journal against the rules. Returns the number of results.
///
/// # Panics
/// With the differences.
pub fn judge(sweep: &Sweep) -> u64 {
    judge_without(sweep, &[])
}

/// [`judge`], of all trials but these.
///
/// # Panics
/// With the differences.
pub fn judge_without(sweep: &Sweep, trials: &[&str]) -> u64 {
    // The journal first: it names the cause, and results that differ are its effect.
    audit::audit(sweep);
    let text = fs::read_to_string(sweep.grid()).expect("the grid is there");
    let expected = undisturbed(&without_limits(&text));
    let others = |lines: &[String]| -> Vec<String> {
        let other = |line: &&String| !trials.iter().any(|trial| line.contains(trial));
        lines.iter().filter(other).cloned().collect()
    };
    let (results, wanted) = (others(&sweep.results()), others(&expected.results));
    if results != wanted {
        let differs = |(found, expected): &(&String, &String)| found != expected;
        let pairs = results.iter().zip(&wanted);
        let different: Vec<_> = pairs.filter(differs).take(3).collect();
        panic!(
            "{} lines, {} expected; they differ first in {different:#?}",
            results.len(),
            wanted.len()
        );
    }
    let files = files(&sweep.run_dir());
    let names = |files: &BTreeMap<String, Vec<u8>>| files.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&files), names(&expected.files), "the files of the trials");
    for (name, content) in &files {
        assert!(*content == expected.files[name], "`{name}` is not that of an undisturbed sweep");
    }
    results.iter().filter(|line| line.starts_with("trials.csv")).count() as u64
}

/// Grids that differ in these alone have the same results.
fn without_limits(grid: &str) -> String {
    let limits = ["lease_seconds", "stall_seconds", "max_losses", "max_failures"];
    let others = grid.lines().filter(|line| !limits.iter().any(|limit| line.starts_with(limit)));
    others.map(|line| format!("{line}\n")).collect()
}

fn undisturbed(grid: &str) -> Arc<Undisturbed> {
    type Known = HashMap<String, Arc<OnceLock<Arc<Undisturbed>>>>;
    static KNOWN: Mutex<Option<Known>> = Mutex::new(None);
    let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    let slot = Arc::clone(known.get_or_insert_default().entry(grid.to_owned()).or_default());
    drop(known);
    // Others that need the same one wait for it.
    let undisturbed = slot.get_or_init(|| match env::var_os(UNDISTURBED) {
        Some(folder) => Arc::new(shared(grid, Path::new(&folder))),
        None => Arc::new(run(&sound(grid))),
    });
    Arc::clone(undisturbed)
}

/// A sweep of such a grid without a planted bug.
fn sound(grid: &str) -> Sweep {
    sweep(grid).with("SWFN_BUG", "")
}

fn run(sweep: &Sweep) -> Undisturbed {
    sweep.coordinator("undisturbed", &["--local-workers", "1"]).succeed();
    left(sweep)
}

fn left(sweep: &Sweep) -> Undisturbed {
    Undisturbed { results: sweep.results(), files: files(&sweep.run_dir()) }
}

/// Run by the first process that needs it; others wait, and read what is left of it.
fn shared(grid: &str, folder: &Path) -> Undisturbed {
    let mut hash = DefaultHasher::new();
    grid.hash(&mut hash);
    let folder = folder.join(format!("{:016x}", hash.finish()));
    fs::create_dir_all(&folder).expect("the shared folder can be written");
    let lock = File::create(folder.join("lock")).expect("the shared folder can be written");
    lock.lock().expect("a file can be locked");
    let (sweep, over) =
        (Sweep::in_place(&folder).on(images::few()).with("SWFN_BUG", ""), folder.join("over"));
    if over.exists() {
        return left(&sweep);
    }
    fs::write(sweep.grid(), grid).expect("the shared folder can be written");
    let undisturbed = run(&sweep);
    fs::write(over, "").expect("the shared folder can be written");
    undisturbed
}

/// The files of all trials, hidden ones left out: those are not whole.
fn files(run_dir: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut files = all_files(run_dir);
    files.retain(|name, _| !is_hidden(name));
    files
}

/// The hidden files of all trials. A kill may leave some, and nothing else.
pub fn unfinished(run_dir: &Path) -> Vec<String> {
    all_files(run_dir).into_keys().filter(|name| is_hidden(name)).collect()
}

fn is_hidden(name: &str) -> bool {
    name.contains("/.")
}

fn all_files(run_dir: &Path) -> BTreeMap<String, Vec<u8>> {
    let list =
        |folder: &Path| fs::read_dir(folder).into_iter().flatten().flatten().collect::<Vec<_>>();
    let mut files = BTreeMap::new();
    for trial in list(&run_dir.join("artifacts")) {
        for file in list(&trial.path()) {
            let name = format!("{}/{}", trial.file_name().display(), file.file_name().display());
            files.insert(name, fs::read(file.path()).expect("a file can be read"));
        }
    }
    files
}
