//! `swfn-coordinator check`: compares the results of a run directory with their checksums.

use std::{path::Path, time::Instant};

use swfn_store::{Store, TrialRow, run_dir};

/// Hashes all rows, those of the second training included; returns a summary.
pub(crate) fn run(run: &Path) -> anyhow::Result<String> {
    let began = Instant::now();
    let second = run.join(run_dir::VERIFICATION).join("sweep.sqlite");
    let trials = Store::open_to_check(&run.join("sweep.sqlite"))?.trials()?;
    if second.is_file() {
        Store::open_to_check(&second)?;
    }
    let succeeded = |row: &&TrialRow| row.outcome.is_some();
    Ok(format!(
        "{}: {} of {} trials done, all rows are those that were written, checked in {:.1} s\n",
        run.display(),
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
    fn a_changed_number_is_found() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("sweep.sqlite");
        let mut store = Store::open(&path).unwrap();
        let specs = specs(1);
        let lease = LeaseId { trial: specs[0].id(), attempt: 1 };
        store.set_trials(&specs).unwrap();
        store.write(0.0, &leased(lease)).unwrap();
        store.write(0.0, &batch(lease, 0.9)).unwrap();
        drop(store);
        let text = run(dir.path()).unwrap();
        assert!(
            text.contains("1 of 2 trials done, all rows are those that were written"),
            "{text}"
        );
        let edit = "UPDATE outcome SET value = 0.91 WHERE metric = 'final_test_accuracy'";
        rusqlite::Connection::open(&path).unwrap().execute_batch(edit).unwrap();
        let error = run(dir.path()).unwrap_err().to_string();
        assert!(
            error.contains("the rows of table `outcome` are not those that were written"),
            "{error}"
        );
        assert!(run(&dir.path().join("nowhere")).unwrap_err().to_string().contains("is not there"));
    }
}
