//! What a sweep has must not leave in silence: results that a grid no longer names, files that were asked for too late, and a run
//! directory that somebody removes, moves or replaces while it is in use.

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context as _, anyhow, bail};
use swfn_shared::{
    artifacts::Artifacts, grid::Grid, ids::TrialId, output, problem, problem::Problem, text,
    trial::TrialSpec,
};
use swfn_store::{
    KnownTrial, Store, grid_file,
    run_dir::{self, RunDir, RunFiles},
};

/// How often the run directory is looked at.
const LOOK: Duration = Duration::from_secs(2);

/// Values of a setting that a message lists; of more it tells how many.
const VALUES: usize = 4;

/// The results of a run directory, held against a grid.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Stock {
    /// Trials of the grid that have results.
    pub(crate) done: HashSet<TrialId>,
    /// How many of those an earlier grid set aside.
    back: usize,
    /// Results of the last grid that this one lacks.
    aside: usize,
    /// Whether there are results, and no trial of the run directory is of the grid.
    pub(crate) is_other: bool,
}

impl Stock {
    pub(crate) fn of(known: &[KnownTrial], specs: &[TrialSpec]) -> Self {
        let grid: HashSet<TrialId> = specs.iter().map(TrialSpec::id).collect();
        let count =
            |fits: &dyn Fn(&KnownTrial) -> bool| known.iter().filter(|trial| fits(trial)).count();
        let done = known
            .iter()
            .filter(|trial| trial.succeeded && grid.contains(&trial.id))
            .map(|trial| trial.id);
        Self {
            done: done.collect(),
            back: count(&|trial| trial.succeeded && !trial.in_grid && grid.contains(&trial.id)),
            aside: count(&|trial| trial.succeeded && trial.in_grid && !grid.contains(&trial.id)),
            is_other: count(&|trial| trial.succeeded) > 0
                && count(&|trial| grid.contains(&trial.id)) == 0,
        }
    }

    /// What becomes of the results, in sentences.
    pub(crate) fn told(&self, run: &Path, grid: &Grid) -> Vec<String> {
        let mut told = Vec::new();
        if self.aside > 0 {
            let changes = changes(run, grid);
            told.push(format!(
                "this grid sets {} of `{}` aside{changes}",
                text::count(self.aside, "result"),
                run.display()
            ));
        }
        if self.back > 0 {
            let verb = if self.back == 1 { "comes" } else { "come" };
            told.push(format!(
                "{} of an earlier grid {verb} back without training",
                text::count(self.back, "result")
            ));
        }
        told
    }
}

/// Tells what becomes of results that are there already: of those that the grid lacks, and of those without the files that it wants.
///
/// A grid that shares no trial with the results is another study, which a person has to confirm by `replaces`.
pub(crate) fn take_stock(
    run_dir: &RunDir,
    store: &Store,
    grid: &Grid,
    specs: &[TrialSpec],
    text: &str,
    replaces: bool,
) -> anyhow::Result<()> {
    let (run, known) = (run_dir.path(), store.known()?);
    let stock = Stock::of(&known, specs);
    if stock.is_other && !replaces {
        let shown = run.display();
        match before_epochs(&known, text) {
            Some(Problem { what, hint, .. }) => {
                bail!(Problem::new(
                    format!("`{shown}` has the results of another grid: {what}"),
                    hint
                ))
            }
            None => bail!(problem!(
                "`{shown}` has the results of another grid, and none of its trials is in this \
                 one{}",
                changes(run, grid);
                "--replace sets them aside, for `report --grid N`; or name another folder with \
                 --run-dir"
            )),
        }
    }
    let kept = if stock.aside > 0 { keep_grid(run_dir)? } else { None };
    for told in stock.told(run, grid) {
        output::print_message(&format!("note: {told}"));
    }
    if let Some(number) = kept {
        output::print_message(&format!(
            "note: they are kept: `swfn-coordinator report {0} --grid {number}` shows them, and {0}/grids/{number}.toml brings them back",
            run.display()
        ));
    }
    too_late(run_dir, &stock.done, grid.artifacts);
    Ok(())
}

/// Keeps the grid that was run last under a number, which it may have already.
fn keep_grid(run_dir: &RunDir) -> anyhow::Result<Option<u32>> {
    let Ok(last) = fs::read_to_string(run_dir.path().join("grid.toml")) else { return Ok(None) };
    let earlier = grid_file::earlier(run_dir.path());
    let same =
        earlier.iter().find(|(_, path)| fs::read_to_string(path).is_ok_and(|text| text == last));
    if let Some((number, _)) = same {
        return Ok(Some(*number));
    }
    let (number, folder) = (earlier.last().map_or(1, |(number, _)| number + 1), run_dir.grids());
    fs::create_dir_all(&folder).with_context(|| format!("cannot make `{}`", folder.display()))?;
    run_dir::replace(&folder, &format!("{number}.toml"), |file| {
        Ok(file.write_all(last.as_bytes())?)
    })?;
    Ok(Some(number))
}

/// Which settings are not as in the grid that was run last, from what to what: the end of a sentence.
fn changes(run: &Path, grid: &Grid) -> String {
    let file = run.join("grid.toml");
    let last = grid_file::read(&file).ok().and_then(|text| Grid::parse("", &text, u64::MAX).ok());
    let Some(last) = last else { return String::new() };
    let [old, new] = [&last, grid].map(values);
    let shown = |values: Option<&BTreeSet<String>>| match values {
        None => "none".to_owned(),
        Some(values) if values.len() > VALUES => format!("{} values", values.len()),
        Some(values) => values.iter().map(String::as_str).collect::<Vec<_>>().join(", "),
    };
    let keys: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    let changed = keys.into_iter().filter(|key| old.get(*key) != new.get(*key));
    let lines: Vec<_> = changed
        .map(|key| format!("\n  {key}: {} -> {}", shown(old.get(key)), shown(new.get(key))))
        .collect();
    if lines.is_empty() { String::new() } else { format!(":{}", lines.concat()) }
}

/// The values of each setting.
fn values(grid: &Grid) -> BTreeMap<String, BTreeSet<String>> {
    let mut values: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for spec in grid.trials() {
        for (key, value) in swfn_report::settings(&spec) {
            values.entry(key).or_default().insert(value);
        }
    }
    values
}

/// What to do where the results are of this very grid, from before it could say how epochs go.
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

/// Tells of trials that had succeeded before their files were asked for.
fn too_late(run_dir: &RunDir, done: &HashSet<TrialId>, wanted: Artifacts) {
    if wanted == Artifacts::default() {
        return;
    }
    let folder = run_dir.artifacts();
    let missing = done.iter().filter(|id| !folder.join(id.to_string()).exists()).count();
    if missing > 0 {
        output::print_message(&format!(
            "note: {} had succeeded before [artifacts] asked for files, and leave none\nhint: another --run-dir trains all anew",
            trials(missing)
        ));
    }
}

/// A number of trials in words.
pub(crate) fn trials(count: usize) -> String {
    text::count(count, "trial")
}

/// Waits until the run directory is not where it was.
pub(crate) async fn lost(place: &RunFiles) -> String {
    loop {
        tokio::time::sleep(LOOK).await;
        if let Some(what) = place.lost() {
            return what;
        }
    }
}

/// Saves what the sweep has, if its files are not where they were; says where everything is.
pub(crate) fn save(
    run_dir: &RunDir,
    place: &RunFiles,
    store: &Store,
    text: &str,
) -> Option<anyhow::Error> {
    let what = place.lost()?;
    let all_is_in = |shown: std::path::Display<'_>| {
        anyhow!(problem!(
            "{what} while the sweep ran";
            "all results are in `{shown}`: go on with --run-dir {shown}"
        ))
    };
    Some(match run_dir.moved_to(place) {
        Some(folder) => all_is_in(folder.display()),
        None => match copy(run_dir.path(), store, text) {
            Ok(saved) => all_is_in(saved.display()),
            Err(error) => error
                .context(format!("{what} while the sweep ran, and the results cannot be saved")),
        },
    })
}

fn copy(path: &Path, store: &Store, text: &str) -> anyhow::Result<PathBuf> {
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let free = |number: &u32| !path.with_file_name(format!("{name}.saved-{number}")).exists();
    let number = (1..).find(free).context("there is no free name")?;
    let saved = path.with_file_name(format!("{name}.saved-{number}"));
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
    fn results_are_told_of_by_what_becomes_of_them() {
        let dir = tempfile::tempdir().unwrap();
        let (old, new) = (text("[0, 1, 2]", 1000), text("[2, 3, 4, 5, 6]", 1000));
        fs::write(dir.path().join("grid.toml"), &old).unwrap();
        let (old, new) = (grid(&old), grid(&new));
        let specs: Vec<_> = new.trials().collect();
        let mut all = known(&old, true);
        // A seed of an earlier grid, which has been out of the grid.
        all.push(KnownTrial { id: specs[1].id(), succeeded: true, in_grid: false });
        let stock = Stock::of(&all, &specs);
        assert_eq!((stock.done.len(), stock.back, stock.aside, stock.is_other), (2, 1, 2, false));
        let shown = dir.path().display();
        assert_eq!(
            stock.told(dir.path(), &new),
            [
                format!(
                    "this grid sets 2 results of `{shown}` aside:\n  seed: 0, 1, 2 -> 5 values"
                ),
                "1 result of an earlier grid comes back without training".to_owned(),
            ]
        );
        assert_eq!(Stock::of(&[], &specs), Stock::default());
    }

    #[test]
    fn another_study_has_to_be_confirmed_and_its_grid_is_kept_once() {
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
        fs::write(run_dir.path().join("grid.toml"), &texts[0]).unwrap();
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
        assert_eq!(grid_file::earlier(run_dir.path()), [], "nothing was changed");
        for _ in 0..2 {
            take(&store, &new, &texts[1], true).unwrap();
            let earlier = grid_file::earlier(run_dir.path());
            assert_eq!(earlier, [(1, run_dir.grids().join("1.toml"))]);
            assert_eq!(fs::read_to_string(&earlier[0].1).unwrap(), texts[0]);
        }
        store.set_trials(&new).unwrap();
        // It has trials of both by now.
        take(&store, &new, &texts[1], false).unwrap();
        take(&store, &old, &texts[0], false).unwrap();
    }

    #[test]
    fn results_from_before_epochs_could_be_chosen_are_known_again() {
        let grid = |rest: &str| {
            format!(
                "version = 1\nname = \"t\"\n[data]\ndataset = \"synthetic\"\n[grid]\nsubset_size = 100\nseed = [0]\n\
                 architecture = \"net\"\nlambda = 0\n[classifier]\n{rest}"
            )
        };
        let told = |before: &str, now: &str| {
            let before = Grid::parse_before_epochs("t", &grid(before), DEFAULT_MAX_TRIALS).unwrap();
            before_epochs(&known(&before, true), &grid(now))
        };
        let every_50 = "evaluate_every = 50\n";
        assert!(
            told(every_50, every_50)
                .unwrap()
                .hint
                .contains("`epochs = \"restart\"` and `restart_every = 50`")
        );
        assert_eq!(told(every_50, "evaluate_every = 20\n"), None);
    }
}
