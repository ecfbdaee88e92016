//! `swfn-coordinator backup`: a copy of a run directory that is whole, whatever the coordinator does meanwhile.

use std::{
    fs::{self, File},
    io,
    path::{self, Path, PathBuf},
    time::Instant,
};

use anyhow::{Context as _, bail, ensure};
use clap::Args;
use swfn_shared::{problem, problem::OrProblem as _};
use swfn_store::Store;

const DATABASE: &str = "sweep.sqlite";

/// The options of `backup`.
#[derive(Debug, Args)]
pub(crate) struct BackupArguments {
    /// The run directory of a sweep, running or not
    #[arg(value_name = "RUN_DIR")]
    run: PathBuf,
    /// Folder for the copy, which must not be there yet
    #[arg(value_name = "COPY")]
    copy: PathBuf,
}

/// Makes the copy, or leaves nothing; returns what is in it.
pub(crate) fn run(arguments: &BackupArguments) -> anyhow::Result<String> {
    let BackupArguments { run, copy } = arguments;
    let began = Instant::now();
    if copy.symlink_metadata().is_ok() {
        bail!(problem!(
            "`{}` is there already, and nothing is overwritten", copy.display();
            "name another folder"
        ));
    }
    let source = Store::open_live(&run.join(DATABASE))?;
    let name = copy.file_name().or_problem(
        || problem!("`{}` names no folder", copy.display(); "name one that is not there yet"),
    )?;
    // Beside it, so that it can take its name in one step.
    let temporary = copy.with_file_name(format!(".{}.{}.tmp", name.display(), std::process::id()));
    let whole = run.canonicalize().with_context(|| format!("cannot find `{}`", run.display()))?;
    // What of its path is there already.
    let place = path::absolute(copy)?.ancestors().find_map(|folder| folder.canonicalize().ok());
    ensure!(
        place.is_some_and(|folder| !folder.starts_with(&whole)),
        problem!(
            "`{}` would be part of what is copied", copy.display();
            "name a folder outside of `{}`", run.display()
        )
    );
    let made = make(&source, run, &temporary).and_then(|told| {
        fs::rename(&temporary, copy)
            .with_context(|| format!("cannot make `{}`", copy.display()))?;
        Ok(told)
    });
    if made.is_err() {
        fs::remove_dir_all(&temporary).ok();
    }
    let Copied { succeeded, trials, bytes } = made?;
    Ok(format!(
        "{}: {succeeded} of {trials} trials done, {:.1} MB, copied in {:.1} s\n",
        copy.display(),
        bytes as f64 / 1e6,
        began.elapsed().as_secs_f64()
    ))
}

/// What a copy holds.
struct Copied {
    trials: usize,
    succeeded: usize,
    bytes: u64,
}

fn make(source: &Store, run: &Path, target: &Path) -> anyhow::Result<Copied> {
    fs::create_dir_all(target).or_problem(
        || problem!("cannot make a folder beside `{}`", target.display(); "name another place"),
    )?;
    // Before the files: those are there before their trials count as done, so that the copy lacks none.
    let database = target.join(DATABASE);
    source.copy_to(&database)?;
    let mut bytes = copy_files(run, target, true)?;
    let copied = Store::open_to_check(&database)?.trials()?;
    let flushed =
        File::open(&database).and_then(|file| file.sync_all().and_then(|()| file.metadata()));
    bytes += flushed.with_context(|| format!("cannot write `{}`", database.display()))?.len();
    let succeeded = copied.iter().filter(|row| row.outcome.is_some()).count();
    Ok(Copied { trials: copied.len(), succeeded, bytes })
}

/// Copies what a folder holds, but not what belongs to one process: the lock, the database with its log, tables that are being written.
fn copy_files(from: &Path, to: &Path, top: bool) -> anyhow::Result<u64> {
    let mut bytes = 0;
    for entry in fs::read_dir(from).with_context(|| format!("cannot read `{}`", from.display()))? {
        let entry = entry.with_context(|| format!("cannot read `{}`", from.display()))?;
        let (source, target) = (entry.path(), to.join(entry.file_name()));
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if top && (name == "lock" || name.starts_with(DATABASE) || name.starts_with('.')) {
            continue;
        }
        let kind =
            entry.file_type().with_context(|| format!("cannot read `{}`", source.display()))?;
        if kind.is_dir() {
            fs::create_dir(&target)
                .with_context(|| format!("cannot make `{}`", target.display()))?;
            bytes += copy_files(&source, &target, false)?;
        } else if kind.is_file() {
            match fs::copy(&source, &target) {
                Ok(length) => bytes += length,
                // The coordinator tidies up, too.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => {
                    let problem = problem!("cannot copy `{}`", source.display(); "check disk space and permissions");
                    return Err(problem.because(error).into());
                }
            }
        }
    }
    Ok(bytes)
}
