//! Event files follow the journal through any interruption: one curve a trial, each point once.

use swfn_shared::{
    event::{Blame, Event as JournalEvent},
    ids::LeaseId,
    metrics::{self, MetricPoint},
};
use swfn_store::{
    Batch, Store,
    samples::{batch, leased, specs},
};

use super::{
    super::event::{What, unframe},
    *,
};

/// The records of an event file: scalars as `tag@step=value`, others by their tag.
fn records(path: &Path) -> Vec<String> {
    let bytes = fs::read(path).unwrap();
    let (mut rest, mut records) = (&bytes[..], Vec::new());
    while !rest.is_empty() {
        let (event, _) = unframe(&mut rest).unwrap().expect("it is not torn");
        match event.what {
            Some(What::Summary(summary)) => {
                records.extend(summary.value.iter().map(|value| match value.simple_value {
                    Some(number) => format!("{}@{}={number}", value.tag, event.step),
                    None => value.tag.clone(),
                }))
            }
            other => {
                records.extend(other.map(|other| format!("{other:?}").chars().take(10).collect()))
            }
        }
    }
    records
}

/// The event files of all trials, by their paths.
fn files(root: &Path) -> Vec<PathBuf> {
    let folders = fs::read_dir(root)
        .unwrap()
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.is_dir());
    let mut files: Vec<_> = folders
        .flat_map(|folder| fs::read_dir(folder).unwrap())
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    files
}

const BEGINNING: [&str; 3] = ["FileVersio", "SessionLog", "_hparams_/session_start_info"];

#[test]
fn a_trial_has_one_curve_through_all_interruptions() {
    let dir = tempfile::tempdir().unwrap();
    let (database, root) = (dir.path().join("sweep.sqlite"), dir.path().join("tensorboard"));
    let specs = specs(1);
    let mut store = Store::open(&database).unwrap();
    store.set_trials(&specs).unwrap();
    let lease = |attempt| LeaseId { trial: specs[1].id(), attempt };
    let points = |attempt, steps: &[u64]| Batch {
        points: vec![(
            lease(attempt),
            steps
                .iter()
                .map(|step| MetricPoint { metric: metrics::TRAIN_LOSS, step: *step, value: 0.25 })
                .collect(),
        )],
        ..Batch::default()
    };
    let start = || Follower::new(Store::open_live(&database).unwrap(), root.clone()).unwrap();
    let mut follower = start();
    assert!(!follower.advance(5.0).unwrap() && files(&root).is_empty());

    store.write(10.0, &leased(lease(1))).unwrap();
    store.write(11.0, &points(1, &[100, 200])).unwrap();
    follower.advance(12.0).unwrap();
    let [file] = &files(&root)[..] else { panic!() };
    let name = file.strip_prefix(&root).unwrap().display().to_string();
    let short = specs[1].id().short();
    let expected =
        format!("net_n=100_fn_0.1_seed=0_{short}/events.out.tfevents.0000000010.swfn.00001");
    assert_eq!(name, expected);
    let first = [&BEGINNING[..], &["train/loss@100=0.25", "train/loss@200=0.25"]].concat();
    assert_eq!(records(file), first);

    // Killed in the middle of a record; another process resumes.
    let mut bytes = fs::read(file).unwrap();
    bytes.extend(&bytes[..20].to_vec());
    fs::write(file, bytes).unwrap();
    let mut follower = start();
    assert_eq!(follower.attempts.len(), 1);
    store.write(13.0, &points(1, &[200, 300])).unwrap();
    follower.advance(14.0).unwrap();
    assert_eq!(records(file), [&first[..], &["train/loss@300=0.25"]].concat());

    // The attempt is lost: its curve stays until the trial begins anew.
    let lost = JournalEvent::Lost {
        lease: lease(1),
        error: "silent".into(),
        log: String::new(),
        blame: Blame::Alone,
        quarantine: false,
    };
    store.write(15.0, &Batch { events: vec![lost], ..Batch::default() }).unwrap();
    follower.advance(16.0).unwrap();
    assert!(follower.attempts.is_empty() && files(&root).len() == 1);
    store.write(20.0, &leased(lease(2))).unwrap();
    follower.advance(21.0).unwrap();
    let [file] = &files(&root)[..] else { panic!() };
    assert!(file.ends_with("events.out.tfevents.0000000020.swfn.00002"));
    assert_eq!(records(file), BEGINNING);

    // The trial ends while no follower runs, and the position in the journal is lost, too.
    store.write(30.0, &batch(lease(2), 0.75)).unwrap();
    fs::remove_file(root.join(POSITION)).unwrap();
    let all = [
        &BEGINNING[..],
        &["test/accuracy@100=0.5", "test/accuracy@200=0.75", "_hparams_/session_end_info"],
    ]
    .concat();
    for _ in 0..2 {
        write_once(Store::open_live(&database).unwrap(), &root).unwrap();
        assert_eq!(
            (files(&root).len(), records(file)),
            (1, all.iter().map(ToString::to_string).collect())
        );
    }
    assert_eq!(
        records(&root.join("events.out.tfevents.0000000000.swfn")),
        ["FileVersio", "_hparams_/experiment"]
    );
    // From an empty folder: the same.
    let other = dir.path().join("other");
    write_once(Store::open_live(&database).unwrap(), &other).unwrap();
    assert_eq!(records(&files(&other)[0]), all);
}

#[test]
fn portions_are_joined_and_write_errors_named() {
    let dir = tempfile::tempdir().unwrap();
    let (database, root) = (dir.path().join("sweep.sqlite"), dir.path().join("tensorboard"));
    let specs = specs(1);
    let mut store = Store::open(&database).unwrap();
    store.set_trials(&specs).unwrap();
    let lease = LeaseId { trial: specs[0].id(), attempt: 1 };
    let point = |step| MetricPoint { metric: metrics::TRAIN_LOSS, step, value: 0.5 };
    store.write(1.0, &leased(lease)).unwrap();
    store
        .write(
            2.0,
            &Batch { points: vec![(lease, (0..2500).map(point).collect())], ..Batch::default() },
        )
        .unwrap();
    let exporter = Exporter::start(database.clone(), root.clone()).unwrap();
    exporter.finish();
    let [file] = &files(&root)[..] else { panic!() };
    let steps: Vec<_> = records(file).into_iter().skip(BEGINNING.len()).collect();
    assert_eq!(steps, (0..2500).map(|step| format!("train/loss@{step}=0.5")).collect::<Vec<_>>());
    // A file in the way of a folder.
    let blocked = dir.path().join("blocked");
    fs::create_dir(&blocked).unwrap();
    fs::write(blocked.join(file.parent().unwrap().file_name().unwrap()), "in the way").unwrap();
    let error =
        format!("{:#}", write_once(Store::open_live(&database).unwrap(), &blocked).unwrap_err());
    assert!(error.contains("cannot write the event file of trial"), "{error}");
}
