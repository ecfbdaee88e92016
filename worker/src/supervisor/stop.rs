//! Stop requests to a supervisor, and its exit code.

use std::process::ExitCode;

use tokio::sync::watch;

use super::INTERRUPTED;
use crate::process::{OUT_OF_TIME, UNREACHABLE};

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum StopRequest {
    None,
    InOrder,
    AtOnce,
}

impl StopRequest {
    /// Sends the request, unless it is no stronger than an earlier one.
    pub(super) fn send(self, stop: &watch::Sender<Self>) {
        stop.send_if_modified(|current| {
            let is_stronger = *current < self;
            *current = self.max(*current);
            is_stronger
        });
    }

    /// Sends the request of a signal. The second signal means at once. Other requests do not count,
    /// since a first signal may come after them.
    pub(super) fn send_signal(stop: &watch::Sender<Self>, signalled: &mut bool) {
        let request = if *signalled { Self::AtOnce } else { Self::InOrder };
        *signalled = true;
        request.send(stop);
    }
}

/// How a device ended, from good to bad.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum DeviceEnd {
    InOrder,
    OutOfTime,
    /// There was no coordinator for too long.
    Unreachable,
    /// It was asked to stop twice.
    AtOnce,
    Failed,
}

impl DeviceEnd {
    pub(super) fn code(self) -> ExitCode {
        match self {
            Self::InOrder => ExitCode::SUCCESS,
            Self::OutOfTime => ExitCode::from(OUT_OF_TIME),
            Self::Unreachable => ExitCode::from(UNREACHABLE),
            Self::AtOnce => ExitCode::from(INTERRUPTED),
            Self::Failed => ExitCode::FAILURE,
        }
    }
}
