//! Trials that wait. A sweep fills up seed by seed, trials of one subset go to one worker, since
//! they share a VAE, and a grant has one shape.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet, hash_map::Entry},
    hash::Hash,
    iter,
    ops::Range,
};

use swfn_shared::ids::{ShapeId, VaeId};

use super::state::{Trial, TrialIndex};

/// A group's position in the sweep: that of its seed, and its own.
type Position = (usize, usize);

/// All positions.
const ALL: Range<Position> = (0, 0)..(usize::MAX, usize::MAX);

#[derive(Debug, Default)]
pub(super) struct Pending {
    /// Waiting trials by group and shape.
    groups: BTreeMap<Position, BTreeMap<ShapeId, BTreeSet<TrialIndex>>>,
    /// The positions of the seeds in the grid.
    seeds: HashMap<u64, usize>,
    /// Shapes whose trials need a VAE.
    sampling: HashSet<ShapeId>,
    /// The number of waiting trials by shape.
    waiting: HashMap<ShapeId, usize>,
    /// The number of live leases by group.
    pub(super) leased: HashMap<usize, usize>,
    /// The group of each VAE.
    pub(super) vaes: HashMap<VaeId, Position>,
    /// The shapes of trials that have failed somewhere, and of suspects. Neither are in a group.
    failed: BTreeMap<TrialIndex, ShapeId>,
    suspects: BTreeMap<TrialIndex, ShapeId>,
}

impl Pending {
    pub(super) fn insert(&mut self, trial: &Trial, index: TrialIndex) {
        if trial.is_suspect() {
            self.suspects.insert(index, trial.shape);
            return;
        }
        if !trial.failed_at.is_empty() {
            self.failed.insert(index, trial.shape);
            return;
        }
        let next = self.seeds.len();
        let place = (*self.seeds.entry(trial.spec.seed).or_insert(next), trial.group);
        if self.groups.entry(place).or_default().entry(trial.shape).or_default().insert(index) {
            *self.waiting.entry(trial.shape).or_default() += 1;
        }
        if let Some(vae) = trial.vae {
            self.vaes.insert(vae, place);
            self.sampling.insert(trial.shape);
        }
    }

    pub(super) fn remove(&mut self, trial: &Trial, index: TrialIndex) {
        if self.suspects.remove(&index).is_some() || self.failed.remove(&index).is_some() {
            return;
        }
        let Some(place) = self.seeds.get(&trial.spec.seed).map(|seed| (*seed, trial.group)) else {
            return;
        };
        let Some(shapes) = self.groups.get_mut(&place) else { return };
        if let Some(trials) = shapes.get_mut(&trial.shape) {
            if trials.remove(&index) {
                lower(&mut self.waiting, trial.shape);
            }
            if trials.is_empty() {
                shapes.remove(&trial.shape);
            }
        }
        if shapes.is_empty() {
            self.groups.remove(&place);
        }
    }

    /// Up to `wanted` trials of one shape for a worker with these VAEs.
    ///
    /// First come trials that have failed, then those whose VAE it has, then those of subsets that
    /// nobody works on, then any. Without a `shape`, the first trial sets it, and a seed goes
    /// before the next. If there are no others, an `idle` worker gets one suspect. `elsewhere`:
    /// whether a trial should run at another place.
    pub(super) fn pick(
        &self,
        wanted: usize,
        mut shape: Option<ShapeId>,
        at_hand: &[VaeId],
        idle: bool,
        elsewhere: impl Fn(TrialIndex) -> bool,
    ) -> Vec<TrialIndex> {
        let mut picked = Vec::new();
        let fits = |shape: Option<ShapeId>, index, own| {
            shape.is_none_or(|shape| shape == own) && !elsewhere(index)
        };
        for (index, own) in &self.failed {
            if picked.len() == wanted {
                return picked;
            }
            if fits(shape, *index, *own) {
                shape = Some(*own);
                picked.push(*index);
            }
        }
        self.pick_fresh(wanted, &mut shape, at_hand, &mut picked);
        if picked.is_empty() && wanted > 0 && idle {
            let suspect = self.suspects.iter().find(|(index, own)| fits(shape, **index, **own));
            picked.extend(suspect.map(|(index, _)| *index));
        }
        picked
    }

    /// Adds trials that have never failed.
    fn pick_fresh(
        &self,
        wanted: usize,
        shape: &mut Option<ShapeId>,
        at_hand: &[VaeId],
        picked: &mut Vec<TrialIndex>,
    ) {
        if shape.is_some_and(|shape| !self.waiting.contains_key(&shape)) {
            return;
        }
        let own: BTreeSet<Position> =
            at_hand.iter().filter_map(|vae| self.vaes.get(vae).copied()).collect();
        let first = if shape.is_some() { Some(ALL) } else { self.seed_from((0, 0)) };
        let spans = iter::successors(first, |span| self.seed_from(span.end));
        let within = |span: Range<Position>| self.groups.range(span).map(|(place, _)| *place);
        let untouched = |place: &Position| !self.leased.contains_key(&place.1);
        let order = spans.flat_map(|span| {
            let own =
                own.range(span.clone()).copied().filter(|place| self.groups.contains_key(place));
            own.chain(within(span.clone()).filter(untouched)).chain(within(span))
        });
        let mut visited = HashSet::new();
        for place in order {
            if picked.len() == wanted {
                break;
            }
            if !visited.insert(place) {
                continue;
            }
            let shapes = &self.groups[&place];
            let has_vae = own.contains(&place) || untouched(&place);
            let shape = *shape.get_or_insert_with(|| self.first_shape(shapes, has_vae));
            if let Some(trials) = shapes.get(&shape) {
                picked.extend(trials.iter().copied().take(wanted - picked.len()));
            }
        }
    }

    /// The positions of the next seed with waiting trials.
    fn seed_from(&self, position: Position) -> Option<Range<Position>> {
        let ((seed, _), _) = self.groups.range(position..).next()?;
        Some((*seed, 0)..(*seed + 1, 0))
    }

    /// The shape of the first trial in the order of the grid. If another worker has the VAE, or
    /// trains it, trials without one come first.
    fn first_shape(
        &self,
        shapes: &BTreeMap<ShapeId, BTreeSet<TrialIndex>>,
        has_vae: bool,
    ) -> ShapeId {
        let rank = |shape: &ShapeId| !has_vae && self.sampling.contains(shape);
        let first = shapes.iter().min_by_key(|(shape, trials)| (rank(shape), trials.first()));
        *first.expect("a group that is listed has trials").0
    }
}

/// Counts one less, and removes the key at zero.
pub(super) fn lower<K: Eq + Hash>(counts: &mut HashMap<K, usize>, key: K) {
    if let Entry::Occupied(mut count) = counts.entry(key) {
        *count.get_mut() -= 1;
        if *count.get() == 0 {
            count.remove();
        }
    }
}
