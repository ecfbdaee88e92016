//! The state of the sweep as people see it while it runs.

use std::{collections::HashMap, time::Duration};

use swfn_scheduler::{Scheduler, TrialState};
use swfn_shared::{
    grid::Selection,
    ids::{CellId, TrialId, WorkerId},
    metrics::Outcome,
    snapshot::{BestCell, Running, Snapshot},
    trial::TrialSpec,
    work,
};

/// What a snapshot needs beside the scheduler.
#[derive(Debug)]
pub(crate) struct Ledger {
    work: HashMap<TrialId, f64>,
    total: f64,
    share_at_start: f64,
    succeeded_before: usize,
    /// Which accuracy counts.
    selection: Selection,
    cells: HashMap<CellId, (TrialSpec, usize, f64)>,
}

impl Ledger {
    pub(crate) fn new(scheduler: &Scheduler, selection: Selection) -> Self {
        let specs: Vec<_> = scheduler.trials().map(|(id, spec, _)| (id, spec)).collect();
        let work = work::of_trials(specs.iter().copied());
        let total = work.values().sum();
        let succeeded_before = scheduler.counts().succeeded;
        let mut ledger = Self { work, total, share_at_start: 0.0, succeeded_before, selection, cells: HashMap::new() };
        ledger.start(scheduler);
        ledger
    }

    /// From here on it is counted what is done.
    pub(crate) fn start(&mut self, scheduler: &Scheduler) {
        self.share_at_start = self.share_done(scheduler);
    }

    /// Counts a result towards its cell.
    pub(crate) fn add(&mut self, spec: &TrialSpec, outcome: &Outcome) {
        let Some(accuracy) = self.selection.accuracy(outcome) else { return };
        let (_, seeds, sum) = self.cells.entry(spec.cell()).or_insert((*spec, 0, 0.0));
        *seeds += 1;
        *sum += accuracy;
    }

    fn share_done(&self, scheduler: &Scheduler) -> f64 {
        let done = scheduler.trials().map(|(id, spec, state)| match state {
            TrialState::Pending => 0.0,
            TrialState::Leased(lease) => self.work[&id] * (lease.step as f64 / spec.steps() as f64).min(1.0),
            TrialState::Succeeded { .. } | TrialState::Quarantined { .. } => self.work[&id],
        });
        done.sum::<f64>() / self.total
    }

    pub(crate) fn snapshot(&self, scheduler: &Scheduler, connected: Vec<WorkerId>, elapsed: Duration) -> Snapshot {
        let means = self.cells.values().map(|(spec, seeds, sum)| BestCell {
            spec: *spec,
            seeds: *seeds,
            mean: sum / *seeds as f64,
        });
        Snapshot {
            counts: scheduler.counts(),
            verification: None,
            workers: connected.len(),
            share_done: self.share_done(scheduler),
            share_at_start: self.share_at_start,
            succeeded_here: scheduler.counts().succeeded - self.succeeded_before,
            elapsed,
            best: means.max_by(|a, b| a.mean.total_cmp(&b.mean)),
            connected: connected.into(),
            running: scheduler.trials().filter_map(running).collect(),
        }
    }
}

fn running((trial, _, state): (TrialId, &TrialSpec, &TrialState)) -> Option<Running> {
    match state {
        TrialState::Leased(lease) => Some(Running { trial, worker: lease.worker.clone(), step: lease.step }),
        TrialState::Pending | TrialState::Succeeded { .. } | TrialState::Quarantined { .. } => None,
    }
}

#[cfg(test)]
mod tests {
    use swfn_shared::grid::{DEFAULT_MAX_TRIALS, Grid};

    use super::*;
    use swfn_scheduler::Limits;

    #[test]
    fn the_best_cell_is_the_best_by_what_counts() {
        let text = "version = 1\nname = \"t\"\n[data]\ndataset = \"mnist\"\nvalidation = 100\n[grid]\nseed = { count = 2 }\nsubset_size = 100\n\
                    architecture = [\"net\", \"lenet\", \"lenet+bn\"]\nlambda = 0\n";
        let specs: Vec<_> = Grid::parse("t", text, DEFAULT_MAX_TRIALS).unwrap().trials().collect();
        let minute = Duration::from_secs(60);
        let limits =
            Limits { max_failures: 3, max_losses: 3, lease: minute, stall: minute, longest: None, portion: 64 };
        let scheduler = Scheduler::new(limits, specs.clone());
        // Final, best and validated; the last architecture is not validated.
        let accuracies = [("net", [0.9, 0.91, 0.7]), ("lenet", [0.5, 0.95, 0.6]), ("lenet+bn", [0.4, 0.4, f64::NAN])];
        let best = |selection| {
            let mut ledger = Ledger::new(&scheduler, selection);
            for spec in &specs {
                let name = spec.architecture.name();
                let [last, best, validated] = accuracies.iter().find(|(of, _)| *of == name).unwrap().1;
                let outcome = Outcome {
                    final_test_accuracy: last,
                    best_test_accuracy: best,
                    final_test_loss: 1.0,
                    validation_accuracy: None,
                    validated_test_accuracy: Some(validated).filter(|share| share.is_finite()),
                    vae_seconds: 0.0,
                    classifier_seconds: 1.0,
                };
                ledger.add(spec, &outcome);
            }
            let best = ledger.snapshot(&scheduler, Vec::new(), Duration::ZERO).best.unwrap();
            (best.spec.architecture.name(), best.seeds, best.mean)
        };
        assert_eq!(best(Selection::Final), ("net", 2, 0.9));
        assert_eq!(best(Selection::Best), ("lenet", 2, 0.95));
        assert_eq!(best(Selection::Validation), ("net", 2, 0.7));
    }
}
