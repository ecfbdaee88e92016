//! Processor time, not wall time: a step has one thread, and other processes should not count.

use std::time::Duration;

use nix::time::{ClockId, clock_gettime};

/// Processor time of all threads of this process.
pub(crate) fn now() -> Duration {
    clock_gettime(ClockId::CLOCK_PROCESS_CPUTIME_ID).expect("the system has that clock").into()
}
