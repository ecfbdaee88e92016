//! Lanes: trials of one shape that are computed together. Everything that they learn is a tensor
//! with a leading dimension of lanes, so that lanes can leave and others can join.

use std::{borrow::Cow, iter};

use tch::{Tensor, no_grad_guard};

/// A name and a tensor: the view that optimisers, checkpoints and tests have of a model. The tensor
/// shares its storage with the model's.
pub type Named = (Cow<'static, str>, Tensor);

/// A tensor with that name, not a copy.
pub fn named(name: impl Into<Cow<'static, str>>, tensor: &Tensor) -> Named {
    (name.into(), tensor.shallow_clone())
}

/// A function of a tensor.
pub type Map<'f> = dyn FnMut(&Tensor) -> Tensor + 'f;

/// A value with tensors that have a leading dimension of lanes.
pub trait Lanes: Sized {
    /// The same value with the results of `f` as its tensors. The order of the calls is always the
    /// same.
    fn map(&self, f: &mut Map<'_>) -> Self;

    /// The same tensors, not copies.
    fn shallow_clone(&self) -> Self {
        self.map(&mut Tensor::shallow_clone)
    }

    /// Copies these lanes, in this order.
    fn select(&self, lanes: &[i64]) -> Self {
        let _guard = no_grad_guard();
        self.map(&mut |tensor| {
            let lanes = Tensor::from_slice(lanes).to_device(tensor.device());
            tensor.index_select(0, &lanes).set_requires_grad(tensor.requires_grad())
        })
    }

    /// Appends the lanes of others of the same shape.
    fn join(&mut self, others: &[Self]) {
        if others.is_empty() {
            return;
        }
        let _guard = no_grad_guard();
        let tensors = |of: &Self| {
            let mut all = Vec::new();
            of.map(&mut |tensor| {
                all.push(tensor.shallow_clone());
                tensor.shallow_clone()
            });
            all.into_iter()
        };
        let mut others: Vec<_> = others.iter().map(tensors).collect();
        *self = self.map(&mut |tensor| {
            let more = others.iter_mut().filter_map(Iterator::next);
            let parts: Vec<_> = iter::once(tensor.shallow_clone()).chain(more).collect();
            Tensor::cat(&parts, 0).set_requires_grad(tensor.requires_grad())
        });
    }
}

/// Implements [`Lanes`] for a structure: the fields in braces have lanes, the others do not.
macro_rules! impl_lanes {
    ($type:ty { $($mapped:ident),* } $($kept:ident)*) => {
        impl $crate::lanes::Lanes for $type {
            #[allow(clippy::clone_on_copy, reason = "some fields are no more than numbers")]
            fn map(&self, f: &mut $crate::lanes::Map<'_>) -> Self {
                Self {
                    $($mapped: $crate::lanes::Lanes::map(&self.$mapped, f),)*
                    $($kept: self.$kept.clone(),)*
                }
            }
        }
    };
}

pub(crate) use impl_lanes;

impl Lanes for Tensor {
    fn map(&self, f: &mut Map<'_>) -> Self {
        f(self)
    }
}

impl<L: Lanes> Lanes for Vec<L> {
    fn map(&self, f: &mut Map<'_>) -> Self {
        self.iter().map(|one| one.map(f)).collect()
    }
}

impl<L: Lanes, const N: usize> Lanes for [L; N] {
    fn map(&self, f: &mut Map<'_>) -> Self {
        self.each_ref().map(|one| one.map(f))
    }
}

/// A model or an optimiser: its tensors by their names.
pub trait Model: Lanes {
    /// How the names begin in a checkpoint.
    const NAME: &'static str = "model";

    /// All parameters, named as in PyTorch, in an order that never changes; the state of an
    /// optimiser.
    fn parameters(&self) -> Vec<Named>;

    /// The running statistics of batch norm, named as in PyTorch.
    fn buffers(&self) -> Vec<Named> {
        Vec::new()
    }
}

/// One lane of tensors, whose leading dimension is then 1. They share their storage.
pub fn named_lane(tensors: Vec<Named>, lane: usize) -> Vec<Named> {
    tensors.into_iter().map(|(name, tensor)| (name, tensor.narrow(0, lane as i64, 1))).collect()
}
