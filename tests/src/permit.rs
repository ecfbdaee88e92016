//! Permits for tests that need the processor. More tests run at a time than there are cores,
//! because most of them wait. A test that computes all the time takes a permit first, so that it
//! slows neither its like nor the waiting ones.

use std::{
    sync::{Condvar, Mutex, PoisonError},
    thread,
};

/// The number of permits that are taken.
static TAKEN: Mutex<usize> = Mutex::new(0);
static GIVEN_BACK: Condvar = Condvar::new();

/// A permit to compute. Dropping it returns it.
#[derive(Debug)]
#[must_use = "dropped, it is given back"]
pub struct Permit(());

/// Waits for one of as many permits as there are cores. A holder must not request another.
pub fn to_compute() -> Permit {
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let taken = TAKEN.lock().unwrap_or_else(PoisonError::into_inner);
    let mut taken = GIVEN_BACK
        .wait_while(taken, |taken| *taken >= cores)
        .unwrap_or_else(PoisonError::into_inner);
    *taken += 1;
    Permit(())
}

impl Drop for Permit {
    fn drop(&mut self) {
        *TAKEN.lock().unwrap_or_else(PoisonError::into_inner) -= 1;
        GIVEN_BACK.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[test]
    fn there_are_as_many_as_cores() {
        let cores = thread::available_parallelism().map_or(1, usize::from);
        let (at_a_time, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let hold = || {
            let _permit = to_compute();
            most.fetch_max(1 + at_a_time.fetch_add(1, Ordering::SeqCst), Ordering::SeqCst);
            thread::yield_now();
            at_a_time.fetch_sub(1, Ordering::SeqCst);
        };
        thread::scope(|scope| (0..4 * cores).for_each(|_| drop(scope.spawn(hold))));
        assert!((1..=cores).contains(&most.into_inner()));
        assert_eq!(at_a_time.into_inner(), 0);
        drop(to_compute());
    }
}
