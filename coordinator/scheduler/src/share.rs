//! The share of trials that a worker may hold, so that the last ones spread over all workers.
//!
//! All unfinished trials are dealt out evenly, but no worker gets more than it has lanes for: the
//! rest goes to others. While there are more trials than lanes, no worker has to wait.

use std::time::Duration;

use swfn_shared::ids::WorkerId;

use super::{
    records::AblePlaces,
    state::{Scheduler, Worker},
};

impl Scheduler {
    /// The most trials that `asking`, with so many lanes, may hold; at least one if any waits.
    pub(super) fn share(
        &self,
        now: Duration,
        asking: &WorkerId,
        lanes: usize,
        able: &AblePlaces<'_>,
    ) -> usize {
        let mut trials = self.counts.pending;
        let mut capacities = Vec::with_capacity(self.workers.len());
        for (id, worker) in &self.workers {
            if id == asking {
                capacities.push(lanes.max(worker.leases.len()));
            } else if !self.is_silent(now, worker) {
                let aside = self.is_excluded(worker, able);
                capacities.push(if aside { worker.leases.len() } else { worker.capacity() });
            } else {
                continue;
            }
            trials += worker.leases.len();
        }
        even_share(trials, capacities).min(lanes)
    }
}

impl Worker {
    /// The most trials that it might hold. A worker that has not asked might take any number. If it
    /// holds leases, it joined before the coordinator's restart, and has no free lanes.
    fn capacity(&self) -> usize {
        match (self.lanes, self.leases.len()) {
            (Some(lanes), held) => lanes.max(held),
            (None, 0) => usize::MAX,
            (None, held) => held,
        }
    }
}

/// The smallest share with which all trials are taken, if each worker takes it as far as it can.
fn even_share(mut trials: usize, mut capacities: Vec<usize>) -> usize {
    capacities.sort_unstable();
    for (position, capacity) in capacities.iter().enumerate() {
        let share = trials.div_ceil(capacities.len() - position);
        if share <= *capacity {
            return share;
        }
        trials -= capacity;
    }
    usize::MAX
}

#[cfg(test)]
mod tests {
    use super::even_share;

    #[test]
    fn large_workers_take_the_rest_of_small_ones() {
        let any = usize::MAX;
        for (trials, capacities, share) in [
            (100, vec![64, any], 50),
            (100, vec![64, 64], 50),
            (1_000, vec![64, 64], any),
            (100, vec![64, 1], any),
            (30, vec![1, 64, 1], 28),
            (7, vec![1, 3, 64], 3),
            (1, vec![64, 1, 0], 1),
            (0, vec![64, 1], 0),
        ] {
            assert_eq!(even_share(trials, capacities.clone()), share, "{trials} {capacities:?}");
        }
    }
}
