//! The rules that any journal keeps, whatever has happened.

use std::collections::BTreeMap;

use crate::sweep::Sweep;

/// Checks the journal and the results of a finished sweep.
///
/// # Panics
/// If attempts are not numbered without a gap, an attempt ends that was not running, or a trial
/// succeeds twice or has events after its end. Also if a result is not from the attempt that
/// succeeded and the worker that held its lease.
pub fn audit(sweep: &Sweep) {
    let mut results = rows(sweep);
    // For each trial: the newest attempt, its worker, whether it runs, whether the trial has ended.
    let mut trials: BTreeMap<String, (u32, Option<String>, bool, bool)> = BTreeMap::new();
    for line in sweep.journal() {
        let (attempt, worker, live, over) = trials.entry(line.trial.clone()).or_default();
        assert!(!*over, "a trial goes on after its end: {line:?}");
        if line.kind == "leased" {
            assert!(!*live, "a trial is leased twice at a time: {line:?}");
            assert_eq!(line.attempt, *attempt + 1, "attempts are numbered: {line:?}");
            (*attempt, *worker, *live) = (line.attempt, line.worker.clone(), true);
            continue;
        }
        if line.kind == "retried" {
            assert!(!*live, "a trial is tried again that is under way: {line:?}");
            continue;
        }
        assert!(*live && line.attempt == *attempt, "only the attempt under way can end: {line:?}");
        *live = false;
        if line.kind == "succeeded" {
            *over = true;
            let result = results.remove(&(line.trial.clone(), line.attempt));
            assert_eq!(
                result.as_ref(),
                worker.as_ref(),
                "the result is of who held the lease: {line:?}"
            );
        }
    }
    assert!(results.is_empty(), "results of attempts that did not succeed: {results:?}");
    let torn = sweep.query("SELECT count(*) FROM trial WHERE state = 'leased'");
    assert_eq!(torn, Some(0), "nothing is under way when a sweep is over");
}

/// Reads the worker of each result, by trial and attempt.
fn rows(sweep: &Sweep) -> BTreeMap<(String, u32), String> {
    let database = sweep.database().expect("the run directory has a database");
    let sql = "SELECT trial.id, result.attempt, worker FROM result JOIN trial ON trial.number = result.trial";
    let mut query = database.prepare(sql).expect("the results can be read");
    let rows = query.query_map([], |row| Ok(((row.get(0)?, row.get(1)?), row.get(2)?)));
    rows.and_then(Iterator::collect).expect("the results can be read")
}
