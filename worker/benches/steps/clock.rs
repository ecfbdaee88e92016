//! The processor's time, not the wall's: a step has one thread, and what else runs on the machine should not count.

use std::time::Duration;

use nix::time::{ClockId, clock_gettime};

/// Time that all threads of this process have been running.
pub(crate) fn now() -> Duration {
    clock_gettime(ClockId::CLOCK_PROCESS_CPUTIME_ID).expect("the system has that clock").into()
}
