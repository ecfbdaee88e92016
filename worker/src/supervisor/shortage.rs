//! Whether memory suffices for all processes of a supervisor, as their ends show.
//!
//! Of a control group with a limit the system counts what it kills. Elsewhere, under `ulimit -v` or where the whole machine runs out of
//! memory, processes are killed or abort without a word. One trial may be the reason; hardly so if others' processes end like that, too.

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

/// Ends of two processes within this time may have one reason.
const SHORT_WHILE: Duration = Duration::from_secs(30);

/// What the processes of a supervisor have in common.
#[derive(Debug)]
pub(super) struct Shared {
    memory: Memory,
    /// Slots that go on beside one that ends for want of memory.
    others: AtomicUsize,
    /// Processes that were killed or aborted lately, and the trials that they held.
    ends: Mutex<Vec<(Instant, BTreeSet<String>)>>,
}

impl Shared {
    pub(super) fn new(memory: Memory, slots: usize) -> Self {
        Self { memory, others: AtomicUsize::new(slots.saturating_sub(1)), ends: Mutex::default() }
    }

    /// How often the system has killed something here for want of memory.
    pub(super) fn kills(&self) -> u64 {
        self.memory.kills()
    }

    /// Why memory is the reason of an end, or likely to be; `kills`: as many as there were when the process began, `held`: its trials.
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

    /// Takes one of the slots out, unless it is the last.
    pub(super) fn one_less(&self) -> bool {
        self.others.fetch_update(Relaxed, Relaxed, |others| others.checked_sub(1)).is_ok()
    }
}

/// By the system, or by itself when it got no memory.
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
    fn one_trial_alone_shows_no_want_of_memory() {
        let shared = Shared::new(Memory::default(), 3);
        // One of the two is guilty, and ends the next processes, too.
        assert!(!ended(&shared, 6, &["x", "y"]));
        assert!(!ended(&shared, 6, &["x"]) && !ended(&shared, 9, &["x", "z"]));
        // Neither those that have no trial nor those that end otherwise count.
        assert!(
            !ended(&shared, 9, &[]) && !ended(&shared, 11, &["a"]) && !ended(&shared, 15, &["b"])
        );
        assert!(ended(&shared, 9, &["a", "b"]));
    }

    #[test]
    fn ends_that_lie_far_apart_have_reasons_of_their_own() {
        let shared = Shared::new(Memory::default(), 3);
        let (start, held) = (Instant::now(), |trial: &str| BTreeSet::from([trial.to_owned()]));
        assert!(!shared.others_ended(start, held("a")));
        assert!(!shared.others_ended(start + SHORT_WHILE, held("b")));
        assert!(shared.others_ended(start + SHORT_WHILE + Duration::from_secs(1), held("c")));
    }

    #[test]
    fn the_last_slot_stays() {
        let shared = Shared::new(Memory::default(), 3);
        assert_eq!([shared.one_less(), shared.one_less(), shared.one_less()], [true, true, false]);
    }
}
