//! Verification: when all trials have ended, some of them are trained again, on other workers where there are others.
//!
//! It is a sweep of its own, in the folder `verification` of the run directory, with a store and a journal like the first. Workers keep
//! their streams and cannot tell it from the first, and nobody but the coordinator knows which trials were drawn.

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
    trial::TrialSpec,
};
use swfn_store::{ArtifactFolder, LogFolder, Store, TrialRow};

use super::{actor::Engine, error::EngineError, rules::Counted};
use crate::custody;

/// What comes after the first training of all trials.
#[derive(Debug)]
pub(super) enum Second {
    /// So many trials are to be trained again, in this folder.
    Ahead { trials: usize, folder: PathBuf },
    /// It is under way; the first sweep rests.
    UnderWay { first: Box<Store>, shown: Box<Snapshot> },
}

impl Engine {
    /// The same, which trains so many trials again when all have ended. `folder`: where it keeps that.
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

    /// Goes over to the second training, with all workers that are there.
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
        let specs = earlier.iter().map(|(spec, _)| *spec).collect();
        let scheduler = Scheduler::repeat(self.turn.scheduler.limits(), earlier);
        let (files, nothing) = (
            ArtifactFolder::open(folder.join("artifacts"), Artifacts::default())?,
            Artifacts::default(),
        );
        let mut second =
            Self::resume(store, scheduler, specs, self.selection, nothing, files, self.dead)?;
        second.logs = Some(LogFolder::new(folder.join("logs")));
        if !second.turn.scheduler.counts().finished() {
            output::print_message(&format!(
                "verifying: {} to train a second time",
                custody::trials(drawn.len())
            ));
        }
        let shown = self.shown(Vec::new());
        Ok(second.in_place_of(self, shown))
    }

    /// Takes over the streams of the first sweep, its clock and those who watch it.
    fn in_place_of(mut self, first: Self, shown: Snapshot) -> Self {
        self.started = first.started;
        self.streams = first.streams;
        self.unread = first.unread;
        self.meters = first.meters;
        self.give_up = first.give_up;
        self.sends_home = first.sends_home;
        self.snapshots = first.snapshots;
        self.second =
            Some(Second::UnderWay { first: Box::new(first.store), shown: Box::new(shown) });
        self.batch.workers.extend(self.streams.values().map(|stream| stream.worker.clone()));
        self.turn.take_over(&mut TurnContext { now: self.now(), rules: &mut Counted }, first.turn);
        self.snapshots.send_replace(self.shown(self.turn.connected()));
        self
    }

    /// The store of the first sweep, whose results count.
    pub(super) fn into_store(self) -> Store {
        match self.second {
            Some(Second::UnderWay { first, .. }) => *first,
            Some(Second::Ahead { .. }) | None => self.store,
        }
    }

    /// What people see: of the first sweep, also while the second is under way.
    pub(super) fn shown(&self, connected: Vec<WorkerId>) -> Snapshot {
        let snapshot = self.ledger.snapshot(&self.turn.scheduler, connected, self.now());
        match &self.second {
            None => snapshot,
            Some(Second::Ahead { trials, .. }) => {
                let ahead = (*trials).min(self.turn.scheduler.counts().total());
                Snapshot {
                    verification: Some(Counts { pending: ahead, ..Counts::default() }),
                    ..snapshot
                }
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

/// Draws trials that have succeeded: those that were drawn before, and then others, by the randomness of the system.
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
