//! Trials that wait, arranged so that a sweep fills up seed by seed, so that trials of one subset, which share a VAE, go to one worker,
//! and so that a grant is of one shape.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet, hash_map::Entry},
    hash::Hash,
    iter,
    ops::Range,
};

use swfn_shared::ids::{ShapeId, VaeId};

use super::state::{Trial, TrialIndex};

/// A group's place in the sweep: that of its seed, and its own.
type Position = (usize, usize);

/// All places.
const ALL: Range<Position> = (0, 0)..(usize::MAX, usize::MAX);

#[derive(Debug, Default)]
pub(super) struct Pending {
    /// By group: what waits, by shape.
    groups: BTreeMap<Position, BTreeMap<ShapeId, BTreeSet<TrialIndex>>>,
    /// The places of the seeds: in the order of the grid.
    seeds: HashMap<u64, usize>,
    /// Shapes whose trials need a VAE.
    sampling: HashSet<ShapeId>,
    /// How many of each shape wait.
    waiting: HashMap<ShapeId, usize>,
    /// Live leases of each group.
    leased: HashMap<usize, usize>,
    /// The group of each VAE.
    vaes: HashMap<VaeId, Position>,
    /// Those that have failed somewhere, and those that are to be tried alone, with their shapes; they are in no group.
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

    pub(super) fn knows(&self, vae: &VaeId) -> bool {
        self.vaes.contains_key(vae)
    }

    pub(super) fn lease_began(&mut self, group: usize) {
        *self.leased.entry(group).or_default() += 1;
    }

    pub(super) fn lease_ended(&mut self, group: usize) {
        lower(&mut self.leased, group);
    }

    /// Up to `wanted` trials of one shape for a worker with these VAEs at hand: first those that have failed, then those whose VAE it has,
    /// then those of subsets that nobody works on, then any. If no shape is asked for, it is that of the first, and all of a seed go
    /// before those of the next. When there are no others, one that is to be tried alone, if the worker is `idle`. `elsewhere`: what had
    /// better be tried at another place.
    pub(super) fn pick(
        &self,
        wanted: usize,
        mut shape: Option<ShapeId>,
        at_hand: &[VaeId],
        idle: bool,
        elsewhere: impl Fn(TrialIndex) -> bool,
    ) -> Vec<TrialIndex> {
        let mut picked = Vec::new();
        for (index, of) in &self.failed {
            if picked.len() == wanted {
                return picked;
            }
            if shape.is_none_or(|shape| shape == *of) && !elsewhere(*index) {
                shape = Some(*of);
                picked.push(*index);
            }
        }
        self.pick_fresh(wanted, &mut shape, at_hand, &mut picked);
        if picked.is_empty() && wanted > 0 && idle {
            let fits =
                |index, of: &ShapeId| shape.is_none_or(|shape| shape == *of) && !elsewhere(index);
            picked.extend(
                self.suspects.iter().find(|(index, of)| fits(**index, of)).map(|(index, _)| *index),
            );
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
        let (whole, by_seed) =
            if shape.is_some() { (Some(ALL), None) } else { (None, Some(self.by_seed())) };
        let within = |span: Range<Position>| self.groups.range(span).map(|(place, _)| *place);
        let untouched = |place: &Position| !self.leased.contains_key(&place.1);
        let order = whole.into_iter().chain(by_seed.into_iter().flatten()).flat_map(|span| {
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

    /// The places of each seed of which trials wait.
    fn by_seed(&self) -> impl Iterator<Item = Range<Position>> {
        let from = |place: Position| {
            self.groups.range(place..).next().map(|((seed, _), _)| (*seed, 0)..(*seed + 1, 0))
        };
        iter::successors(from((0, 0)), move |span| from(span.end))
    }

    /// The shape of the trial that comes first in the order of the grid. Who would train a VAE that another worker has, or trains, takes
    /// one without, as long as there are any.
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

/// Counts one less; what has been counted down to zero is not listed.
fn lower<K: Eq + Hash>(counts: &mut HashMap<K, usize>, key: K) {
    if let Entry::Occupied(mut count) = counts.entry(key) {
        *count.get_mut() -= 1;
        if *count.get() == 0 {
            count.remove();
        }
    }
}
