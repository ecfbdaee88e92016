//! What training changes: a model, its optimiser and sums of losses, of K lanes.

use tch::Tensor;

use super::state::{Misfit, State};
use crate::lanes::{Lanes, Map, Model, Named, named_lane};

/// Everything that training changes, of K lanes.
pub(crate) struct Core<M, O> {
    pub(crate) model: M,
    pub(crate) optimiser: O,
    /// Sums of losses since the last report; the first dimension is K.
    pub(crate) sums: Tensor,
}

impl<M: Model, O: Model> Core<M, O> {
    /// Keeps a lane in a checkpoint.
    pub(crate) fn keep(&self, lane: usize, state: &mut State) {
        let tensors = self.tensors().into_iter();
        tensors.for_each(|(name, all)| state.set_named(name, named_lane(all, lane)));
    }

    /// Resumes where [`Self::keep`] left off, as the only lane.
    pub(crate) fn restore(&self, state: &State) -> Result<(), Misfit> {
        self.tensors().into_iter().try_for_each(|(name, all)| state.restore_named(name, all))
    }

    fn tensors(&self) -> [(&'static str, Vec<Named>); 2] {
        let mut model = self.model.parameters();
        model.extend(self.model.buffers());
        [(M::NAME, model), (O::NAME, self.optimiser.parameters())]
    }
}

impl<M: Lanes, O: Lanes> Lanes for Core<M, O> {
    fn map(&self, f: &mut Map<'_>) -> Self {
        Self { model: self.model.map(f), optimiser: self.optimiser.map(f), sums: f(&self.sums) }
    }
}
