//! Whether the system lets this program have the threads that it needs: what comes without them is a panic, or a wait for ever.

use std::{io, sync::mpsc, thread};

/// A limit of processes and threads that leaves no room.
#[derive(Debug, thiserror::Error)]
#[error(
    "this program needs {wanted} threads more, and the system gives {given}: {error}\n\
     hint: raise the limit of processes (`ulimit -u`, or pids.max of the container)"
)]
pub struct TooFew {
    wanted: usize,
    given: usize,
    error: io::Error,
}

/// Sees whether so many threads can be had at a time.
///
/// # Errors
/// They cannot.
pub fn ensure(wanted: usize) -> Result<(), TooFew> {
    let mut held = Vec::new();
    for given in 0..wanted {
        let (release, released) = mpsc::channel::<()>();
        let wait = move || {
            released.recv().ok();
        };
        match thread::Builder::new().stack_size(64 << 10).spawn(wait) {
            Ok(thread) => held.push((release, thread)),
            Err(error) => return Err(TooFew { wanted, given, error }),
        }
    }
    for (release, thread) in held {
        drop(release);
        thread.join().ok();
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_few_threads_can_be_had() {
        super::ensure(4).unwrap();
    }
}
