//! Rows are read back; writing again changes nothing; foreign files are refused.

use swfn_shared::{
    event::{Blame, Event},
    grid::{DEFAULT_MAX_TRIALS, Grid},
    ids::LeaseId,
    metrics::{MAX_SECONDS, MetricPoint, TEST_ACCURACY, TRAIN_LOSS},
    state::TrialState,
    trial::TrialSpec,
};

use super::{
    Batch, CurveSums, Store, StoreError,
    live::{self, Page},
    read::CurveRow,
    samples::{DIGEST, batch, leased, specs},
};

pub(super) fn curves(store: &Store) -> Vec<(i64, f64)> {
    let mut rows = Vec::new();
    let each = |row: CurveRow| {
        rows.push((row.step, row.value));
        Ok(())
    };
    store.curves(each).unwrap();
    rows
}

#[test]
fn a_reopened_store_has_its_rows() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("sweep.sqlite");
    let specs = specs(2);
    let lease = LeaseId { trial: specs[1].id(), attempt: 2 };
    let mut losses = Vec::new();
    {
        let mut store = Store::open(&path).unwrap();
        store.set_trials(&specs).unwrap();
        let first = LeaseId { attempt: 1, ..lease };
        store.write(0.0, &leased(first)).unwrap();
        // Points of an attempt that does not win.
        let stray = Batch { points: batch(first, 0.1).points, ..Batch::default() };
        store.write(1.0, &stray).unwrap();
        let lost = Event::Lost {
            lease: first,
            error: "killed".into(),
            log: "last words".into(),
            blame: Blame::Among,
            quarantine: false,
        };
        store.write(2.0, &Batch { events: vec![lost.clone()], ..Batch::default() }).unwrap();
        losses.push(lost);
        store.write(3.0, &leased(lease)).unwrap();
        store.write(4.0, &batch(lease, 0.9)).unwrap();
        // Sent again, with another number: the first stands.
        store.write(5.0, &Batch { events: Vec::new(), ..batch(lease, 0.7) }).unwrap();
    }
    let store = Store::open(&path).unwrap();
    let journal = store.journal().unwrap();
    assert_eq!(journal.len(), 4);
    assert_eq!((&journal[1], &journal[3]), (&losses[0], &Event::Succeeded { lease }));
    let rows = store.trials().unwrap();
    assert_eq!(
        rows.iter().map(|row| row.id).collect::<Vec<_>>(),
        specs.iter().map(TrialSpec::id).collect::<Vec<_>>()
    );
    let outcome = rows[1].outcome.unwrap();
    assert_eq!(outcome.final_test_accuracy, 0.9);
    assert_eq!(
        (outcome.validation_accuracy, outcome.validated_test_accuracy),
        (Some(0.25), Some(0.75))
    );
    assert_eq!(
        (rows[1].state, rows[1].attempts, rows[1].error.as_deref()),
        (TrialState::Succeeded, 2, Some("killed"))
    );
    assert_eq!(rows[1].log.as_deref(), Some("last words"));
    assert!(rows[0].outcome.is_none());
    assert_eq!(curves(&store), [(100, 0.5), (200, 0.9)]);
}

#[test]
fn a_grid_may_grow_and_shrink() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("sweep.sqlite");
    let mut store = Store::open(&path).unwrap();
    store.set_trials(&specs(1)).unwrap();
    let lease = LeaseId { trial: specs(1)[0].id(), attempt: 1 };
    store.write(0.0, &leased(lease)).unwrap();
    store.write(0.0, &batch(lease, 0.9)).unwrap();
    store.set_trials(&specs(3)).unwrap();
    let done =
        |store: &Store| store.trials().unwrap().iter().filter(|row| row.outcome.is_some()).count();
    assert_eq!((store.trials().unwrap().len(), done(&store)), (6, 1));
    store.set_trials(&specs(3)[1..]).unwrap();
    assert_eq!((store.trials().unwrap().len(), done(&store)), (5, 0), "left out, not deleted");
    store.set_trials(&specs(3)).unwrap();
    assert_eq!(done(&store), 1);
}

/// The fixture is the dump of a file that the last program of version 1 wrote.
#[test]
fn version_1_is_migrated_with_all_rows() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("sweep.sqlite");
    rusqlite::Connection::open(&path)
        .unwrap()
        .execute_batch(include_str!("fixtures/version-1.sql"))
        .unwrap();
    Store::open(&path).unwrap();
    let mut store = Store::open(&path).unwrap();
    let rows = store.trials().unwrap();
    let accuracies = rows.iter().map(|row| row.outcome.map(|outcome| outcome.final_test_accuracy));
    assert_eq!(accuracies.collect::<Vec<_>>(), [Some(0.1041), Some(0.1048)]);
    let worker = rows[0].worker.as_ref().unwrap();
    assert_eq!(
        (worker.threads, &worker.cuda, &rows[0].dataset_digest),
        (None, &None, &None),
        "nobody knows"
    );
    assert_eq!((store.journal().unwrap().len(), curves(&store).len()), (4, 8));
    // It can be written to like a new one.
    store.set_trials(&specs(1)).unwrap();
    let lease = LeaseId { trial: specs(1)[0].id(), attempt: 1 };
    store.write(0.0, &leased(lease)).unwrap();
    store.write(0.0, &batch(lease, 0.9)).unwrap();
    assert_eq!(store.trials().unwrap()[0].dataset_digest.as_deref(), Some(DIGEST));
}

/// The dump of a file that the last program of version 2 wrote, of a sweep whose worker was killed
/// once.
#[test]
fn version_2_is_migrated_and_sums_its_rows() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("sweep.sqlite");
    let dump = include_str!("fixtures/version-2.sql");
    rusqlite::Connection::open(&path).unwrap().execute_batch(dump).unwrap();
    drop(Store::open(&path).unwrap());
    let store = Store::open(&path).unwrap();
    let rows = store.trials().unwrap();
    assert!(rows.iter().all(|row| row.outcome.is_some()));
    let lost =
        store.journal().unwrap().into_iter().find(|event| matches!(event, Event::Lost { .. }));
    assert!(
        matches!(lost, Some(Event::Lost { blame: Blame::Alone, log, .. }) if log.is_empty()),
        "as it counted then"
    );
    drop(store);
    let connection = rusqlite::Connection::open(&path).unwrap();
    connection
        .execute(
            "UPDATE outcome SET value = 0.0 WHERE trial = 1 AND metric = 'final_test_loss'",
            [],
        )
        .unwrap();
    assert!(matches!(Store::open(&path), Err(StoreError::Damaged(_))));
}

/// The dump of a file that the last program of version 3 wrote; it sums its rows already, without
/// what version 4 has more.
#[test]
fn version_3_is_checked_and_migrated() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("sweep.sqlite");
    let dump = include_str!("fixtures/version-3.sql");
    let connection = rusqlite::Connection::open(&path).unwrap();
    connection.execute_batch(dump).unwrap();
    // A number that became another one is noticed before anything is migrated.
    let set = |loss: f64| {
        connection
            .execute("UPDATE result SET final_test_loss = ?1 WHERE trial = 1", [loss])
            .unwrap()
    };
    let loss = connection
        .query_row("SELECT final_test_loss FROM result WHERE trial = 1", [], |row| row.get(0))
        .unwrap();
    set(0.0);
    assert!(matches!(Store::open(&path), Err(StoreError::Damaged(_))));
    set(loss);
    let version =
        || connection.pragma_query_value(None, "user_version", |row| row.get::<_, i64>(0)).unwrap();
    assert_eq!(version(), 3);
    drop(Store::open(&path).unwrap());
    assert_eq!(version(), 5);
    let mut store = Store::open(&path).unwrap();
    let rows = store.trials().unwrap();
    assert!(
        rows.len() == 4
            && rows.iter().all(|row| row.outcome.unwrap().validation_accuracy.is_none())
    );
    assert!(rows.iter().all(|row| row.outcome.unwrap().final_test_accuracy > 0.3), "{rows:?}");
    store.set_trials(&specs(1)).unwrap();
    let lease = LeaseId { trial: specs(1)[0].id(), attempt: 1 };
    store.write(0.0, &leased(lease)).unwrap();
    store.write(0.0, &batch(lease, 0.9)).unwrap();
    drop(store);
    let outcome = Store::open(&path).unwrap().trials().unwrap()[0].outcome.unwrap();
    assert_eq!((outcome.final_test_accuracy, outcome.validated_test_accuracy), (0.9, Some(0.75)));
}

/// The dump of a file of the last program of version 4, which was killed in the middle of its
/// sweep.
#[test]
fn version_4_keeps_its_results_and_trials() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("sweep.sqlite");
    let connection = rusqlite::Connection::open(&path).unwrap();
    connection.execute_batch(include_str!("fixtures/version-4.sql")).unwrap();
    let numbers = |sql: &str| -> Vec<(String, f64, f64, Option<f64>, String)> {
        let mut query = connection.prepare(sql).unwrap();
        let row = |row: &rusqlite::Row<'_>| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?))
        };
        query.query_map([], row).unwrap().collect::<Result<_, _>>().unwrap()
    };
    let results =
        "SELECT id, final_test_accuracy, classifier_seconds, validated_test_accuracy, worker
                   FROM result JOIN trial ON trial.number = result.trial ORDER BY id";
    let settings =
        "SELECT id, lambda, weight_decay, penalty_samples + learning_rate + subset_size + seed,
                    dataset || architecture || density FROM trial ORDER BY id";
    let before = (numbers(results), numbers(settings));
    assert_eq!((before.0.len(), before.1.len()), (9, 16));
    let mut store = Store::open(&path).unwrap();
    assert_eq!((numbers(results), numbers(settings)), before);
    let grid =
        Grid::parse("old", include_str!("fixtures/version-4.toml"), DEFAULT_MAX_TRIALS).unwrap();
    let specs: Vec<TrialSpec> = grid.trials().collect();
    store.set_trials(&specs).unwrap();
    let rows = store.trials().unwrap();
    assert!(rows.iter().map(|row| row.id).eq(specs.iter().map(TrialSpec::id)), "no trial is new");
    assert_eq!(rows.iter().filter(|row| row.outcome.is_some()).count(), 9);
    drop(store);
    Store::open_to_check(&path).unwrap();
}

#[test]
fn other_files_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("sweep.sqlite");
    std::fs::write(
        &path,
        "no database, but a text that is long enough to be looked at by SQLite's header check",
    )
    .unwrap();
    assert!(matches!(Store::open(&path), Err(StoreError::Damaged(_))));
    std::fs::remove_file(&path).unwrap();
    Store::open(&path).unwrap().connection.pragma_update(None, "user_version", 99).unwrap();
    let error = Store::open(&path).unwrap_err().to_string();
    assert!(error.contains("schema version `99`") && error.contains("hint:"), "{error}");
}

/// Killed in the evening, and gone on with in the morning: nobody worked in the night.
#[test]
fn leases_end_with_the_last_sign_of_life() {
    let dir = tempfile::tempdir().unwrap();
    let specs = specs(1);
    let mut store = Store::open(&dir.path().join("sweep.sqlite")).unwrap();
    store.set_trials(&specs).unwrap();
    let lease = |index: usize, attempt| LeaseId { trial: specs[index].id(), attempt };
    let released =
        Batch { events: vec![Event::Released { lease: lease(1, 1) }], ..Batch::default() };
    store.write(100.0, &leased(lease(0, 1))).unwrap();
    store.write(110.0, &leased(lease(1, 1))).unwrap();
    store.write(150.0, &batch(lease(0, 1), 0.5)).unwrap();
    store.write(50_000.0, &released).unwrap();
    store.write(50_001.0, &leased(lease(1, 2))).unwrap();
    store.write(50_030.0, &batch(lease(1, 2), 0.5)).unwrap();
    let mut spans: Vec<_> =
        store.lease_spans().unwrap().iter().map(|span| (span.from, span.to)).collect();
    spans.sort_by(|one, other| one.0.total_cmp(&other.0));
    assert_eq!(spans, [(100.0, 150.0), (110.0, 150.0), (50_001.0, 50_030.0)]);
}

#[test]
fn huge_points_of_older_versions_do_not_count() {
    let dir = tempfile::tempdir().unwrap();
    let specs = specs(2);
    let mut store = Store::open(&dir.path().join("sweep.sqlite")).unwrap();
    store.set_trials(&specs).unwrap();
    let cell = specs[0].cell();
    let trials: Vec<_> =
        specs.iter().filter(|spec| spec.cell() == cell).map(TrialSpec::id).collect();
    assert_eq!(trials.len(), 2);
    for (trial, huge) in trials.iter().zip([1.7e308, -1.7e308]) {
        let lease = LeaseId { trial: *trial, attempt: 1 };
        store.write(0.0, &leased(lease)).unwrap();
        let mut batch = batch(lease, 0.5);
        for (step, value) in [(101, huge), (102, huge), (103, 0.25)] {
            batch.points[0].1.push(MetricPoint { metric: TEST_ACCURACY, step, value });
        }
        (batch.results[0].outcome.final_test_loss, batch.results[0].outcome.classifier_seconds) =
            (1.7e308, 1.7e308);
        store.write(1.0, &batch).unwrap();
    }
    let mut sums = CurveSums::default();
    store.add_curves(TEST_ACCURACY, &trials, 200, &mut sums).unwrap();
    let curve = &sums.curves()[&cell];
    let means: Vec<_> = curve.iter().map(|point| (point.step, point.n, point.mean)).collect();
    assert_eq!(means, [(100, 2, 0.5), (103, 2, 0.25), (200, 2, 0.5)]);
    let outcomes: Vec<_> =
        store.trials().unwrap().into_iter().filter_map(|row| row.outcome).collect();
    assert!(
        outcomes.iter().map(|outcome| outcome.classifier_seconds).sum::<f64>() <= 2.0 * MAX_SECONDS
    );
}

#[test]
fn unknown_metrics_have_no_points() {
    let dir = tempfile::tempdir().unwrap();
    let specs = specs(1);
    let mut store = Store::open(&dir.path().join("sweep.sqlite")).unwrap();
    store.set_trials(&specs).unwrap();
    let lease = LeaseId { trial: specs[0].id(), attempt: 1 };
    store.write(0.0, &leased(lease)).unwrap();
    store.write(1.0, &batch(lease, 0.5)).unwrap();
    let page = Page { limit: 10, offset: 0 };
    let points = |metric| live::points(&store.connection, lease.trial, metric, page).unwrap();
    let count = |metric| points(metric).map(|(_, total, _)| total);
    assert_eq!([None, Some(TEST_ACCURACY)].map(count), [Some(2); 2]);
    // A file of a version that did not report that metric.
    store.connection.execute("DELETE FROM metric WHERE name = ?1", [TRAIN_LOSS]).unwrap();
    assert_eq!(count(Some(TRAIN_LOSS)), Some(0));
}
