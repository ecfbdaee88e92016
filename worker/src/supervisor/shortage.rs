//! Whether memory suffices for all processes of a supervisor.
//!
//! In a control group with a limit, the system counts what it kills. Elsewhere, under `ulimit -v`
//! or where the whole machine runs out of memory, processes are killed or abort. One trial may be
//! the reason, but hardly if processes with other trials end like that, too.

use std::{
    collections::BTreeSet,
    process::ExitStatus,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use nix::sys::signal::Signal;

use crate::cgroup::Memory;

/// Within this time, the ends of two processes may have one reason.
const SHORT_WHILE: Duration = Duration::from_secs(30);

/// State that the processes of a supervisor share.
#[derive(Debug)]
pub(super) struct Shared {
    memory: Memory,
    /// Slots that remain when one ends for lack of memory.
    others: AtomicUsize,
    /// When processes were killed or aborted lately, and the trials that they held.
    ends: Mutex<Vec<(Instant, BTreeSet<String>)>>,
}

impl Shared {
    pub(super) fn new(memory: Memory, slots: usize) -> Self {
        Self { memory, others: AtomicUsize::new(slots.saturating_sub(1)), ends: Mutex::default() }
    }

    /// How often the system has killed a process here for lack of memory.
    pub(super) fn kills(&self) -> u64 {
        self.memory.kills()
    }

    /// Whether a process ended for lack of memory, and why that is certain or likely. `kills`:
    /// their number when the process began; `held`: its trials.
    pub(super) fn shortage(
        &self,
        kills: u64,
        status: ExitStatus,
        held: BTreeSet<String>,
    ) -> Option<String> {
        if self.memory.kills() > kills {
            return Some(format!("killed for want of memory, which is {}", self.memory.shown()));
        }
        let likely = was_killed(status) && self.others_ended(Instant::now(), held);
        likely.then(|| "as with another trial just before: memory is the likely reason".to_owned())
    }

    /// Whether another process, which held other trials, was killed shortly before this one.
    fn others_ended(&self, now: Instant, held: BTreeSet<String>) -> bool {
        if held.is_empty() {
            return false;
        }
        let mut ends = self.ends.lock().unwrap_or_else(PoisonError::into_inner);
        ends.retain(|(at, _)| now.saturating_duration_since(*at) < SHORT_WHILE);
        let others = ends.iter().any(|(_, trials)| trials.is_disjoint(&held));
        ends.push((now, held));
        others
    }

    /// Removes a slot, unless it is the last; returns whether it did.
    pub(super) fn remove_slot(&self) -> bool {
        self.others.fetch_update(Relaxed, Relaxed, |others| others.checked_sub(1)).is_ok()
    }
}

/// Killed by the system, or aborted when it got no memory.
fn was_killed(status: ExitStatus) -> bool {
    use std::os::unix::process::ExitStatusExt as _;
    [Signal::SIGKILL, Signal::SIGABRT].map(|signal| Some(signal as i32)).contains(&status.signal())
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt as _;

    use super::*;

    fn ended(shared: &Shared, signal: i32, held: &[&str]) -> bool {
        let held = held.iter().map(|trial| (*trial).to_owned()).collect();
        shared.shortage(0, ExitStatus::from_raw(signal), held).is_some()
    }

    #[test]
    fn one_trial_alone_shows_no_lack_of_memory() {
        let shared = Shared::new(Memory::default(), 3);
        // One of the two trials ends the next processes, too.
        assert!(!ended(&shared, 6, &["x", "y"]));
        assert!(!ended(&shared, 6, &["x"]) && !ended(&shared, 9, &["x", "z"]));
        // Neither those that have no trial nor those that end otherwise count.
        assert!(
            !ended(&shared, 9, &[]) && !ended(&shared, 11, &["a"]) && !ended(&shared, 15, &["b"])
        );
        assert!(ended(&shared, 9, &["a", "b"]));
    }

    #[test]
    fn distant_ends_have_separate_reasons() {
        let shared = Shared::new(Memory::default(), 3);
        let (start, held) = (Instant::now(), |trial: &str| BTreeSet::from([trial.to_owned()]));
        assert!(!shared.others_ended(start, held("a")));
        assert!(!shared.others_ended(start + SHORT_WHILE, held("b")));
        assert!(shared.others_ended(start + SHORT_WHILE + Duration::from_secs(1), held("c")));
    }

    #[test]
    fn the_last_slot_stays() {
        let shared = Shared::new(Memory::default(), 3);
        assert_eq!(
            [shared.remove_slot(), shared.remove_slot(), shared.remove_slot()],
            [true, true, false]
        );
    }
}
