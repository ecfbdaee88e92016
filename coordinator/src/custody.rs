//! Care for results: those that a new grid no longer names, files that were asked for too late, and
//! a run directory that somebody removes, moves or replaces during a sweep.

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context as _, bail};
use swfn_shared::{
    artifacts::Artifacts, grid::Grid, ids::TrialId, output, problem, problem::Problem, text,
    trial::TrialSpec,
};
use swfn_store::{
    KnownTrial, Store, grid_file,
    run_dir::{self, GRIDS, RunDir, RunFiles},
};

/// Time between two looks at the run directory.
const LOOK: Duration = Duration::from_secs(2);

/// Values of a setting that a message lists; of more it gives the number.
const VALUES: usize = 4;

/// The results of a run directory, compared with a grid.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Inventory {
    /// Trials of the grid that have results.
    pub(crate) done: HashSet<TrialId>,
    /// How many of those an earlier grid had set aside.
    returning: usize,
    /// Results of the last grid that this one lacks.
    set_aside: usize,
    /// Whether there are results, and the run directory has no trial of the grid.
    pub(crate) is_other: bool,
}

impl Inventory {
    pub(crate) fn new(known: &[KnownTrial], specs: &[TrialSpec]) -> Self {
        let grid: HashSet<TrialId> = specs.iter().map(TrialSpec::id).collect();
        let succeeded = || known.iter().filter(|trial| trial.succeeded);
        let (named, others): (Vec<&KnownTrial>, Vec<&KnownTrial>) =
            succeeded().partition(|trial| grid.contains(&trial.id));
        Self {
            done: named.iter().map(|trial| trial.id).collect(),
            returning: named.iter().filter(|trial| !trial.in_grid).count(),
            set_aside: others.iter().filter(|trial| trial.in_grid).count(),
            is_other: succeeded().next().is_some()
                && !known.iter().any(|trial| grid.contains(&trial.id)),
        }
    }

    /// Sentences about the results that this grid sets aside or takes back.
    pub(crate) fn describe(&self, run: &Path, grid: &Grid) -> Vec<String> {
        let mut sentences = Vec::new();
        if self.set_aside > 0 {
            let (count, changes) = (text::count(self.set_aside, "result"), changes(run, grid));
            sentences.push(format!("this grid sets {count} of `{}` aside{changes}", run.display()));
        }
        if self.returning > 0 {
            let count = text::count(self.returning, "result");
            let verb = if self.returning == 1 { "comes" } else { "come" };
            sentences.push(format!("{count} of an earlier grid {verb} back without training"));
        }
        sentences
    }
}

/// Prints notes about existing results: those that the grid lacks, and those without the files that
/// it asks for.
///
/// A grid that shares no trial with the results is another study, so it needs `replaces`.
pub(crate) fn take_stock(
    run_dir: &RunDir,
    store: &Store,
    grid: &Grid,
    specs: &[TrialSpec],
    text: &str,
    replaces: bool,
) -> anyhow::Result<()> {
    let (run, known) = (&run_dir.path, store.known()?);
    let inventory = Inventory::new(&known, specs);
    if inventory.is_other && !replaces {
        let shown = run.display();
        bail!(match before_epochs(&known, text) {
            Some(Problem { what, hint, .. }) =>
                problem!("`{shown}` has the results of another grid: {what}"; "{hint}"),
            None => problem!(
                "`{shown}` has the results of another grid, and none of its trials is in this \
                 one{}",
                changes(run, grid);
                "--replace sets them aside, for `report --grid N`; or name another folder with \
                 --run-dir"
            ),
        });
    }
    let kept = if inventory.set_aside > 0 { keep_grid(run_dir)? } else { None };
    for sentence in inventory.describe(run, grid) {
        output::print_message(&format!("note: {sentence}"));
    }
    if let Some(number) = kept {
        output::print_message(&format!(
            "note: they are kept: `swfn-coordinator report {0} --grid {number}` shows them, and \
             {0}/grids/{number}.toml brings them back",
            run.display()
        ));
    }
    note_missing_files(run_dir, &inventory.done, grid.artifacts);
    Ok(())
}

/// Keeps the last grid under a number, unless it has one.
fn keep_grid(run_dir: &RunDir) -> anyhow::Result<Option<u32>> {
    let Ok(last) = fs::read_to_string(run_dir.path.join("grid.toml")) else { return Ok(None) };
    let earlier = grid_file::earlier(&run_dir.path);
    let is_last = |path: &PathBuf| fs::read_to_string(path).is_ok_and(|text| text == last);
    if let Some((number, _)) = earlier.iter().find(|(_, path)| is_last(path)) {
        return Ok(Some(*number));
    }
    let (number, folder) =
        (earlier.last().map_or(1, |(number, _)| number + 1), run_dir.path.join(GRIDS));
    fs::create_dir_all(&folder).with_context(|| format!("cannot make `{}`", folder.display()))?;
    let name = format!("{number}.toml");
    run_dir::replace(&folder, &name, |file| Ok(file.write_all(last.as_bytes())?))?;
    Ok(Some(number))
}

/// The settings that differ from the last grid, with old and new values: the end of a sentence.
fn changes(run: &Path, grid: &Grid) -> String {
    let last = grid_file::read(&run.join("grid.toml")).ok();
    let Some(last) = last.and_then(|text| Grid::parse("", &text, u64::MAX).ok()) else {
        return String::new();
    };
    let [old, new] = [&last, grid].map(values);
    let shown = |values: Option<&BTreeSet<String>>| match values {
        None => "none".to_owned(),
        Some(values) if values.len() > VALUES => format!("{} values", values.len()),
        Some(values) => values.iter().map(String::as_str).collect::<Vec<_>>().join(", "),
    };
    let keys: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    let changed = keys.into_iter().filter(|key| old.get(*key) != new.get(*key));
    let lines: String = changed
        .map(|key| format!("\n  {key}: {} -> {}", shown(old.get(key)), shown(new.get(key))))
        .collect();
    if lines.is_empty() { lines } else { format!(":{lines}") }
}

fn values(grid: &Grid) -> BTreeMap<String, BTreeSet<String>> {
    let mut values: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (key, value) in grid.trials().flat_map(|spec| swfn_report::settings(&spec)) {
        values.entry(key).or_default().insert(value);
    }
    values
}

/// Explains results of this very grid from before `[classifier] epochs` existed.
fn before_epochs(known: &[KnownTrial], text: &str) -> Option<Problem> {
    let known: HashSet<_> = known.iter().map(|trial| trial.id).collect();
    let meant = Grid::parse_before_epochs("grid.toml", text, u64::MAX).ok()?;
    let common = meant.trials().find(|spec| known.contains(&spec.id()))?;
    let every = common.classifier.epochs.restart_every()?;
    Some(problem!(
        "when they were trained, each evaluation started a fresh epoch";
        "to go on like that, write `epochs = \"restart\"` and `restart_every = {every}` under \
         [classifier]; for the results of continuous epochs, name another --run-dir"
    ))
}

/// Notes trials that had succeeded before the grid asked for files.
fn note_missing_files(run_dir: &RunDir, done: &HashSet<TrialId>, wanted: Artifacts) {
    if wanted == Artifacts::default() {
        return;
    }
    let folder = run_dir.path.join("artifacts");
    let missing = done.iter().filter(|id| !folder.join(id.to_string()).exists()).count();
    if missing > 0 {
        output::print_message(&format!(
            "note: {} had succeeded before [artifacts] asked for files, and leave none\n\
             hint: another --run-dir trains all anew",
            text::count(missing, "trial")
        ));
    }
}

/// Waits until the run directory is no longer at its place; returns what happened to it.
pub(crate) async fn wait_for_loss(place: &RunFiles) -> String {
    loop {
        tokio::time::sleep(LOOK).await;
        if let Some(what) = place.lost() {
            return what;
        }
    }
}

/// Saves the results if the run directory is no longer at its place; the error names their folder.
pub(crate) fn save(
    run_dir: &RunDir,
    place: &RunFiles,
    store: &Store,
    text: &str,
) -> anyhow::Result<()> {
    let Some(what) = place.lost() else { return Ok(()) };
    let saved = match run_dir.moved_to(place) {
        Some(folder) => folder,
        None => copy(&run_dir.path, store, text).with_context(|| {
            format!("{what} while the sweep ran, and the results cannot be saved")
        })?,
    };
    let shown = saved.display();
    bail!(problem!(
        "{what} while the sweep ran";
        "all results are in `{shown}`: go on with --run-dir {shown}"
    ))
}

fn copy(path: &Path, store: &Store, text: &str) -> anyhow::Result<PathBuf> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let folder = |number: u32| path.with_file_name(format!("{name}.saved-{number}"));
    let saved = (1..).map(folder).find(|folder| !folder.exists());
    let saved = saved.context("there is no free name")?;
    fs::create_dir_all(&saved).with_context(|| format!("cannot make `{}`", saved.display()))?;
    store.copy_to(&saved.join("sweep.sqlite"))?;
    fs::write(saved.join("grid.toml"), text)
        .with_context(|| format!("cannot write into `{}`", saved.display()))?;
    Ok(saved)
}

#[cfg(test)]
mod tests {
    use swfn_shared::grid::DEFAULT_MAX_TRIALS;

    use super::*;

    fn text(seeds: &str, iterations: u32) -> String {
        format!(
            "version = 1\nname = \"t\"\n[data]\ndataset = \"mnist\"\n[grid]\nsubset_size = 100\narchitecture = \"net\"\n\
             lambda = 0\nseed = {seeds}\n[classifier]\niterations = {iterations}\n"
        )
    }

    fn grid(text: &str) -> Grid {
        Grid::parse("t", text, DEFAULT_MAX_TRIALS).unwrap()
    }

    fn known(grid: &Grid, in_grid: bool) -> Vec<KnownTrial> {
        grid.trials().map(|spec| KnownTrial { id: spec.id(), succeeded: true, in_grid }).collect()
    }

    #[test]
    fn results_are_counted_as_returning_or_set_aside() {
        let dir = tempfile::tempdir().unwrap();
        let (old, new) = (text("[0, 1, 2]", 1000), text("[2, 3, 4, 5, 6]", 1000));
        fs::write(dir.path().join("grid.toml"), &old).unwrap();
        let (old, new) = (grid(&old), grid(&new));
        let specs: Vec<_> = new.trials().collect();
        let mut all = known(&old, true);
        // A seed that an earlier grid had.
        all.push(KnownTrial { id: specs[1].id(), succeeded: true, in_grid: false });
        let inventory = Inventory::new(&all, &specs);
        assert_eq!(
            (inventory.done.len(), inventory.returning, inventory.set_aside, inventory.is_other),
            (2, 1, 2, false)
        );
        let shown = dir.path().display();
        assert_eq!(
            inventory.describe(dir.path(), &new),
            [
                format!(
                    "this grid sets 2 results of `{shown}` aside:\n  seed: 0, 1, 2 -> 5 values"
                ),
                "1 result of an earlier grid comes back without training".to_owned(),
            ]
        );
        assert_eq!(Inventory::new(&[], &specs), Inventory::default());
    }

    #[test]
    fn another_study_must_be_confirmed() {
        let dir = tempfile::tempdir().unwrap();
        let run_dir = RunDir::open(&dir.path().join("run")).unwrap();
        let texts = [text("[0, 1]", 1000), text("[0, 1]", 1500)];
        let mut store = Store::open(&run_dir.database()).unwrap();
        let [old, new]: [Vec<TrialSpec>; 2] =
            [0, 1].map(|number: usize| grid(&texts[number]).trials().collect());
        store.set_trials(&old).unwrap();
        for spec in &old {
            let lease = swfn_shared::ids::LeaseId { trial: spec.id(), attempt: 1 };
            store.write(1.0, &swfn_store::samples::leased(lease)).unwrap();
            store.write(2.0, &swfn_store::samples::batch(lease, 0.5)).unwrap();
        }
        fs::write(run_dir.path.join("grid.toml"), &texts[0]).unwrap();
        let take = |store: &Store, specs: &[TrialSpec], text: &str, replaces| {
            take_stock(&run_dir, store, &grid(text), specs, text, replaces)
        };
        let error = take(&store, &new, &texts[1], false).unwrap_err().to_string();
        assert!(
            error.contains(
                "is in this one:\n  classifier.iterations: 1000 -> 1500\nhint: --replace"
            ),
            "{error}"
        );
        assert_eq!(grid_file::earlier(&run_dir.path), [], "nothing was changed");
        for _ in 0..2 {
            take(&store, &new, &texts[1], true).unwrap();
            let earlier = grid_file::earlier(&run_dir.path);
            assert_eq!(earlier, [(1, run_dir.path.join(GRIDS).join("1.toml"))]);
            assert_eq!(fs::read_to_string(&earlier[0].1).unwrap(), texts[0]);
        }
        store.set_trials(&new).unwrap();
        // Now it has trials of both grids.
        take(&store, &new, &texts[1], false).unwrap();
        take(&store, &old, &texts[0], false).unwrap();
    }

    #[test]
    fn results_from_before_epochs_are_recognised() {
        let grid = |rest: &str| {
            format!(
                "version = 1\nname = \"t\"\n[data]\ndataset = \"synthetic\"\n[grid]\nsubset_size = 100\nseed = [0]\n\
                 architecture = \"net\"\nlambda = 0\n[classifier]\n{rest}"
            )
        };
        let problem = |before: &str, now: &str| {
            let before = Grid::parse_before_epochs("t", &grid(before), DEFAULT_MAX_TRIALS).unwrap();
            before_epochs(&known(&before, true), &grid(now))
        };
        let every_50 = "evaluate_every = 50\n";
        assert!(
            problem(every_50, every_50)
                .unwrap()
                .hint
                .contains("`epochs = \"restart\"` and `restart_every = 50`")
        );
        assert_eq!(problem(every_50, "evaluate_every = 20\n"), None);
    }
}
