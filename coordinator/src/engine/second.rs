//! Verification: when all trials have ended, some of them are trained again, on other workers if
//! there are any.
//!
//! It is a sweep of its own, in the folder `verification` of the run directory, with its own store
//! and journal. Workers keep their streams and cannot tell it from the first sweep. Only the
//! coordinator knows which trials were drawn.

use std::{
    collections::{HashMap, HashSet, hash_map::RandomState},
    fs,
    hash::BuildHasher as _,
    path::PathBuf,
};

use swfn_scheduler::{EarlierOutcome, Scheduler, TrialState, turn::TurnContext};
use swfn_shared::{
    artifacts::Artifacts,
    ids::{TrialId, WorkerId},
    output, problem,
    problem::OrProblem as _,
    snapshot::{Counts, Snapshot},
    text,
    trial::TrialSpec,
};
use swfn_store::{ArtifactFolder, LogFolder, Store, TrialRow};

use super::{actor::Engine, error::EngineError, rules::CountingRules};

/// The second training.
#[derive(Debug)]
pub(super) enum Second {
    /// It trains so many trials, and keeps them in this folder.
    Ahead { trials: usize, folder: PathBuf },
    /// It runs. `first` is the store of the first sweep, and `shown` its last snapshot.
    UnderWay { first: Box<Store>, shown: Box<Snapshot> },
}

impl Engine {
    /// Plans to train so many trials again, and begins if all trials have ended.
    pub(crate) fn verifies(mut self, trials: u32, folder: PathBuf) -> Result<Self, EngineError> {
        if trials > 0 {
            self.second = Some(Second::Ahead { trials: trials as usize, folder });
        }
        if self.is_due() { self.verify() } else { Ok(self) }
    }

    /// Whether the second training can begin.
    pub(super) fn is_due(&self) -> bool {
        matches!(self.second, Some(Second::Ahead { .. })) && self.turn.scheduler.counts().finished()
    }

    /// Begins the second training, with all connected workers.
    pub(super) fn verify(mut self) -> Result<Self, EngineError> {
        let Some(Second::Ahead { trials, folder }) = self.second.take() else { return Ok(self) };
        fs::create_dir_all(&folder).or_problem(
            || problem!("cannot make `{}`", folder.display(); "check disk space and permissions"),
        )?;
        let store = Store::open(&folder.join("sweep.sqlite"))?;
        let drawn = draw(trials, self.store.trials()?, &store.trials()?);
        let earlier = |(id, spec, _): (TrialId, &TrialSpec, &TrialState)| {
            Some((*spec, drawn.get(&id)?.clone()))
        };
        let earlier: Vec<_> = self.turn.scheduler.trials().filter_map(earlier).collect();
        let specs: Vec<_> = earlier.iter().map(|(spec, _)| *spec).collect();
        let scheduler = Scheduler::repeat(self.turn.scheduler.limits(), earlier);
        let nothing = Artifacts::default();
        let files = ArtifactFolder::open(folder.join("artifacts"), nothing)?;
        let new =
            Self::new(store, scheduler, &specs, self.selection, nothing, files, self.is_dead)?;
        if !new.turn.scheduler.counts().finished() {
            let trials = text::count(drawn.len(), "trial");
            output::print_message(&format!("verifying: {trials} to train a second time"));
        }
        let (shown, first) = (Box::new(self.snapshot(Vec::new())), Box::new(self.store));
        // The streams of the first sweep, its clock and its watchers go over.
        let mut second = Self {
            second: Some(Second::UnderWay { first, shown }),
            logs: Some(LogFolder::new(folder.join("logs"))),
            started: self.started,
            streams: self.streams,
            unread: self.unread,
            meters: self.meters,
            give_up: self.give_up,
            sends_home: self.sends_home,
            snapshots: self.snapshots,
            ..new
        };
        second.batch.workers.extend(second.streams.values().map(|stream| stream.worker.clone()));
        let at = &mut TurnContext { now: second.now(), rules: &mut CountingRules };
        second.turn.take_over(at, self.turn);
        second.snapshots.send_replace(second.snapshot(second.turn.connected()));
        Ok(second)
    }

    /// The store of the first sweep, whose results count.
    pub(super) fn into_store(self) -> Store {
        match self.second {
            Some(Second::UnderWay { first, .. }) => *first,
            Some(Second::Ahead { .. }) | None => self.store,
        }
    }

    /// The snapshot for people: that of the first sweep, with the counts of the second.
    pub(super) fn snapshot(&self, connected: Vec<WorkerId>) -> Snapshot {
        let snapshot = self.progress.snapshot(&self.turn.scheduler, connected, self.now());
        match &self.second {
            None => snapshot,
            Some(Second::Ahead { trials, .. }) => {
                let pending = (*trials).min(snapshot.counts.total());
                let verification = Some(Counts { pending, ..Counts::default() });
                Snapshot { verification, ..snapshot }
            }
            Some(Second::UnderWay { shown, .. }) => Snapshot {
                verification: Some(snapshot.counts),
                workers: snapshot.workers,
                connected: snapshot.connected,
                elapsed: snapshot.elapsed,
                ..Snapshot::clone(shown)
            },
        }
    }
}

/// Draws trials that have succeeded: first those that were drawn before, then others at random.
fn draw(
    trials: usize,
    rows: Vec<TrialRow>,
    before: &[TrialRow],
) -> HashMap<TrialId, EarlierOutcome> {
    let before: HashSet<_> = before.iter().map(|row| row.id).collect();
    let random = RandomState::new();
    let succeeded = rows.into_iter().filter_map(|row| {
        let worker = row.worker.filter(|_| row.outcome.is_some())?.id;
        Some((row.id, EarlierOutcome { attempts: row.attempts, worker }))
    });
    let mut succeeded: Vec<_> = succeeded.collect();
    succeeded.sort_by_cached_key(|(id, _)| (!before.contains(id), random.hash_one(id)));
    succeeded.truncate(trials);
    succeeded.into_iter().collect()
}
