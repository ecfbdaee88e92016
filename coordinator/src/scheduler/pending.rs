//! Trials that wait, arranged so that those of one subset, which share a VAE, go to one worker, and so that a grant is of one shape.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use swfn_shared::ids::{ShapeId, VaeId};

use super::state::{Trial, TrialIndex};

#[derive(Debug, Default)]
pub(super) struct Pending {
    /// By group: what waits, by shape.
    groups: BTreeMap<usize, BTreeMap<ShapeId, BTreeSet<TrialIndex>>>,
    /// Live leases of each group.
    leased: HashMap<usize, u32>,
    /// The group of each VAE.
    vaes: HashMap<VaeId, usize>,
}

impl Pending {
    pub(super) fn insert(&mut self, trial: &Trial, index: TrialIndex) {
        self.groups.entry(trial.group).or_default().entry(trial.shape).or_default().insert(index);
        if let Some(vae) = trial.vae {
            self.vaes.insert(vae, trial.group);
        }
    }

    pub(super) fn remove(&mut self, trial: &Trial, index: TrialIndex) {
        let Some(shapes) = self.groups.get_mut(&trial.group) else { return };
        if let Some(trials) = shapes.get_mut(&trial.shape) {
            trials.remove(&index);
            if trials.is_empty() {
                shapes.remove(&trial.shape);
            }
        }
        if shapes.is_empty() {
            self.groups.remove(&trial.group);
        }
    }

    pub(super) fn lease_began(&mut self, group: usize) {
        *self.leased.entry(group).or_default() += 1;
    }

    pub(super) fn lease_ended(&mut self, group: usize) {
        if let Some(count) = self.leased.get_mut(&group) {
            *count -= 1;
            if *count == 0 {
                self.leased.remove(&group);
            }
        }
    }

    /// Up to `wanted` trials of one shape for a worker with these VAEs at hand: first those whose VAE it has, then those of subsets that
    /// nobody works on, then any. The shape is that of the first.
    pub(super) fn pick(&self, wanted: usize, at_hand: &[VaeId]) -> Vec<TrialIndex> {
        let own: BTreeSet<usize> = at_hand.iter().filter_map(|vae| self.vaes.get(vae).copied()).collect();
        let own = own.into_iter().filter(|group| self.groups.contains_key(group));
        let untouched = self.groups.keys().copied().filter(|group| !self.leased.contains_key(group));
        let mut picked = Vec::new();
        let mut shape = None;
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
        picked
    }
}

/// The shape of the trial that comes first in the order of the grid.
fn first_shape(shapes: &BTreeMap<ShapeId, BTreeSet<TrialIndex>>) -> ShapeId {
    let (shape, _) = shapes.iter().min_by_key(|(_, trials)| trials.first()).expect("a group that is listed has trials");
    *shape
}
