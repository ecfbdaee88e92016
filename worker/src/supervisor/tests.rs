//! When a device is given up, shown with scripts in the place of its processes.

use std::os::unix::fs::PermissionsExt as _;

use super::{machine::machine_of, said::GOOD_LIFE, *};

/// A folder with a program in the place of a device process. It notes the setup of each start in `lives`; LIVES is their number.
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
    stop: &watch::Receiver<Stop>,
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
        met: Arc::default(),
    }
}

/// How a slot ends with that program, and each of its starts.
async fn lives(script: &str) -> (usize, anyhow::Result<Ended>) {
    let folder = program(script);
    let (_stop, stop) = watch::channel(Stop::No);
    let shared = Arc::new(Shared::new(Memory::default(), 1));
    let ended = timeout(Duration::from_secs(60), slot(&folder, 0, &shared, &stop).keep_running());
    let ended = ended.await.expect("it ends");
    (std::fs::read_to_string(folder.path().join("lives")).unwrap().lines().count(), ended)
}

/// The same of three slots of one supervisor: which of the starts name an innocent predecessor.
async fn innocents(script: &str) -> Vec<bool> {
    let folder = program(script);
    let (_stop, stop) = watch::channel(Stop::No);
    let shared = Arc::new(Shared::new(Memory::default(), 3));
    let [one, two, three] =
        [0, 1, 2].map(|index| slot(&folder, index, &shared, &stop).keep_running());
    let (one, two, three) =
        timeout(Duration::from_secs(60), async { tokio::join!(one, two, three) })
            .await
            .expect("they end");
    assert_eq!([one, two, three].map(Result::unwrap), [Ended::InOrder; 3]);
    let lives = std::fs::read_to_string(folder.path().join("lives")).unwrap();
    lives.lines().map(|line| line.contains(r#""innocent":true"#)).collect()
}

/// One whose predecessor is innocent gives back what that had, when it is asked to.
const GIVES_BACK: &str =
    "echo welcomed\ncase \"$setup\" in *innocent\\\":true*) read line; exit 0;; esac\n";

#[tokio::test]
async fn where_processes_of_several_trials_are_killed_fewer_are_tried() {
    for signal in ["KILL", "ABRT"] {
        let script = format!(
            "{GIVES_BACK}echo leased trial-$$\n[ LIVES -lt 12 ] || exit 0\nkill -{signal} $$\nsleep 9"
        );
        let innocents = innocents(&script).await;
        // All but the last one leave; what ends that counts.
        assert_eq!(
            innocents.iter().filter(|innocent| **innocent).count(),
            2,
            "{signal}: {innocents:?}"
        );
        assert!(innocents.len() >= 12, "{signal}: {innocents:?}");
    }
}

#[tokio::test]
async fn a_trial_that_kills_whoever_has_it_is_to_blame() {
    let innocents = innocents(&format!(
        "{GIVES_BACK}echo leased x\n[ LIVES -lt 9 ] || exit 0\nkill -ABRT $$\nsleep 9"
    ))
    .await;
    assert!(innocents.len() >= 9 && !innocents.contains(&true), "{innocents:?}");
    // Those that it had before are none of the others' business.
    let before = "echo leased $$\necho let-go $$\necho leased x";
    let script = format!("{GIVES_BACK}{before}\n[ LIVES -lt 9 ] || exit 0\nkill -ABRT $$\nsleep 9");
    assert!(!self::innocents(&script).await.contains(&true));
}

#[tokio::test]
async fn processes_that_die_right_after_their_welcome_are_given_up() {
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
    assert_eq!((count, ended.unwrap()), (8, Ended::InOrder));
}

#[test]
fn one_signal_means_no_haste_whatever_was_said_beside_it() {
    let (stop, told) = watch::channel(Stop::No);
    let mut signals = Signals::default();
    Stop::InOrder.tell(&stop);
    signals.came(&stop);
    Stop::InOrder.tell(&stop);
    assert_eq!(*told.borrow(), Stop::InOrder);
    signals.came(&stop);
    Stop::InOrder.tell(&stop);
    assert_eq!(*told.borrow(), Stop::AtOnce);
}

#[test]
fn whoever_lived_long_was_of_use() {
    let said = Said::default();
    assert!(!said.was_of_use(GOOD_LIFE), "nobody has welcomed it");
    said.welcomed.store(true, Relaxed);
    assert!(!said.was_of_use(GOOD_LIFE / 2) && said.was_of_use(GOOD_LIFE));
}

#[test]
fn machines_that_are_called_alike_are_told_apart() {
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
    assert_eq!(id_prefix(None), machine());
}

#[test]
fn whoever_waits_for_a_coordinator_learns_what_to_start() {
    let said = what_to_start("http://127.0.0.1:7077/");
    assert!(
        said.starts_with("no coordinator has answered at http://127.0.0.1:7077/ for 10 s"),
        "{said}"
    );
    assert!(said.contains("`swfn-coordinator GRID`") && said.contains("--local-workers"), "{said}");
}
