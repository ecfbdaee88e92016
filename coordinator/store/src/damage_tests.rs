//! A file that was cut or changed is refused, or is as it was after some commit, with a warning.

use std::{fs, path::Path};

use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use swfn_shared::{ids::LeaseId, trial::TrialSpec};

use super::{
    Store, StoreError,
    samples::{batch, leased, specs},
    tests::curves,
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

/// Database, log, and the log's index.
const FILES: [&str; 3] = ["", "-wal", "-shm"];

/// Bytes of a log's header, and of a frame.
const LOG_HEADER: usize = 32;
const FRAME: usize = 24 + 4096;

/// A run directory whose coordinator was killed: some commits in the file, some in the log beside
/// it. The content after each of those.
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
    for end in FILES {
        fs::copy(
            folder.join(format!("open.sqlite{end}")),
            folder.join(format!("killed.sqlite{end}")),
        )
        .unwrap();
    }
    contents
}

/// Changes something; returns the end of what it changed.
fn damage(bytes: &mut Vec<u8>, random: &mut ChaCha8Rng) -> usize {
    let place = random.random_range(0..bytes.len());
    match random.random_range(0..4) {
        0 => {
            bytes.truncate(place);
            return usize::MAX;
        }
        1 => bytes[place] ^= 1 << random.random_range(0..8),
        2 => bytes[place] = random.random(),
        _ => {
            let end = bytes.len().min(place + 512);
            bytes[place..end].fill(0);
            return end;
        }
    }
    place + 1
}

#[test]
fn a_damaged_file_never_reads_as_something_else() {
    let folder = tempfile::tempdir().unwrap();
    let contents = killed(folder.path());
    let whole =
        FILES.map(|end| fs::read(folder.path().join(format!("killed.sqlite{end}"))).unwrap());
    assert_eq!((whole[1].len() - LOG_HEADER) % FRAME, 0);
    let last_frame = whole[1].len() - FRAME;
    let (mut refused, mut recovered, mut unharmed, mut silent) = (0, 0, 0, 0);
    for seed in 0..PLACES {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let mut files = whole.clone();
        let which = usize::from(random.random_bool(0.5));
        let end = damage(&mut files[which], &mut random);
        // The index is lost where the machine went down.
        let index = random.random_bool(0.5);
        let path = folder.path().join("damaged.sqlite");
        for (end, bytes) in FILES.iter().zip(&files) {
            fs::write(folder.path().join(format!("damaged.sqlite{end}")), bytes).unwrap();
        }
        if !index {
            fs::remove_file(folder.path().join("damaged.sqlite-shm")).unwrap();
        }
        let opened = Store::open(&path).map_err(|error| error.to_string());
        let told = opened.as_ref().is_ok_and(|store| store.damage.is_some());
        match opened.and_then(|store| content(&store)) {
            Err(error) => {
                refused += 1;
                let kept = fs::read(folder.path().join("damaged.sqlite-wal")).unwrap_or_default();
                let size = files[0].len();
                assert!(
                    which == 1 || kept == whole[1],
                    "seed {seed}, {size} bytes: the log of a file that is refused stays: {error}"
                );
            }
            Ok(content) if Some(&content) == contents.last() => {
                unharmed += 1;
                assert!(!told, "seed {seed}, file {which}: a false alarm");
            }
            Ok(content) => {
                assert!(
                    which == 1 && contents.contains(&content),
                    "seed {seed}, file {which}: {content}"
                );
                recovered += 1;
                silent += u32::from(!told);
                // Without the index, a log that was cut short, or lacks its end, is what an
                // interrupted commit leaves.
                assert!(
                    told || !index && end > last_frame,
                    "seed {seed}: nobody is told, damaged up to {end}"
                );
            }
        }
        if told {
            let copy = fs::read(folder.path().join("damaged.sqlite-wal.damaged")).unwrap();
            assert_eq!(copy, files[1], "seed {seed}");
            assert!(Store::open(&path).unwrap().damage.is_none(), "seed {seed}: it is said once");
        }
    }
    println!(
        "{PLACES} places: {refused} refused, {recovered} as after an earlier commit ({silent} of them a log without its end, and \
         no index), {unharmed} without effect"
    );
    assert!(
        refused > 50 && recovered > 50 && recovered > 2 * silent,
        "{refused} {recovered} {silent} {unharmed}"
    );
}

/// A commit that a kill or a power cut interrupted is no damage.
#[test]
fn an_interrupted_commit_is_no_damage() {
    let folder = tempfile::tempdir().unwrap();
    let contents = killed(folder.path());
    let [file, log, index] =
        FILES.map(|end| fs::read(folder.path().join(format!("killed.sqlite{end}"))).unwrap());
    let path = folder.path().join("torn.sqlite");
    let open = |log: &[u8], index: Option<&[u8]>| {
        fs::write(&path, &file).unwrap();
        fs::write(folder.path().join("torn.sqlite-wal"), log).unwrap();
        fs::remove_file(folder.path().join("torn.sqlite-shm")).ok();
        if let Some(index) = index {
            fs::write(folder.path().join("torn.sqlite-shm"), index).unwrap();
        }
        let store = Store::open(&path).unwrap();
        (content(&store).unwrap(), store.damage.as_ref().map(ToString::to_string))
    };
    assert_eq!(open(&log, Some(&index)), (contents.last().unwrap().clone(), None));
    // A file system that had room for only so much of the log.
    for length in (0..log.len()).step_by(1009) {
        assert_eq!(open(&log[..length], None).1, None, "{length}");
    }
    // Frames of a commit that reached the disk out of order, its end included: it cannot be told
    // from one that was damaged.
    let last_commit = (LOG_HEADER..log.len())
        .step_by(FRAME)
        .filter(|at| log[at + 4..at + 8] != [0; 4])
        .rev()
        .nth(1);
    let begin = last_commit.unwrap() + FRAME;
    assert!(log.len() - begin > FRAME, "more than one frame");
    let mut torn = log.clone();
    torn[begin + 24..begin + FRAME].fill(0);
    let (content, told) = open(&torn, None);
    assert_eq!(content, contents[contents.len() - 2]);
    assert!(told.unwrap().contains("if the machine lost its power in that moment"));
    // The index knows that it was completed.
    let told = open(&torn, Some(&index)).1.unwrap();
    assert!(told.contains("is damaged after commit") && told.contains("hint: "), "{told}");
    // A log that is gone, as only the index knows; had the database all of it, nothing would be
    // missing.
    let told = open(&[], Some(&index)).1.unwrap();
    assert!(told.contains("is damaged after commit 0"), "{told}");
    // A file that is gone, and is not taken for a new one.
    fs::remove_file(&path).unwrap();
    fs::write(folder.path().join("torn.sqlite-wal"), &log).unwrap();
    let error = Store::open(&path).unwrap_err().to_string();
    assert!(
        error.contains("it is empty, and the log beside it is not") && error.contains("hint: "),
        "{error}"
    );
    assert_eq!(fs::read(folder.path().join("torn.sqlite-wal")).unwrap(), log);
    // Frames that an earlier log has left are not of this one.
    let mut older = log[..begin].to_vec();
    older.extend_from_within(LOG_HEADER..LOG_HEADER + 3 * FRAME);
    for at in (begin..older.len()).step_by(FRAME) {
        older[at + 8] ^= 1;
    }
    assert_eq!(open(&older, None).1, None);
}

/// SQLite itself does not notice a number that became another number.
#[test]
fn a_changed_number_is_noticed() {
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
        (
            "UPDATE outcome SET value = 0.91 WHERE metric = 'final_test_accuracy'",
            "UPDATE outcome SET value = 0.9 WHERE metric = 'final_test_accuracy'",
            "outcome",
        ),
        ("UPDATE success SET worker = 'bob'", "UPDATE success SET worker = 'ann'", "success"),
        (
            "UPDATE point SET value = 0.6 WHERE step = 100",
            "UPDATE point SET value = 0.5 WHERE step = 100",
            "point",
        ),
        (
            "UPDATE event SET attempt = 2 WHERE kind = 'leased'",
            "UPDATE event SET attempt = 1",
            "event",
        ),
        ("UPDATE worker SET host = 'other'", "UPDATE worker SET host = 'h'", "worker"),
        (
            "UPDATE trial SET cell = cell || '0'",
            "UPDATE trial SET cell = substr(cell, 1, 32)",
            "trial",
        ),
    ] {
        let error = changed(sql, back).unwrap_or_else(|| panic!("{sql} was not noticed"));
        assert!(matches!(error, StoreError::Damaged(_)), "{error}");
        assert!(
            error.to_string().contains(&format!("table `{table}`"))
                && error.to_string().contains("hint: ")
        );
    }
    // A row that is gone, and one that came in.
    let gone = "CREATE TABLE kept AS SELECT * FROM point WHERE step = 100; DELETE FROM point WHERE step = 100";
    assert!(changed(gone, "INSERT INTO point SELECT * FROM kept; DROP TABLE kept").is_some());
    assert!(
        changed("INSERT INTO point VALUES (1, 1, 0, 7, 0.0)", "DELETE FROM point WHERE step = 7")
            .is_some()
    );
    let renamed = "UPDATE metric SET name = 'test/loss2' WHERE name = 'test/loss'";
    assert!(
        changed(renamed, "UPDATE metric SET name = 'test/loss' WHERE name = 'test/loss2'")
            .is_some()
    );
}
