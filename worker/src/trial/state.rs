//! A trial in the middle of its training, as named numbers and tensors. Together with its
//! specification and its data, they determine the rest of the training.
//!
//! A state is taken only right after a report, where training goes on. No assembled input is
//! pending then, and all loss meters are empty. Codes of a VAE's last batch will be those of a
//! later one. So none of these is part of the state.

use std::collections::BTreeMap;

use safetensors::Dtype;
use swfn_shared::metrics::{self, MetricPoint};
use tch::{Tensor, no_grad_guard};

use crate::{
    lanes::Named,
    store_file::{Contents, bytes, dtype, shape},
};

/// The part of a trial that is being trained.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    Vae,
    Classifier,
}

/// The name of a value that is missing from a state, or does not fit what it is read into.
#[derive(Debug, thiserror::Error)]
#[error("it does not fit its trial: `{0}`")]
pub(crate) struct Misfit(String);

impl Misfit {
    pub(crate) fn of(name: &str) -> Self {
        Self(name.to_owned())
    }
}

/// Numbers and tensors by their names.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct State {
    pub(crate) numbers: BTreeMap<String, u64>,
    pub(crate) tensors: Contents,
}

impl State {
    /// The state of a phase after `step` iterations.
    pub(crate) fn new(phase: Phase, step: u32) -> Self {
        let mut state = Self::default();
        state.set("phase", phase as u64);
        state.set("step", step.into());
        state
    }

    pub(crate) fn phase(&self) -> Result<Phase, Misfit> {
        let phase = self.number("phase")?;
        let known =
            [Phase::Vae, Phase::Classifier].into_iter().find(|known| *known as u64 == phase);
        known.ok_or_else(|| Misfit::of("phase"))
    }

    /// Finished iterations of the phase. As training goes on, they are fewer than `iterations`.
    pub(crate) fn step(&self, iterations: u32) -> Result<u32, Misfit> {
        let step = u32::try_from(self.number("step")?).ok().filter(|step| *step < iterations);
        step.ok_or_else(|| Misfit::of("step"))
    }

    pub(crate) fn set(&mut self, name: &str, value: u64) {
        self.numbers.insert(name.to_owned(), value);
    }

    pub(crate) fn number(&self, name: &str) -> Result<u64, Misfit> {
        self.numbers.get(name).copied().ok_or_else(|| Misfit::of(name))
    }

    /// Keeps the bits of a float, which decimal digits might change.
    pub(crate) fn set_float(&mut self, name: &str, value: f64) {
        self.set(name, value.to_bits());
    }

    /// A share, 0 to 1.
    pub(crate) fn share(&self, name: &str) -> Result<f64, Misfit> {
        self.float(name, 1.0)
    }

    /// A plausible number of seconds.
    pub(crate) fn seconds(&self, name: &str) -> Result<f64, Misfit> {
        self.float(name, metrics::MAX_SECONDS)
    }

    fn float(&self, name: &str, most: f64) -> Result<f64, Misfit> {
        let value = f64::from_bits(self.number(name)?);
        if (0.0..=most).contains(&value) { Ok(value) } else { Err(Misfit::of(name)) }
    }

    /// The position of a random stream. Training stays far below the limit, beyond which positions
    /// might overflow.
    pub(crate) fn position(&self, name: &str) -> Result<u64, Misfit> {
        self.number(name).and_then(|at| if at < 1 << 62 { Ok(at) } else { Err(Misfit::of(name)) })
    }

    /// Keeps whole numbers, such as an order of images.
    pub(crate) fn set_integers(&mut self, name: &str, values: &[i64]) {
        let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        self.tensors.insert(name.to_owned(), (Dtype::I64, vec![values.len()], bytes));
    }

    pub(crate) fn integers(&self, name: &str) -> Result<Vec<i64>, Misfit> {
        match self.tensors.get(name) {
            Some((Dtype::I64, _, bytes)) => {
                Ok(bytes.as_chunks().0.iter().map(|b| i64::from_le_bytes(*b)).collect())
            }
            _ => Err(Misfit::of(name)),
        }
    }

    /// Keeps tensors of a model or of an optimiser, as `prefix.name`.
    pub(crate) fn set_named(&mut self, prefix: &str, tensors: Vec<Named>) {
        self.tensors.extend(tensors.into_iter().map(|(name, tensor)| {
            (format!("{prefix}.{name}"), (dtype(&tensor), shape(&tensor), bytes(&tensor)))
        }));
    }

    /// Copies tensors back in place. So their layout in memory stays that of a fresh model, on
    /// which torch's order of summation may depend.
    pub(crate) fn restore_named(&self, prefix: &str, tensors: Vec<Named>) -> Result<(), Misfit> {
        let _guard = no_grad_guard();
        for (name, mut tensor) in tensors {
            let name = format!("{prefix}.{name}");
            match self.tensors.get(&name) {
                Some((kind, sides, bytes))
                    if (*kind, sides) == (dtype(&tensor), &shape(&tensor)) =>
                {
                    tensor.copy_(&Tensor::from_data_size(bytes, &tensor.size(), tensor.kind()));
                }
                _ => return Err(Misfit(name)),
            }
        }
        Ok(())
    }

    /// Keeps all points that the trial has reported so far.
    pub(crate) fn set_points(&mut self, points: &[MetricPoint]) {
        let metric = |point: &MetricPoint| {
            metrics::ALL.iter().position(|known| *known == point.metric).map_or(-1, |at| at as i64)
        };
        let column = |of: &dyn Fn(&MetricPoint) -> i64| points.iter().map(of).collect::<Vec<_>>();
        self.set_integers("points.metric", &column(&metric));
        self.set_integers("points.step", &column(&|point| point.step.cast_signed()));
        self.set_integers("points.value", &column(&|point| point.value.to_bits().cast_signed()));
    }

    /// The reported points, if all of them are `sound`.
    pub(crate) fn points(
        &self,
        sound: impl Fn(&MetricPoint) -> bool,
    ) -> Result<Vec<MetricPoint>, Misfit> {
        let [names, steps, values] =
            ["points.metric", "points.step", "points.value"].map(|column| self.integers(column));
        let (names, steps, values) = (names?, steps?, values?);
        if names.len() != steps.len() || names.len() != values.len() {
            return Err(Misfit::of("points"));
        }
        let point = |((name, step), value): ((i64, i64), i64)| {
            let metric =
                usize::try_from(name).ok().and_then(|index| metrics::ALL.get(index).copied());
            let value =
                Some(f64::from_bits(value.cast_unsigned())).filter(|value| value.is_finite());
            Some(MetricPoint { metric: metric?, step: u64::try_from(step).ok()?, value: value? })
        };
        let points: Option<Vec<_>> = names.into_iter().zip(steps).zip(values).map(point).collect();
        points.filter(|points| points.iter().all(sound)).ok_or_else(|| Misfit::of("points"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_that_no_training_leaves_behind_are_misfits() {
        let mut state = State::default();
        for wrong in [f64::NAN, f64::INFINITY, -1.0] {
            state.set_float("best", wrong);
            assert!(state.seconds("best").is_err(), "{wrong}");
        }
        state.set_float("best", 0.5);
        assert_eq!(state.seconds("best").ok(), Some(0.5));
        // The stream would end before the trial does.
        state.set("stream", u64::MAX);
        assert!(state.position("stream").is_err());

        let columns = |steps: &[i64]| {
            let mut state = State::default();
            state.set_integers("points.metric", &[0, 0]);
            state.set_integers("points.step", steps);
            state.set_integers("points.value", &[0, 0]);
            state.points(|_| true).map(|points| points.len()).ok()
        };
        assert_eq!([columns(&[1, 2]), columns(&[1]), columns(&[-1, 2])], [Some(2), None, None]);
    }
}
