//! Trials that wait, arranged so that those of one subset, which share a VAE, go to one worker, and so that a grant is of one shape.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet, hash_map::Entry},
    hash::Hash,
};

use swfn_shared::ids::{ShapeId, VaeId};

use super::state::{Trial, TrialIndex};

#[derive(Debug, Default)]
pub(super) struct Pending {
    /// By group: what waits, by shape.
    groups: BTreeMap<usize, BTreeMap<ShapeId, BTreeSet<TrialIndex>>>,
    /// How many of each shape wait.
    waiting: HashMap<ShapeId, usize>,
    /// Live leases of each group.
    leased: HashMap<usize, usize>,
    /// The group of each VAE.
    vaes: HashMap<VaeId, usize>,
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
        if self.groups.entry(trial.group).or_default().entry(trial.shape).or_default().insert(index) {
            *self.waiting.entry(trial.shape).or_default() += 1;
        }
        if let Some(vae) = trial.vae {
            self.vaes.insert(vae, trial.group);
        }
    }

    pub(super) fn remove(&mut self, trial: &Trial, index: TrialIndex) {
        if self.suspects.remove(&index).is_some() || self.failed.remove(&index).is_some() {
            return;
        }
        let Some(shapes) = self.groups.get_mut(&trial.group) else { return };
        if let Some(trials) = shapes.get_mut(&trial.shape) {
            if trials.remove(&index) {
                lower(&mut self.waiting, trial.shape);
            }
            if trials.is_empty() {
                shapes.remove(&trial.shape);
            }
        }
        if shapes.is_empty() {
            self.groups.remove(&trial.group);
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
    /// then those of subsets that nobody works on, then any. If no shape is asked for, it is that of the first. When there are no others,
    /// one that is to be tried alone, if the worker is `idle`. `elsewhere`: what had better be tried at another place.
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
            let fits = |index, of: &ShapeId| shape.is_none_or(|shape| shape == *of) && !elsewhere(index);
            picked.extend(self.suspects.iter().find(|(index, of)| fits(**index, of)).map(|(index, _)| *index));
        }
        picked
    }

    /// Adds trials that have never failed.
    fn pick_fresh(&self, wanted: usize, shape: &mut Option<ShapeId>, at_hand: &[VaeId], picked: &mut Vec<TrialIndex>) {
        if shape.is_some_and(|shape| !self.waiting.contains_key(&shape)) {
            return;
        }
        let own: BTreeSet<usize> = at_hand.iter().filter_map(|vae| self.vaes.get(vae).copied()).collect();
        let own = own.into_iter().filter(|group| self.groups.contains_key(group));
        let untouched = self.groups.keys().copied().filter(|group| !self.leased.contains_key(group));
        let mut visited = HashSet::new();
        for group in own.chain(untouched).chain(self.groups.keys().copied()) {
            if picked.len() == wanted {
                break;
            }
            if !visited.insert(group) {
                continue;
            }
            let shapes = &self.groups[&group];
            let shape = *shape.get_or_insert_with(|| first_shape(shapes));
            if let Some(trials) = shapes.get(&shape) {
                picked.extend(trials.iter().copied().take(wanted - picked.len()));
            }
        }
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

/// The shape of the trial that comes first in the order of the grid.
fn first_shape(shapes: &BTreeMap<ShapeId, BTreeSet<TrialIndex>>) -> ShapeId {
    let (shape, _) = shapes.iter().min_by_key(|(_, trials)| trials.first()).expect("a group that is listed has trials");
    *shape
}
