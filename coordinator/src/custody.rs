//! What a sweep has must not leave in silence: results that a grid no longer names, files that were asked for too late, and a run
//! directory that somebody removes, moves or replaces while it is in use.

use std::{
    collections::HashSet,
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context as _, anyhow, bail};
use swfn_shared::{artifacts::Artifacts, grid::Grid, ids::TrialId, output, trial::TrialSpec};
use swfn_store::{
    Store,
    run_dir::{Place, RunDir},
};

/// How often the run directory is looked at.
const LOOK: Duration = Duration::from_secs(2);

/// Trials of a run directory, and whether they have succeeded.
type Known = [(TrialId, bool)];

/// The grid file that a run directory was last run with, of which not all trials are in the new one.
const PREVIOUS: &str = "grid.previous.toml";

/// Tells what becomes of results that are there already: of those that the grid lacks, and of those without the files that it wants.
pub(crate) fn take_stock(
    run_dir: &RunDir,
    store: &Store,
    grid: &Grid,
    specs: &[TrialSpec],
    text: &str,
) -> anyhow::Result<()> {
    let (known, in_grid) = (store.known()?, specs.iter().map(TrialSpec::id).collect());
    set_aside(run_dir, &known, &in_grid, text)?;
    too_late(run_dir, &known, &in_grid, grid.artifacts);
    Ok(())
}

/// Tells of results that a new grid sets aside, and refuses one that has none of them: it is another study.
fn set_aside(run_dir: &RunDir, known: &Known, in_grid: &HashSet<TrialId>, text: &str) -> anyhow::Result<()> {
    let shown = run_dir.path().display();
    let aside = known.iter().filter(|(id, succeeded)| *succeeded && !in_grid.contains(id)).count();
    if aside == 0 {
        return Ok(());
    }
    if !known.iter().any(|(id, _)| in_grid.contains(id)) {
        bail!("`{shown}` has the results of {}, and none is of this grid: {}", trials(aside), whose(known, text));
    }
    let before = fs::read_to_string(run_dir.path().join("grid.toml")).unwrap_or_default();
    let told = if before.is_empty() || before == text {
        String::new()
    } else {
        run_dir.write(PREVIOUS, |file| Ok(file.write_all(before.as_bytes())?))?;
        format!("; their grid is kept in `{shown}/{PREVIOUS}`, and brings them back")
    };
    output::say(&format!(
        "note: this grid lacks {} that `{shown}` has results of: they are kept, and stand in no table{told}",
        trials(aside)
    ));
    Ok(())
}

/// Whose results those of a run directory are, and what to do.
fn whose(known: &Known, text: &str) -> String {
    let known: HashSet<_> = known.iter().map(|(id, _)| *id).collect();
    let meant = Grid::parse_before_epochs("grid.toml", text, u64::MAX).ok();
    let common = meant.and_then(|grid| grid.trials().find(|spec| known.contains(&spec.id())));
    match common.and_then(|spec| spec.classifier.epochs.restart_every()) {
        None => {
            "it is another sweep's\nhint: give this one a folder of its own with --run-dir, or another name".to_owned()
        }
        Some(every) => format!(
            "when they were trained, each evaluation started a fresh epoch\nhint: to go on like that, write `epochs = \"restart\"` \
             and `restart_every = {every}` under [classifier]; for the results of continuous epochs, name another --run-dir"
        ),
    }
}

/// Tells of trials that had succeeded before their files were asked for.
fn too_late(run_dir: &RunDir, known: &Known, in_grid: &HashSet<TrialId>, wanted: Artifacts) {
    if wanted == Artifacts::default() {
        return;
    }
    let folder = run_dir.artifacts();
    let without = |id: &TrialId| in_grid.contains(id) && !folder.join(id.to_string()).exists();
    let missing = known.iter().filter(|(id, succeeded)| *succeeded && without(id)).count();
    if missing > 0 {
        output::say(&format!(
            "note: {} had succeeded before [artifacts] asked for files, and leave none\nhint: another --run-dir trains all anew",
            trials(missing)
        ));
    }
}

/// A number of trials in words.
pub(crate) fn trials(count: usize) -> String {
    if count == 1 { "1 trial".to_owned() } else { format!("{count} trials") }
}

/// Waits until the run directory is not where it was.
pub(crate) async fn lost(place: &Place) -> String {
    loop {
        tokio::time::sleep(LOOK).await;
        if let Some(what) = place.lost() {
            return what;
        }
    }
}

/// Saves what the sweep has, if its files are not where they were; says where everything is.
pub(crate) fn save(run_dir: &RunDir, place: &Place, store: &Store, text: &str) -> Option<anyhow::Error> {
    let what = place.lost()?;
    let all_is_in = |shown: std::path::Display<'_>| {
        anyhow!("{what} while the sweep ran\nhint: all results are in `{shown}`: go on with --run-dir {shown}")
    };
    Some(match run_dir.moved_to(place) {
        Some(folder) => all_is_in(folder.display()),
        None => match copy(run_dir.path(), store, text) {
            Ok(saved) => all_is_in(saved.display()),
            Err(error) => error.context(format!("{what} while the sweep ran, and the results cannot be saved")),
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
    fs::write(saved.join("grid.toml"), text).with_context(|| format!("cannot write into `{}`", saved.display()))?;
    Ok(saved)
}

#[cfg(test)]
mod tests {
    use swfn_shared::grid::DEFAULT_MAX_TRIALS;

    use super::*;

    #[test]
    fn results_from_before_epochs_could_be_chosen_are_known_again() {
        let grid = |rest: &str| {
            format!(
                "version = 1\nname = \"t\"\n[data]\ndataset = \"synthetic\"\n[grid]\nsubset_size = 100\nseed = 0\n\
                 architecture = \"net\"\nlambda = 0\n[classifier]\n{rest}"
            )
        };
        let known = |text: &str| -> Vec<_> {
            let grid = Grid::parse_before_epochs("t", text, DEFAULT_MAX_TRIALS).unwrap();
            grid.trials().map(|spec| (spec.id(), true)).collect()
        };
        let told = |before: &str, now: &str| whose(&known(&grid(before)), &grid(now));
        let every_50 = "evaluate_every = 50\n";
        assert!(told(every_50, every_50).contains("`epochs = \"restart\"` and `restart_every = 50`"));
        assert!(told(every_50, "evaluate_every = 20\n").contains("another sweep's"));
    }
}
