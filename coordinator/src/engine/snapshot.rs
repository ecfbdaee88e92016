//! The state of the sweep as people see it while it runs.

use std::{
    collections::{BTreeMap, HashMap},
    time::Duration,
};

use swfn_scheduler::{Event, Lease, Scheduler, TrialState};
use swfn_shared::{
    grid::Selection,
    ids::{CellId, TrialId, WorkerId},
    metrics::Outcome,
    snapshot::{BestCell, Running, Snapshot},
    trial::TrialSpec,
    work,
};

/// Sums that follow the events, so that a snapshot does not visit all trials.
#[derive(Debug)]
pub(crate) struct SweepProgress {
    work: HashMap<TrialId, f64>,
    total: f64,
    /// Work of the trials that have ended.
    ended: f64,
    share_at_start: f64,
    succeeded_before: usize,
    /// Which accuracy counts.
    selection: Selection,
    /// For each cell the number of its results and the sum of their accuracies.
    cells: BTreeMap<CellId, (TrialSpec, usize, f64)>,
    /// The cell with the highest mean, so that no snapshot looks at all cells. The last of equals
    /// counts.
    best: Option<CellId>,
}

impl SweepProgress {
    pub(crate) fn new(scheduler: &Scheduler, selection: Selection) -> Self {
        let specs: Vec<_> = scheduler.trials().map(|(id, spec, _)| (id, spec)).collect();
        let work = work::flop_by_trial(specs.iter().copied());
        let ended = |(id, _, state): (TrialId, &TrialSpec, &TrialState)| match state {
            TrialState::Pending | TrialState::Leased(_) => 0.0,
            TrialState::Succeeded { .. } | TrialState::Quarantined { .. } => work[&id],
        };
        let mut progress = Self {
            total: work.values().sum(),
            ended: scheduler.trials().map(ended).sum(),
            work,
            share_at_start: 0.0,
            succeeded_before: scheduler.counts().succeeded,
            selection,
            cells: BTreeMap::new(),
            best: None,
        };
        progress.reset_baseline(scheduler);
        progress
    }

    /// Resets the baseline of the estimate of the time left.
    pub(crate) fn reset_baseline(&mut self, scheduler: &Scheduler) {
        self.share_at_start = self.share_done(scheduler);
    }

    /// Counts an event that the scheduler has applied.
    pub(crate) fn follow(&mut self, event: &Event) {
        match event {
            Event::Succeeded { lease }
            | Event::Failed { lease, quarantine: true, .. }
            | Event::Lost { lease, quarantine: true, .. } => self.ended += self.work[&lease.trial],
            Event::Retried { lease } => self.ended -= self.work[&lease.trial],
            _ => {}
        }
    }

    /// Counts a result towards its cell.
    pub(crate) fn add(&mut self, spec: &TrialSpec, outcome: &Outcome) {
        let Some(accuracy) = self.selection.accuracy(outcome) else { return };
        let id = spec.cell();
        let (_, seeds, sum) = self.cells.entry(id).or_insert((*spec, 0, 0.0));
        (*seeds, *sum) = (*seeds + 1, *sum + accuracy);
        let rank = |a: &CellId, b: &CellId| self.mean(a).total_cmp(&self.mean(b)).then(a.cmp(b));
        self.best = match self.best {
            // Its mean may have fallen below that of another cell.
            Some(best) if best == id => self.cells.keys().copied().max_by(rank),
            best => best.into_iter().chain([id]).max_by(rank),
        };
    }

    fn mean(&self, id: &CellId) -> f64 {
        let (_, seeds, sum) = &self.cells[id];
        sum / *seeds as f64
    }

    fn share_done(&self, scheduler: &Scheduler) -> f64 {
        let under_way = scheduler.leases().map(|(id, spec, lease)| {
            let share = lease.step as f64 / spec.steps() as f64;
            self.work[&id] * share.min(1.0)
        });
        (self.ended + under_way.sum::<f64>()) / self.total
    }

    pub(crate) fn snapshot(
        &self,
        scheduler: &Scheduler,
        connected: Vec<WorkerId>,
        elapsed: Duration,
    ) -> Snapshot {
        let running = |(trial, _, lease): (TrialId, &TrialSpec, &Lease)| Running {
            trial,
            worker: lease.worker.clone(),
            step: lease.step,
        };
        let best = self.best.map(|id| {
            let (spec, seeds, _) = &self.cells[&id];
            BestCell { spec: *spec, seeds: *seeds, mean: self.mean(&id) }
        });
        Snapshot {
            counts: scheduler.counts(),
            verification: None,
            workers: connected.len(),
            share_done: self.share_done(scheduler),
            share_at_start: self.share_at_start,
            succeeded_here: scheduler.counts().succeeded - self.succeeded_before,
            elapsed,
            best,
            connected: connected.into(),
            running: scheduler.leases().map(running).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use swfn_scheduler::{Command, FailureKind, LeaseReport, Limits};
    use swfn_shared::{
        capacity::Capacity,
        grid::{DEFAULT_MAX_TRIALS, Grid},
    };

    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    const LIMITS: Limits = Limits {
        max_failures: 2,
        max_losses: 2,
        lease: MINUTE,
        stall: MINUTE,
        longest: None,
        portion: 64,
    };

    fn specs(axes: &str) -> Vec<TrialSpec> {
        let text = format!(
            "version = 1\nname = \"t\"\n[data]\ndataset = \"mnist\"\nvalidation = 100\n[grid]\n{axes}\n"
        );
        Grid::parse("t", &text, DEFAULT_MAX_TRIALS).unwrap().trials().collect()
    }

    /// The share that the kept sums must give, from all trials.
    fn walked(progress: &SweepProgress, scheduler: &Scheduler) -> f64 {
        let done = scheduler.trials().map(|(id, spec, state)| match state {
            TrialState::Pending => 0.0,
            TrialState::Leased(lease) => {
                progress.work[&id] * (lease.step as f64 / spec.steps() as f64).min(1.0)
            }
            TrialState::Succeeded { .. } | TrialState::Quarantined { .. } => progress.work[&id],
        });
        done.sum::<f64>() / progress.total
    }

    proptest! {
        #[test]
        fn kept_sums_are_those_of_all_trials(
            history in prop::collection::vec((0u8..7, 0usize..8, 0u64..3_000, 0.0..1.0f64), 0..150)
        ) {
            let axes = "seed = { count = 4 }\nsubset_size = 100\narchitecture = [\"net\", \"lenet\"]\nlambda = [0, 0.1]";
            let specs = specs(axes);
            let mut scheduler = Scheduler::new(LIMITS, specs.clone());
            let mut progress = SweepProgress::new(&scheduler, Selection::Final);
            let mut results: HashMap<CellId, Vec<f64>> = HashMap::new();
            let mut now = Duration::ZERO;
            for (kind, which, number, accuracy) in history {
                let worker: WorkerId = format!("w{}", which % 3).parse().unwrap();
                let held = scheduler.leases_of(&worker);
                let lease = held.get(which % held.len().max(1)).copied();
                let about_lease = |command: &dyn Fn(swfn_shared::ids::LeaseId) -> Command| lease.map(command);
                let command = match kind {
                    0 => Some(Command::Joined { worker, predecessor: None, held: Vec::new() }),
                    1 => Some(Command::Asked { worker, capacity: Capacity { lanes: 4, shape: None, vaes: Vec::new() } }),
                    2 => about_lease(&|lease| Command::Reported { worker: worker.clone(), lease, report: LeaseReport::Progressed { step: number, waits: false } }),
                    3 => about_lease(&|lease| Command::Reported { worker: worker.clone(), lease, report: LeaseReport::Succeeded }),
                    4 => about_lease(&|lease| Command::Reported { worker: worker.clone(), lease, report: LeaseReport::Failed { kind: FailureKind::Diverged, error: "e".into(), log: String::new() } }),
                    5 => Some(Command::Retried { trial: specs[which].id() }),
                    _ => {
                        now += Duration::from_millis(number * 20);
                        Some(Command::Tick)
                    }
                };
                let Some(events) = command.and_then(|command| scheduler.decide(now, &command).ok()) else { continue };
                for event in &events {
                    scheduler.evolve(now, event).unwrap();
                    progress.follow(event);
                    if let Event::Succeeded { lease } = event {
                        let spec = *scheduler.spec(lease.trial).unwrap();
                        progress.add(&spec, &outcome([accuracy, 1.0, f64::NAN]));
                        results.entry(spec.cell()).or_default().push(accuracy);
                    }
                }
                let snapshot = progress.snapshot(&scheduler, Vec::new(), now);
                let all = walked(&progress, &scheduler);
                prop_assert!((snapshot.share_done - all).abs() < 1e-9, "{} of {all}", snapshot.share_done);
                let again = SweepProgress::new(&scheduler, Selection::Final);
                prop_assert!((again.share_done(&scheduler) - all).abs() < 1e-9);
                prop_assert_eq!(snapshot.running.len(), scheduler.counts().leased);
                let means = results.values().map(|all| all.iter().sum::<f64>() / all.len() as f64);
                prop_assert_eq!(snapshot.best.map(|best| best.mean), means.max_by(f64::total_cmp));
            }
        }
    }

    /// Final, best and validated accuracy.
    fn outcome([last, best, validated]: [f64; 3]) -> Outcome {
        Outcome {
            final_test_accuracy: last,
            best_test_accuracy: best,
            final_test_loss: 1.0,
            validation_accuracy: None,
            validated_test_accuracy: Some(validated).filter(|share| share.is_finite()),
            vae_seconds: 0.0,
            classifier_seconds: 1.0,
        }
    }

    #[test]
    fn the_selected_accuracy_decides_the_best_cell() {
        let specs = specs(
            "seed = { count = 2 }\nsubset_size = 100\narchitecture = [\"net\", \"lenet\", \"lenet+bn\"]\nlambda = 0",
        );
        let scheduler = Scheduler::new(LIMITS, specs.clone());
        // Final, best and validated; the last architecture is not validated.
        let accuracies = [
            ("net", [0.9, 0.91, 0.7]),
            ("lenet", [0.5, 0.95, 0.6]),
            ("lenet+bn", [0.4, 0.4, f64::NAN]),
        ];
        let best = |selection| {
            let mut progress = SweepProgress::new(&scheduler, selection);
            for spec in &specs {
                let name = spec.architecture.name();
                let accuracies = accuracies.iter().find(|(of, _)| *of == name).unwrap().1;
                progress.add(spec, &outcome(accuracies));
            }
            let best = progress.snapshot(&scheduler, Vec::new(), Duration::ZERO).best.unwrap();
            (best.spec.architecture.name(), best.seeds, best.mean)
        };
        assert_eq!(best(Selection::Final), ("net", 2, 0.9));
        assert_eq!(best(Selection::Best), ("lenet", 2, 0.95));
        assert_eq!(best(Selection::Validation), ("net", 2, 0.7));
    }
}
