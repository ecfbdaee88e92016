//! When a device fails, shown with scripts in place of its processes.

use std::os::unix::fs::PermissionsExt as _;

use super::{machine::machine_of, notes::GOOD_LIFE, *};

/// A folder with a program in place of a device process. It appends the setup of each start to
/// `lives`; LIVES is their number.
fn program(script: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let lives = folder.path().join("lives").display().to_string();
    let text =
        format!("#!/bin/sh\nsetup=$(cat $3)\nprintf '%s\\n' \"$setup\" >> {lives}\n{script}\n");
    // Under its name only when it is closed: a program that is being written cannot be started.
    let draft = folder.path().join("draft");
    std::fs::write(&draft, text.replace("LIVES", &format!("$(wc -l < {lives})"))).unwrap();
    std::fs::set_permissions(&draft, std::fs::Permissions::from_mode(0o755)).unwrap();
    std::fs::rename(&draft, folder.path().join("worker")).unwrap();
    folder
}

fn slot(
    folder: &tempfile::TempDir,
    index: usize,
    shared: &Arc<Shared>,
    stop: &watch::Receiver<StopRequest>,
) -> Slot {
    Slot {
        program: folder.path().join("worker"),
        device: "cpu".to_owned(),
        index,
        prefix: "ann".to_owned(),
        arguments: Value::Null,
        stop: stop.clone(),
        shared: Arc::clone(shared),
        leaving: false,
        any_welcomed: Arc::default(),
    }
}

/// Number of starts of a slot with that program, and how the slot ends.
async fn lives(script: &str) -> (usize, anyhow::Result<u8>) {
    let folder = program(script);
    let (_stop, stop) = watch::channel(StopRequest::None);
    let shared = Arc::new(Shared::new(Memory::default(), 1));
    let ended = timeout(Duration::from_secs(60), slot(&folder, 0, &shared, &stop).keep_running());
    let ended = ended.await.expect("it ends");
    (std::fs::read_to_string(folder.path().join("lives")).unwrap().lines().count(), ended)
}

/// Runs three slots of one supervisor. Returns for each start whether it names an innocent
/// predecessor.
async fn innocents(script: &str) -> Vec<bool> {
    let folder = program(script);
    let (_stop, stop) = watch::channel(StopRequest::None);
    let shared = Arc::new(Shared::new(Memory::default(), 3));
    let [one, two, three] =
        [0, 1, 2].map(|index| slot(&folder, index, &shared, &stop).keep_running());
    let (one, two, three) =
        timeout(Duration::from_secs(60), async { tokio::join!(one, two, three) })
            .await
            .expect("they end");
    assert_eq!([one, two, three].map(Result::unwrap), [0; 3]);
    let lives = std::fs::read_to_string(folder.path().join("lives")).unwrap();
    lives.lines().map(|line| line.contains(r#""innocent":true"#)).collect()
}

/// A process with an innocent predecessor returns its leases when it is asked to.
const GIVES_BACK: &str =
    "echo welcomed\ncase \"$setup\" in *innocent\\\":true*) read line; exit 0;; esac\n";

#[tokio::test]
async fn deaths_with_several_trials_reduce_the_workers() {
    for signal in ["KILL", "ABRT"] {
        let script = format!(
            "{GIVES_BACK}echo leased trial-$$\n[ LIVES -lt 12 ] || exit 0\nkill -{signal} $$\nsleep 9"
        );
        let innocents = innocents(&script).await;
        // All but the last worker leave.
        assert_eq!(
            innocents.iter().filter(|innocent| **innocent).count(),
            2,
            "{signal}: {innocents:?}"
        );
        assert!(innocents.len() >= 12, "{signal}: {innocents:?}");
    }
}

#[tokio::test]
async fn a_trial_that_kills_each_worker_is_blamed() {
    let innocents = innocents(&format!(
        "{GIVES_BACK}echo leased x\n[ LIVES -lt 9 ] || exit 0\nkill -ABRT $$\nsleep 9"
    ))
    .await;
    assert!(innocents.len() >= 9 && !innocents.contains(&true), "{innocents:?}");
    // Trials that ended before do not count.
    let before = "echo leased $$\necho let-go $$\necho leased x";
    let script = format!("{GIVES_BACK}{before}\n[ LIVES -lt 9 ] || exit 0\nkill -ABRT $$\nsleep 9");
    assert!(!self::innocents(&script).await.contains(&true));
}

#[tokio::test]
async fn processes_that_die_after_their_welcome_fail() {
    let (count, ended) = lives("echo welcomed\nexit 9").await;
    assert_eq!(count, 5);
    assert!(
        ended
            .unwrap_err()
            .to_string()
            .contains("failed 5 times in a row at its start (exit code 9)")
    );
}

#[tokio::test]
async fn processes_that_die_of_their_trials_are_replaced() {
    let (count, ended) =
        lives("echo welcomed\necho leased\n[ LIVES -lt 8 ] || exit 0\nexit 9").await;
    assert_eq!((count, ended.unwrap()), (8, 0));
}

#[test]
fn only_a_second_signal_means_at_once() {
    let (stop, request) = watch::channel(StopRequest::None);
    let mut signalled = false;
    StopRequest::InOrder.send(&stop);
    StopRequest::send_signal(&stop, &mut signalled);
    StopRequest::InOrder.send(&stop);
    assert_eq!(*request.borrow(), StopRequest::InOrder);
    StopRequest::send_signal(&stop, &mut signalled);
    StopRequest::InOrder.send(&stop);
    assert_eq!(*request.borrow(), StopRequest::AtOnce);
}

#[test]
fn welcomed_processes_that_live_long_are_useful() {
    let notes = Notes::default();
    assert!(!notes.was_useful(GOOD_LIFE), "it was not welcomed");
    notes.welcomed.store(true, Relaxed);
    assert!(!notes.was_useful(GOOD_LIFE / 2) && notes.was_useful(GOOD_LIFE));
}

#[test]
fn machines_of_one_name_differ() {
    let pod = |end: &str| {
        machine_of(&format!("team-vision-mnist-2026-swfn-worker-gpu-pool-7f9c8d6b5-{end}"), "boot")
    };
    assert_ne!(pod("aaaaa"), pod("bbbbb"));
    assert_eq!(pod("aaaaa"), pod("aaaaa"));
    assert_ne!(machine_of("localhost", "one boot"), machine_of("localhost", "another"));
    assert!(machine_of("node1", "boot").starts_with("node1-"), "people name machines so");
    for name in ["", ".hidden", "ä b:c", &"x".repeat(64)] {
        let machine = machine_of(name, "boot");
        assert!(
            machine.len() <= 40 && !machine.starts_with('.') && !machine.contains(':'),
            "{machine}"
        );
        assert!(
            format!("{machine}:cuda15-15.400000:01234567").parse::<WorkerId>().is_ok(),
            "{machine}"
        );
    }
}

#[test]
fn a_missing_coordinator_is_explained() {
    let said = missing_coordinator("http://127.0.0.1:7077/").to_string();
    assert!(
        said.starts_with("no coordinator has answered at http://127.0.0.1:7077/ for 10 s"),
        "{said}"
    );
    assert!(said.contains("`swfn-coordinator GRID`") && said.contains("--local-workers"), "{said}");
}
