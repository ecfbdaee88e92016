//! A check that the system has enough threads for this program, which would else panic or hang.

use std::{sync::mpsc, thread};

use crate::{problem, problem::Problem};

/// Checks that the system gives this program so many more threads at a time.
///
/// # Errors
/// It gives fewer.
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
                    "this program needs {wanted} more threads, and the system gives {given}: {error}";
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
