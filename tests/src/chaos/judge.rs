//! The judge of all scenarios compares a sweep with an undisturbed one of the same grid, which runs
//! once per grid.

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

/// Makes a sweep of that grid, on few images.
///
/// # Panics
/// If its folder cannot be written.
pub fn sweep(grid: &str) -> Sweep {
    Sweep::with_grid(grid).on(images::few())
}

/// Makes a sweep whose trials take their time: [`Sweep::slowed`].
///
/// # Panics
/// If its folder cannot be written.
pub fn slow(grid: &str, pause: u32) -> Sweep {
    sweep(grid).evaluated_every(REPORT_EVERY).slowed(pause)
}

/// Iterations between two reports of slowed trials. They are few, because such trials only have to
/// report and last.
const REPORT_EVERY: u32 = 30;

/// Eight trials, with and without function norm.
pub const EIGHT: &str = "seed = { count = 2 }\nsubset_size = 42\narchitecture = [\"net\", \"net+dropout\"]\nlambda = [0, 0.1]\npenalty_samples = 4";

/// Environment variable with the folder of undisturbed sweeps, which processes share.
pub const UNDISTURBED: &str = "SWFN_UNDISTURBED";

/// The results and files of an undisturbed sweep.
#[derive(Debug)]
struct Undisturbed {
    results: Vec<String>,
    /// Contents by trial and file name.
    files: BTreeMap<String, Vec<u8>>,
}

/// Compares the results of a sweep with those of an undisturbed one, and checks its journal.
/// Returns the number of results.
///
/// # Panics
/// If anything differs, with the differences.
pub fn judge(sweep: &Sweep) -> u64 {
    judge_without(sweep, &[])
}

/// Does the same as [`judge`], without these trials.
///
/// # Panics
/// If anything differs, with the differences.
pub fn judge_without(sweep: &Sweep, trials: &[&str]) -> u64 {
    // The journal comes first: it shows the cause, while differing results are an effect.
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

/// Removes the settings that do not affect results, so that such grids share one undisturbed sweep.
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
    // Other threads that need the same sweep wait here.
    let undisturbed = slot.get_or_init(|| match env::var_os(UNDISTURBED) {
        Some(folder) => Arc::new(shared(grid, Path::new(&folder))),
        None => Arc::new(run(&sound(grid))),
    });
    Arc::clone(undisturbed)
}

/// Makes a sweep of that grid without a planted bug.
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

/// The first process that needs the sweep runs it. Others wait and read its results.
fn shared(grid: &str, folder: &Path) -> Undisturbed {
    let mut hash = DefaultHasher::new();
    grid.hash(&mut hash);
    let folder = folder.join(format!("{:016x}", hash.finish()));
    fs::create_dir_all(&folder).expect("the shared folder can be written");
    let lock = File::create(folder.join("lock")).expect("the shared folder can be written");
    lock.lock().expect("a file can be locked");
    let (sweep, over) =
        (Sweep::existing(&folder).on(images::few()).with("SWFN_BUG", ""), folder.join("over"));
    if over.exists() {
        return left(&sweep);
    }
    fs::write(sweep.grid(), grid).expect("the shared folder can be written");
    let undisturbed = run(&sweep);
    fs::write(over, "").expect("the shared folder can be written");
    undisturbed
}

/// Reads the files of all trials. Hidden ones are incomplete and left out.
fn files(run_dir: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut files = all_files(run_dir);
    files.retain(|name, _| !is_hidden(name));
    files
}

/// Lists the hidden files of all trials. Only a kill may leave some.
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
