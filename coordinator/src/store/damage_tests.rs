//! A file that was cut or changed is refused, or is what it was after some commit: never something else.

use std::{fs, path::Path};

use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use swfn_shared::{ids::LeaseId, trial::TrialSpec};

use super::{
    Store, StoreError,
    tests::{batch, curves, leased, specs},
};

/// Places that are damaged, one at a time.
const PLACES: u64 = 500;

/// Everything that is ever read.
fn content(store: &Store) -> Result<String, String> {
    let journal = store.journal().map_err(|error| error.to_string())?;
    let trials = store.trials().map_err(|error| error.to_string())?;
    let mut points = Vec::new();
    let each = |row| {
        points.push(row);
        Ok(())
    };
    store.curves(each).map_err(|error| error.to_string())?;
    Ok(format!("{journal:?} {trials:?} {points:?}"))
}

/// A run directory whose coordinator was killed: some commits in the file, some in the log beside it. What it held after each of those.
fn killed(folder: &Path) -> Vec<String> {
    let path = folder.join("open.sqlite");
    let mut store = Store::open(&path).unwrap();
    let specs = specs(3);
    store.set_trials(&specs).unwrap();
    let mut contents = Vec::new();
    for (index, spec) in specs.iter().enumerate() {
        let lease = LeaseId { trial: spec.id(), attempt: 1 };
        if index == 3 {
            let query = "PRAGMA wal_checkpoint(TRUNCATE)";
            store.connection.query_row(query, [], |_| Ok(())).unwrap();
            contents.drain(..contents.len() - 1);
        }
        store.write(index as f64, &leased(lease)).unwrap();
        contents.push(content(&store).unwrap());
        store.write(index as f64, &batch(lease, 0.9)).unwrap();
        contents.push(content(&store).unwrap());
    }
    assert_eq!(curves(&store).len(), 12);
    for end in ["", "-wal"] {
        fs::copy(folder.join(format!("open.sqlite{end}")), folder.join(format!("killed.sqlite{end}"))).unwrap();
    }
    contents
}

fn damage(bytes: &mut Vec<u8>, random: &mut ChaCha8Rng) {
    let place = random.random_range(0..bytes.len());
    match random.random_range(0..4) {
        0 => bytes.truncate(place),
        1 => bytes[place] ^= 1 << random.random_range(0..8),
        2 => bytes[place] = random.random(),
        _ => {
            let end = bytes.len().min(place + 512);
            bytes[place..end].fill(0);
        }
    }
}

#[test]
fn a_damaged_file_is_refused_or_as_it_was_after_a_commit() {
    let folder = tempfile::tempdir().unwrap();
    let contents = killed(folder.path());
    let whole = ["", "-wal"].map(|end| fs::read(folder.path().join(format!("killed.sqlite{end}"))).unwrap());
    let (mut refused, mut recovered, mut unharmed) = (0, 0, 0);
    for seed in 0..PLACES {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let mut files = whole.clone();
        let which = usize::from(random.random_bool(0.5));
        damage(&mut files[which], &mut random);
        let path = folder.path().join("damaged.sqlite");
        for (end, bytes) in ["", "-wal"].iter().zip(&files) {
            fs::write(folder.path().join(format!("damaged.sqlite{end}")), bytes).unwrap();
        }
        fs::remove_file(folder.path().join("damaged.sqlite-shm")).ok();
        match Store::open(&path).map_err(|error| error.to_string()).and_then(|store| content(&store)) {
            Err(_) => refused += 1,
            Ok(content) if Some(&content) == contents.last() => unharmed += 1,
            Ok(content) => {
                assert!(which == 1 && contents.contains(&content), "seed {seed}, file {which}: {content}");
                recovered += 1;
            }
        }
    }
    println!("{PLACES} places: {refused} refused, {recovered} as after an earlier commit, {unharmed} without effect");
    assert!(refused > 50 && recovered > 50, "{refused} {recovered} {unharmed}");
}

/// SQLite's own check does not notice a number that became another number.
#[test]
fn a_number_that_is_not_the_one_that_was_written_is_noticed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sweep.sqlite");
    let specs: Vec<TrialSpec> = specs(1);
    let lease = LeaseId { trial: specs[0].id(), attempt: 1 };
    let mut store = Store::open(&path).unwrap();
    store.set_trials(&specs).unwrap();
    store.write(0.0, &leased(lease)).unwrap();
    store.write(0.0, &batch(lease, 0.9)).unwrap();
    drop(store);
    let changed = |sql: &str, back: &str| {
        rusqlite::Connection::open(&path).unwrap().execute_batch(sql).unwrap();
        let error = Store::open(&path).err();
        rusqlite::Connection::open(&path).unwrap().execute_batch(back).unwrap();
        Store::open(&path).unwrap();
        error
    };
    for (sql, back, table) in [
        ("UPDATE result SET final_test_accuracy = 0.91", "UPDATE result SET final_test_accuracy = 0.9", "result"),
        ("UPDATE point SET value = 0.6 WHERE step = 100", "UPDATE point SET value = 0.5 WHERE step = 100", "point"),
        ("UPDATE event SET attempt = 2 WHERE kind = 'leased'", "UPDATE event SET attempt = 1", "event"),
        ("UPDATE worker SET host = 'other'", "UPDATE worker SET host = 'h'", "worker"),
        ("UPDATE trial SET seed = 7 WHERE number = 1", "UPDATE trial SET seed = 0 WHERE number = 1", "trial"),
    ] {
        let error = changed(sql, back).unwrap_or_else(|| panic!("{sql} was not noticed"));
        assert!(matches!(error, StoreError::Damaged { .. }), "{error}");
        assert!(error.to_string().contains(&format!("table `{table}`")) && error.to_string().contains("hint: "));
    }
    // A row that is gone, and one that came in.
    let gone = "CREATE TABLE kept AS SELECT * FROM point WHERE step = 100; DELETE FROM point WHERE step = 100";
    assert!(changed(gone, "INSERT INTO point SELECT * FROM kept; DROP TABLE kept").is_some());
    assert!(changed("INSERT INTO point VALUES (1, 1, 0, 7, 0.0)", "DELETE FROM point WHERE step = 7").is_some());
    let renamed = "UPDATE metric SET name = 'test/loss2' WHERE name = 'test/loss'";
    assert!(changed(renamed, "UPDATE metric SET name = 'test/loss' WHERE name = 'test/loss2'").is_some());
}
