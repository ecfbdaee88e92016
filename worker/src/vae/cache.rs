//! VAEs in memory. Trials with equal subsets and VAE settings share one, whatever their lambda or
//! architecture.

use std::{collections::VecDeque, rc::Rc};

use swfn_shared::ids::VaeId;

use super::trained::TrainedVae;

/// The most recently used VAEs, on the device.
#[derive(Debug)]
pub struct VaeCache {
    capacity: usize,
    /// The most recently used one is first.
    entries: VecDeque<(VaeId, Rc<TrainedVae>)>,
}

impl VaeCache {
    /// An empty cache of up to `capacity` VAEs, at least one.
    pub fn new(capacity: usize) -> Self {
        Self { capacity: capacity.max(1), entries: VecDeque::new() }
    }

    /// Returns a VAE, which becomes the most recently used one.
    pub fn get(&mut self, id: VaeId) -> Option<Rc<TrainedVae>> {
        let index = self.entries.iter().position(|(known, _)| *known == id)?;
        let entry = self.entries.remove(index)?;
        self.entries.push_front(entry);
        self.entries.front().map(|(_, vae)| Rc::clone(vae))
    }

    /// Keeps a VAE, and drops the least recently used one if there are too many.
    pub fn insert(&mut self, id: VaeId, vae: Rc<TrainedVae>) {
        self.entries.retain(|(known, _)| *known != id);
        self.entries.push_front((id, vae));
        self.entries.truncate(self.capacity);
    }

    /// Drops a VAE.
    pub fn remove(&mut self, id: VaeId) {
        self.entries.retain(|(known, _)| *known != id);
    }

    /// All VAEs in the cache, the most recently used one first.
    pub fn ids(&self) -> Vec<VaeId> {
        self.entries.iter().map(|(id, _)| *id).collect()
    }
}

#[cfg(test)]
mod tests {
    use tch::{Device, Kind, Tensor};

    use super::*;
    use crate::vae::{family::Either, model::Vae, trained::Densities};

    #[test]
    fn the_least_recently_used_vae_is_dropped() {
        let codes = Tensor::zeros([1, 1, 1], (Kind::Float, Device::Cpu));
        let decoder = || Either::Vanilla(Vae::new(1, 1, 1, &[0], Device::Cpu.into()).decoder);
        let density = || Densities::new(decoder(), &codes, &codes);
        let vae = || Rc::new(TrainedVae::new(density(), codes.squeeze_dim(0)));
        let id = |digit: &str| digit.repeat(32).parse::<VaeId>().unwrap();
        let (a, b, c) = (id("a"), id("b"), id("c"));
        let mut cache = VaeCache::new(2);
        cache.insert(a, vae());
        cache.insert(b, vae());
        assert!(cache.get(a).is_some());
        cache.insert(c, vae());
        assert_eq!(cache.ids(), [c, a]);
        assert!(cache.get(b).is_none());
    }
}
