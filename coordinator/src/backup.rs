//! `swfn-coordinator backup`: a consistent copy of a run directory, also while its sweep runs.

use std::{
    fs::{self, File},
    io,
    path::{self, Path},
    time::Instant,
};

use anyhow::{Context as _, ensure};
use swfn_shared::{problem, problem::OrProblem as _};
use swfn_store::{Store, TrialRow};

const DATABASE: &str = "sweep.sqlite";

/// Makes the copy, or leaves nothing; returns a summary.
pub(crate) fn run(run: &Path, copy: &Path) -> anyhow::Result<String> {
    let began = Instant::now();
    ensure!(
        copy.symlink_metadata().is_err(),
        problem!(
            "`{}` is there already, and nothing is overwritten", copy.display();
            "name another folder"
        )
    );
    let source = Store::open_live(&run.join(DATABASE))?;
    let name = copy.file_name().or_problem(
        || problem!("`{}` names no folder", copy.display(); "name one that is not there yet"),
    )?;
    // Beside it, so that one step renames it.
    let temporary = copy.with_file_name(format!(".{}.{}.tmp", name.display(), std::process::id()));
    let whole = run.canonicalize().with_context(|| format!("cannot find `{}`", run.display()))?;
    // The part of its path that exists.
    let parent = path::absolute(copy)?.ancestors().find_map(|folder| folder.canonicalize().ok());
    ensure!(
        parent.is_some_and(|folder| !folder.starts_with(&whole)),
        problem!(
            "`{}` would be part of what is copied", copy.display();
            "name a folder outside of `{}`", run.display()
        )
    );
    let made = copy_run(&source, run, &temporary).and_then(|copied| {
        fs::rename(&temporary, copy)
            .with_context(|| format!("cannot make `{}`", copy.display()))?;
        Ok(copied)
    });
    if made.is_err() {
        fs::remove_dir_all(&temporary).ok();
    }
    let (trials, bytes) = made?;
    Ok(format!(
        "{}: {} of {} trials done, {:.1} MB, copied in {:.1} s\n",
        copy.display(),
        trials.iter().filter(|row| row.outcome.is_some()).count(),
        trials.len(),
        bytes as f64 / 1e6,
        began.elapsed().as_secs_f64()
    ))
}

/// Copies the database and all files; returns the trials, and the number of bytes.
fn copy_run(source: &Store, run: &Path, target: &Path) -> anyhow::Result<(Vec<TrialRow>, u64)> {
    fs::create_dir_all(target).or_problem(
        || problem!("cannot make a folder beside `{}`", target.display(); "name another place"),
    )?;
    // Before the files: they are there before their trials count as done, so the copy lacks none.
    let database = target.join(DATABASE);
    source.copy_to(&database)?;
    let files = copy_files(run, target, true)?;
    let trials = Store::open_to_check(&database)?.trials()?;
    let flushed =
        File::open(&database).and_then(|file| file.sync_all().and_then(|()| file.metadata()));
    let flushed = flushed.with_context(|| format!("cannot write `{}`", database.display()))?;
    Ok((trials, files + flushed.len()))
}

/// Copies the files of a folder, except those of one process in the topmost folder: the lock, the
/// database with its log, and temporary files.
fn copy_files(from: &Path, to: &Path, is_top: bool) -> anyhow::Result<u64> {
    let mut bytes = 0;
    let unreadable = || format!("cannot read `{}`", from.display());
    for entry in fs::read_dir(from).with_context(unreadable)? {
        let entry = entry.with_context(unreadable)?;
        let (source, target) = (entry.path(), to.join(entry.file_name()));
        let name = entry.file_name().to_string_lossy().into_owned();
        if is_top && (name == "lock" || name.starts_with(DATABASE) || name.starts_with('.')) {
            continue;
        }
        let kind = entry.file_type().with_context(unreadable)?;
        if kind.is_dir() {
            fs::create_dir(&target)
                .with_context(|| format!("cannot make `{}`", target.display()))?;
            bytes += copy_files(&source, &target, false)?;
        } else if kind.is_file() {
            match fs::copy(&source, &target) {
                Ok(length) => bytes += length,
                // The coordinator has removed it in the meantime.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => {
                    let source = source.display();
                    let problem =
                        problem!("cannot copy `{source}`"; "check disk space and permissions");
                    return Err(problem.because(error).into());
                }
            }
        }
    }
    Ok(bytes)
}
