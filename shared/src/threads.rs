//! Whether the system lets this program have the threads that it needs: what comes without them is a panic, or a wait for ever.

use std::{sync::mpsc, thread};

use crate::{problem, problem::Problem};

/// Sees whether so many threads can be had at a time.
///
/// # Errors
/// They cannot.
pub fn ensure(wanted: usize) -> Result<(), Problem> {
    let mut held = Vec::new();
    for given in 0..wanted {
        let (release, released) = mpsc::channel::<()>();
        let wait = move || {
            released.recv().ok();
        };
        match thread::Builder::new().stack_size(64 << 10).spawn(wait) {
            Ok(thread) => held.push((release, thread)),
            Err(error) => {
                return Err(problem!(
                    "this program needs {wanted} threads more, and the system gives {given}: \
                     {error}";
                    "raise the limit of processes (`ulimit -u`, or pids.max of the container)"
                ));
            }
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
