//! How a supervisor is asked to stop, and what the ends of its processes come to.

use std::process::ExitCode;

use tokio::sync::watch;

use super::INTERRUPTED;
use crate::process::{OUT_OF_TIME, UNREACHABLE};

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Stop {
    No,
    InOrder,
    AtOnce,
}

impl Stop {
    /// However often it is said, and whatever was said before.
    pub(super) fn tell(self, stop: &watch::Sender<Self>) {
        stop.send_if_modified(|told| {
            let news = *told < self;
            *told = self.max(*told);
            news
        });
    }
}

/// Signals so far. The second one means haste; what else asks to stop does not count, since the first may come after it.
#[derive(Debug, Default)]
pub(super) struct Signals {
    one_came: bool,
}

impl Signals {
    pub(super) fn came(&mut self, stop: &watch::Sender<Stop>) {
        let wanted = if self.one_came { Stop::AtOnce } else { Stop::InOrder };
        self.one_came = true;
        wanted.tell(stop);
    }
}

/// How it ended for a device, from good to bad.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Ended {
    InOrder,
    /// When its time was up.
    OutOfTime,
    /// Without a coordinator for too long.
    Alone,
    /// Asked to stop twice.
    AtOnce,
    GivenUp,
}

impl Ended {
    pub(super) fn code(self) -> ExitCode {
        match self {
            Self::InOrder => ExitCode::SUCCESS,
            Self::OutOfTime => ExitCode::from(OUT_OF_TIME),
            Self::Alone => ExitCode::from(UNREACHABLE),
            Self::AtOnce => ExitCode::from(INTERRUPTED),
            Self::GivenUp => ExitCode::FAILURE,
        }
    }
}
