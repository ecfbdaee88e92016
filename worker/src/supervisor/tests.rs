//! When a device is given up, shown with scripts in the place of its processes.

use std::os::unix::fs::PermissionsExt as _;

use super::{machine::machine_of, *};

/// How often a program is started in the place of a device process, and what becomes of it.
async fn lives(script: &str) -> (usize, anyhow::Result<Ended>) {
    let folder = tempfile::tempdir().unwrap();
    let (program, lives) = (folder.path().join("worker"), folder.path().join("lives"));
    let text = format!("#!/bin/sh\necho >> {lives}\n{script}\n", lives = lives.display());
    // Under its name only when it is closed: a program that is being written cannot be started.
    let draft = folder.path().join("draft");
    std::fs::write(&draft, text.replace("LIVES", &format!("$(wc -l < {})", lives.display()))).unwrap();
    std::fs::set_permissions(&draft, std::fs::Permissions::from_mode(0o755)).unwrap();
    std::fs::rename(&draft, &program).unwrap();
    let (_stop, stop) = watch::channel(Stop::No);
    let (device, prefix) = ("cpu".to_owned(), "ann".to_owned());
    let slot = Slot {
        program,
        device,
        index: 0,
        prefix,
        arguments: Vec::new(),
        stop,
        others: Arc::default(),
        memory: Memory::default(),
        leaving: false,
        met: Arc::default(),
    };
    let ended = timeout(Duration::from_secs(60), slot.keep_running()).await.expect("it ends");
    (std::fs::read_to_string(lives).unwrap().lines().count(), ended)
}

#[tokio::test]
async fn processes_that_die_right_after_their_welcome_are_given_up() {
    let (count, ended) = lives("echo welcomed\nexit 9").await;
    assert_eq!(count, 5);
    assert!(ended.unwrap_err().to_string().contains("failed 5 times in a row at its start (exit code 9)"));
}

#[tokio::test]
async fn processes_that_die_of_their_trials_are_replaced() {
    let (count, ended) = lives("echo welcomed\necho leased\n[ LIVES -lt 8 ] || exit 0\nexit 9").await;
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
    let pod = |end: &str| machine_of(&format!("team-vision-mnist-2026-swfn-worker-gpu-pool-7f9c8d6b5-{end}"), "boot");
    assert_ne!(pod("aaaaa"), pod("bbbbb"));
    assert_eq!(pod("aaaaa"), pod("aaaaa"));
    assert_ne!(machine_of("localhost", "one boot"), machine_of("localhost", "another"));
    assert!(machine_of("node1", "boot").starts_with("node1-"), "people name machines so");
    for name in ["", ".hidden", "ä b:c", &"x".repeat(64)] {
        let machine = machine_of(name, "boot");
        assert!(machine.len() <= 40 && !machine.starts_with('.') && !machine.contains(':'), "{machine}");
        assert!(format!("{machine}:cuda15-15:01234567").parse::<WorkerId>().is_ok(), "{machine}");
    }
    assert_eq!(id_prefix(None), machine());
}

#[test]
fn whoever_waits_for_a_coordinator_learns_what_to_start() {
    let said = what_to_start("http://127.0.0.1:7077/");
    assert!(said.starts_with("no coordinator has answered at http://127.0.0.1:7077/ for 10 s"), "{said}");
    assert!(said.contains("`swfn-coordinator GRID`") && said.contains("--local-workers"), "{said}");
}
