//! What a device process tells its supervisor on its standard output.

use std::{
    collections::BTreeSet,
    sync::{
        Arc, Mutex, PoisonError,
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

/// A process that the coordinator has welcomed, and that lived so long, has come to something, though it had no trial.
pub(super) const GOOD_LIFE: Duration = Duration::from_secs(30);

/// What a device process has said.
#[derive(Debug, Default)]
pub(super) struct Said {
    pub(super) welcomed: AtomicBool,
    /// It had a trial to train.
    leased: AtomicBool,
    pub(super) stopping: AtomicBool,
    /// It ends itself.
    giving_up: AtomicBool,
    /// The trials that it holds.
    held: Mutex<BTreeSet<String>>,
    /// Shared by all processes: whether one was welcomed.
    met: Arc<AtomicBool>,
}

impl Said {
    pub(super) fn new(met: &Arc<AtomicBool>) -> Self {
        Self { met: Arc::clone(met), ..Self::default() }
    }

    /// Whether a process that lived so long and then died was of use. How often a trial may kill its worker is the coordinator's to count; what
    /// dies without one would die again.
    pub(super) fn was_of_use(&self, lived: Duration) -> bool {
        let welcomed = self.welcomed.load(Relaxed);
        welcomed && (self.leased.load(Relaxed) || lived >= GOOD_LIFE)
    }

    fn hear(&self, line: &str) {
        let held = || self.held.lock().unwrap_or_else(PoisonError::into_inner);
        match line.split_once(' ').unwrap_or((line, "")) {
            (WELCOMED, _) => {
                [&self.welcomed, &self.met].iter().for_each(|known| known.store(true, Relaxed))
            }
            (LEASED, trial) => {
                self.leased.store(true, Relaxed);
                held().insert(trial.to_owned());
            }
            (LET_GO, trial) => {
                held().remove(trial);
            }
            (STOPPING, _) => self.stopping.store(true, Relaxed),
            (GIVING_UP, _) => self.giving_up.store(true, Relaxed),
            _ => {}
        }
    }

    /// The trials that it held when it was ended; none if it ended itself.
    pub(super) fn held_at_its_end(&self) -> BTreeSet<String> {
        let held = std::mem::take(&mut *self.held.lock().unwrap_or_else(PoisonError::into_inner));
        if self.giving_up.load(Relaxed) { BTreeSet::new() } else { held }
    }
}

/// Waits until the coordinator has heard of a process, and of the one before it.
pub(super) async fn welcomed(said: &Said) {
    while !said.welcomed.load(Relaxed) {
        sleep(Duration::from_millis(50)).await;
    }
}

/// Reads what a device process prints, to its end.
pub(super) async fn listen(stdout: ChildStdout, said: Arc<Said>) {
    let mut lines = BufReader::new(stdout).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        said.hear(&line);
    }
}
