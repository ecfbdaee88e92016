//! Lanes: trials of one shape that are computed together. Whatever they learn is a tensor with a leading dimension of
//! lanes, so that lanes can be left out and others put at the end.

use tch::{Tensor, no_grad_guard};

use crate::model::layers::Named;

/// Something with tensors that have a leading dimension of lanes.
pub trait Lanes {
    /// All of them, always in the same order.
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

    /// Puts the lanes of another one of the same shape at the end.
    fn join(&mut self, mut other: Self)
    where
        Self: Sized,
    {
        let _guard = no_grad_guard();
        for (tensor, more) in self.tensors_mut().into_iter().zip(other.tensors_mut()) {
            let grad = tensor.requires_grad();
            *tensor = Tensor::cat(&[&*tensor, &*more], 0).set_requires_grad(grad);
        }
    }
}

/// One lane of tensors, whose leading dimension is then 1. They share their storage.
pub fn named_lane(tensors: Vec<Named>, lane: usize) -> Vec<Named> {
    tensors.into_iter().map(|(name, tensor)| (name, tensor.narrow(0, lane as i64, 1))).collect()
}
