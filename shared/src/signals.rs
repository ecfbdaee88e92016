//! Signals that ask a program to stop in order, as schedulers, service managers, shells and users
//! send them before they kill it.

use std::{fs, io};

use nix::sys::signal::Signal;
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::mpsc,
};

/// Signals that stop nothing if the parent process ignores them, as `nohup` does.
const IGNORABLE: [Signal; 5] =
    [Signal::SIGHUP, Signal::SIGUSR1, Signal::SIGUSR2, Signal::SIGALRM, Signal::SIGXCPU];

/// Receives each signal that asks to stop. SIGHUP may have another meaning, so it counts only with
/// `hangup`. Needs a runtime.
///
/// # Errors
/// The system does not let this process handle signals.
pub fn stops(hangup: bool) -> io::Result<mpsc::Receiver<Signal>> {
    let (sender, receiver) = mpsc::channel(8);
    let ignored = fs::read_to_string("/proc/self/status").map_or(0, |status| ignored(&status));
    let stops = IGNORABLE.into_iter().filter(|signal| ignored & bit(*signal) == 0);
    for stop in [Signal::SIGTERM, Signal::SIGINT].into_iter().chain(stops) {
        if stop == Signal::SIGHUP && !hangup {
            continue;
        }
        let mut signals = signal(SignalKind::from_raw(stop as i32))?;
        let sender = sender.clone();
        tokio::spawn(async move {
            while signals.recv().await.is_some() && sender.send(stop).await.is_ok() {}
        });
    }
    Ok(receiver)
}

fn bit(signal: Signal) -> u64 {
    1 << (signal as u32 - 1)
}

/// The mask of ignored signals in the status of a process in `/proc`.
fn ignored(status: &str) -> u64 {
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_that_nohup_ignores_are_read() {
        let ignored = ignored("Name:\tx\nSigIgn:\t0000000000001001\nSigCgt:\t0000000000004000\n");
        assert_eq!(ignored, bit(Signal::SIGHUP) | bit(Signal::SIGPIPE));
    }
}
