//! The lines that a device process prints for its supervisor on standard output.

use std::{
    collections::BTreeSet,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::ChildStdout,
    time::sleep,
};

use crate::process::{GIVING_UP, LEASED, LET_GO, STOPPING, WELCOMED};

/// A welcomed process that lived so long was useful, even without a trial.
pub(super) const GOOD_LIFE: Duration = Duration::from_secs(30);

/// The reports of a device process.
#[derive(Debug, Default)]
pub(super) struct Notes {
    pub(super) welcomed: AtomicBool,
    /// It had a trial to train.
    leased: AtomicBool,
    pub(super) stopping: AtomicBool,
    /// It is killing itself.
    giving_up: AtomicBool,
    /// The trials that it holds.
    held: Mutex<BTreeSet<String>>,
    /// Whether any process of the supervisor was welcomed.
    any_welcomed: Arc<AtomicBool>,
}

impl Notes {
    pub(super) fn new(any_welcomed: &Arc<AtomicBool>) -> Self {
        Self { any_welcomed: Arc::clone(any_welcomed), ..Self::default() }
    }

    /// Whether a process that died after `lived` was useful. One that dies without a trial would do
    /// so again; the coordinator counts how often a trial kills its worker.
    pub(super) fn was_useful(&self, lived: Duration) -> bool {
        let welcomed = self.welcomed.load(Relaxed);
        welcomed && (self.leased.load(Relaxed) || lived >= GOOD_LIFE)
    }

    fn held(&self) -> MutexGuard<'_, BTreeSet<String>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn read_line(&self, line: &str) {
        match line.split_once(' ').unwrap_or((line, "")) {
            (WELCOMED, _) => {
                self.welcomed.store(true, Relaxed);
                self.any_welcomed.store(true, Relaxed);
            }
            (LEASED, trial) => {
                self.leased.store(true, Relaxed);
                self.held().insert(trial.to_owned());
            }
            (LET_GO, trial) => {
                self.held().remove(trial);
            }
            (STOPPING, _) => self.stopping.store(true, Relaxed),
            (GIVING_UP, _) => self.giving_up.store(true, Relaxed),
            _ => {}
        }
    }

    /// The trials that it held when it was killed; none if it killed itself.
    pub(super) fn take_held(&self) -> BTreeSet<String> {
        let held = std::mem::take(&mut *self.held());
        if self.giving_up.load(Relaxed) { BTreeSet::new() } else { held }
    }

    /// Waits until the coordinator knows the process, and the one before it.
    pub(super) async fn wait_for_welcome(&self) {
        while !self.welcomed.load(Relaxed) {
            sleep(Duration::from_millis(50)).await;
        }
    }
}

/// Reads all lines of a device process.
pub(super) async fn read_notes(stdout: ChildStdout, notes: Arc<Notes>) {
    let mut lines = BufReader::new(stdout).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        notes.read_line(&line);
    }
}
