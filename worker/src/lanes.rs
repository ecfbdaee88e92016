//! Lanes: trials of one shape that are computed together. All that they learn is in tensors with a
//! leading dimension of lanes, so that lanes can be removed and others appended.

use std::borrow::Cow;

use tch::{Tensor, no_grad_guard};

/// A name and a tensor, as optimisers, checkpoints and tests see a model. The tensor shares its storage
/// with the model's.
pub type Named = (Cow<'static, str>, Tensor);

/// A named tensor that shares the storage.
pub fn named(name: &'static str, tensor: &Tensor) -> Named {
    (Cow::Borrowed(name), tensor.shallow_clone())
}

/// A value whose tensors have a leading dimension of lanes.
pub trait Lanes {
    /// All tensors, always in the same order.
    fn tensors_mut(&mut self) -> Vec<&mut Tensor>;

    /// Keeps these lanes, in this order.
    fn keep(&mut self, lanes: &[i64]) {
        let _guard = no_grad_guard();
        for tensor in self.tensors_mut() {
            let lanes = Tensor::from_slice(lanes).to_device(tensor.device());
            let grad = tensor.requires_grad();
            *tensor = tensor.index_select(0, &lanes).set_requires_grad(grad);
        }
    }

    /// Appends the lanes of others of the same shape.
    fn join(&mut self, mut others: Vec<Self>)
    where
        Self: Sized,
    {
        if others.is_empty() {
            return;
        }
        let _guard = no_grad_guard();
        let mut more: Vec<_> =
            others.iter_mut().map(|other| other.tensors_mut().into_iter()).collect();
        for tensor in self.tensors_mut() {
            let grad = tensor.requires_grad();
            let mut parts = vec![tensor.shallow_clone()];
            parts.extend(more.iter_mut().filter_map(Iterator::next).map(|t| t.shallow_clone()));
            *tensor = Tensor::cat(&parts, 0).set_requires_grad(grad);
        }
    }
}

/// One lane of tensors, with a leading dimension of 1. They share their storage.
pub fn named_lane(tensors: Vec<Named>, lane: usize) -> Vec<Named> {
    tensors.into_iter().map(|(name, tensor)| (name, tensor.narrow(0, lane as i64, 1))).collect()
}
