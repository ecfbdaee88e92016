//! `swfn-coordinator check`: whether the results of a run directory are those that were written.

use std::{path::PathBuf, time::Instant};

use clap::Args;
use swfn_store::{Store, TrialRow, run_dir};

/// The options of `check`.
#[derive(Debug, Args)]
pub(crate) struct CheckArguments {
    /// The run directory of a sweep, running or not
    #[arg(value_name = "RUN_DIR")]
    run: PathBuf,
}

/// Hashes all rows, those of second trainings included; returns what is in the run directory.
pub(crate) fn run(arguments: &CheckArguments) -> anyhow::Result<String> {
    let began = Instant::now();
    let database = |folder: PathBuf| folder.join("sweep.sqlite");
    let second = database(arguments.run.join(run_dir::VERIFICATION));
    let trials = Store::open_to_check(&database(arguments.run.clone()))?.trials()?;
    if second.is_file() {
        Store::open_to_check(&second)?;
    }
    let succeeded = |row: &&TrialRow| row.outcome.is_some();
    Ok(format!(
        "{}: {} of {} trials done, all rows are those that were written, checked in {:.1} s\n",
        arguments.run.display(),
        trials.iter().filter(succeeded).count(),
        trials.len(),
        began.elapsed().as_secs_f64()
    ))
}

#[cfg(test)]
mod tests {
    use swfn_shared::ids::LeaseId;
    use swfn_store::samples::{batch, leased, specs};

    use super::*;

    #[test]
    fn a_number_that_became_another_one_is_named_whatever_the_last_end_was() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("sweep.sqlite");
        let mut store = Store::open(&path).unwrap();
        let specs = specs(1);
        let lease = LeaseId { trial: specs[0].id(), attempt: 1 };
        store.set_trials(&specs).unwrap();
        store.write(0.0, &leased(lease)).unwrap();
        store.write(0.0, &batch(lease, 0.9)).unwrap();
        drop(store);
        let arguments = CheckArguments { run: dir.path().to_owned() };
        let told = run(&arguments).unwrap();
        assert!(
            told.contains("1 of 2 trials done, all rows are those that were written"),
            "{told}"
        );
        let edit = "UPDATE outcome SET value = 0.91 WHERE metric = 'final_test_accuracy'";
        rusqlite::Connection::open(&path).unwrap().execute_batch(edit).unwrap();
        let error = run(&arguments).unwrap_err().to_string();
        assert!(
            error.contains("the rows of table `outcome` are not those that were written"),
            "{error}"
        );
        let nowhere = CheckArguments { run: dir.path().join("nowhere") };
        assert!(run(&nowhere).unwrap_err().to_string().contains("is not there"));
    }
}
