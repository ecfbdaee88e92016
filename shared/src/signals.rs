//! Signals that ask a program to stop in order: what schedulers, service managers, shells and persons send before they kill.

use std::{fs, io};

use nix::sys::signal::Signal;
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::mpsc,
};

/// Those that stop nothing where whoever starts a program has them ignored, as `nohup` does.
const POLITE: [Signal; 5] =
    [Signal::SIGHUP, Signal::SIGUSR1, Signal::SIGUSR2, Signal::SIGALRM, Signal::SIGXCPU];

/// Each signal that comes and asks to stop, in a runtime; SIGHUP only with `hangup`, since it may mean something else.
///
/// # Errors
/// The system does not let this process hear of signals.
pub fn stops(hangup: bool) -> io::Result<mpsc::Receiver<Signal>> {
    let (tell, heard) = mpsc::channel(8);
    let ignored = fs::read_to_string("/proc/self/status").map_or(0, |status| ignored(&status));
    let polite = POLITE.into_iter().filter(|signal| ignored & bit(*signal) == 0);
    for stop in [Signal::SIGTERM, Signal::SIGINT].into_iter().chain(polite) {
        if stop == Signal::SIGHUP && !hangup {
            continue;
        }
        let mut signals = signal(SignalKind::from_raw(stop as i32))?;
        let tell = tell.clone();
        tokio::spawn(async move {
            while signals.recv().await.is_some() && tell.send(stop).await.is_ok() {}
        });
    }
    Ok(heard)
}

fn bit(signal: Signal) -> u64 {
    1 << (signal as u32 - 1)
}

/// The signals that a process ignores, of its status in `/proc`.
fn ignored(status: &str) -> u64 {
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nohup_ignores_is_read() {
        let ignored = ignored("Name:\tx\nSigIgn:\t0000000000001001\nSigCgt:\t0000000000004000\n");
        assert_eq!(ignored, bit(Signal::SIGHUP) | bit(Signal::SIGPIPE));
    }
}
