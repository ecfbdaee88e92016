//! A trial in the middle of its training, as named numbers and tensors: all that the rest of it depends on beside its
//! specification and its data.
//!
//! It is taken only where a report has just been made and training goes on. No assembled input is pending then, all
//! loss meters are empty, and the codes of a VAE's last batch will be those of a later one: none of them is part of it.

use std::collections::BTreeMap;

use safetensors::Dtype;
use swfn_shared::metrics::{self, MetricPoint};
use tch::{Tensor, no_grad_guard};

use crate::{
    lanes::Named,
    rng::Stream,
    store_file::{Contents, bytes, dtype, shape},
};

/// Which part of a trial is being trained.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    Vae,
    Classifier,
}

/// A state that does not fit what it is read into. The text names what is missing or different.
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
    /// Of that phase, `step` iterations of which are done.
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
        known.ok_or_else(|| Misfit("phase".to_owned()))
    }

    /// Iterations of the phase that are done; training goes on, so they are fewer than `iterations`.
    pub(crate) fn step(&self, iterations: u32) -> Result<u32, Misfit> {
        let step = u32::try_from(self.number("step")?).ok().filter(|step| *step < iterations);
        step.ok_or_else(|| Misfit("step".to_owned()))
    }

    pub(crate) fn set(&mut self, name: &str, value: u64) {
        self.numbers.insert(name.to_owned(), value);
    }

    pub(crate) fn number(&self, name: &str) -> Result<u64, Misfit> {
        self.numbers.get(name).copied().ok_or_else(|| Misfit(name.to_owned()))
    }

    /// A float by its bits: decimal digits may not bring them back.
    pub(crate) fn set_float(&mut self, name: &str, value: f64) {
        self.set(name, value.to_bits());
    }

    /// A share, 0 to 1.
    pub(crate) fn share(&self, name: &str) -> Result<f64, Misfit> {
        self.float(name)
            .and_then(|value| if value <= 1.0 { Ok(value) } else { Err(Misfit(name.to_owned())) })
    }

    /// Seconds: a number from 0 that is no nonsense.
    pub(crate) fn float(&self, name: &str) -> Result<f64, Misfit> {
        let value = f64::from_bits(self.number(name)?);
        if (0.0..=metrics::MAX_SECONDS).contains(&value) {
            Ok(value)
        } else {
            Err(Misfit(name.to_owned()))
        }
    }

    /// Where a random stream stands. None comes so far that what is drawn after it would have no number any more.
    pub(crate) fn position(&self, name: &str) -> Result<u64, Misfit> {
        self.number(name)
            .ok()
            .filter(|position| *position < 1 << 62)
            .ok_or_else(|| Misfit(name.to_owned()))
    }

    pub(crate) fn set_stream(&mut self, name: &str, stream: &Stream) {
        self.set(name, stream.position());
    }

    pub(crate) fn restore_stream(&self, name: &str, stream: &mut Stream) -> Result<(), Misfit> {
        stream.go_to(self.position(name)?);
        Ok(())
    }

    /// Whole numbers, such as an order of images.
    pub(crate) fn set_integers(&mut self, name: &str, values: &[i64]) {
        let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        self.tensors.insert(name.to_owned(), (Dtype::I64, vec![values.len()], bytes));
    }

    pub(crate) fn integers(&self, name: &str) -> Result<Vec<i64>, Misfit> {
        match self.tensors.get(name) {
            Some((Dtype::I64, _, bytes)) => {
                Ok(bytes.as_chunks().0.iter().map(|b| i64::from_le_bytes(*b)).collect())
            }
            _ => Err(Misfit(name.to_owned())),
        }
    }

    /// Tensors of a model, as `prefix.name`.
    pub(crate) fn set_named(&mut self, prefix: &str, tensors: Vec<Named>) {
        for (name, tensor) in tensors {
            self.tensors.insert(
                format!("{prefix}.{name}"),
                (dtype(&tensor), shape(&tensor), bytes(&tensor)),
            );
        }
    }

    /// Copies them back in place, so that their layout in memory stays that of a fresh model: torch's order of
    /// summation may depend on it.
    pub(crate) fn restore_named(&self, prefix: &str, tensors: Vec<Named>) -> Result<(), Misfit> {
        tensors
            .into_iter()
            .try_for_each(|(name, tensor)| self.restore(&format!("{prefix}.{name}"), tensor))
    }

    /// Tensors of an optimiser, as `prefix.index`.
    pub(crate) fn set_listed(&mut self, prefix: &str, tensors: &[Tensor]) {
        for (index, tensor) in tensors.iter().enumerate() {
            self.tensors
                .insert(format!("{prefix}.{index}"), (dtype(tensor), shape(tensor), bytes(tensor)));
        }
    }

    pub(crate) fn restore_listed(&self, prefix: &str, tensors: &[Tensor]) -> Result<(), Misfit> {
        let mut tensors = tensors.iter().enumerate();
        tensors.try_for_each(|(index, tensor)| {
            self.restore(&format!("{prefix}.{index}"), tensor.shallow_clone())
        })
    }

    fn restore(&self, name: &str, mut tensor: Tensor) -> Result<(), Misfit> {
        match self.tensors.get(name) {
            Some((kind, sides, bytes)) if (*kind, sides) == (dtype(&tensor), &shape(&tensor)) => {
                let _guard = no_grad_guard();
                tensor.copy_(&Tensor::from_data_size(bytes, &tensor.size(), tensor.kind()));
                Ok(())
            }
            _ => Err(Misfit(name.to_owned())),
        }
    }

    /// All points that the trial has reported so far.
    pub(crate) fn set_points(&mut self, points: &[MetricPoint]) {
        let metric =
            |point: &MetricPoint| metrics::ALL.iter().position(|known| *known == point.metric);
        let column = |of: &dyn Fn(&MetricPoint) -> i64| points.iter().map(of).collect::<Vec<_>>();
        self.set_integers(
            "points.metric",
            &column(&|point| metric(point).map_or(-1, |index| index as i64)),
        );
        self.set_integers("points.step", &column(&|point| point.step.cast_signed()));
        self.set_integers("points.value", &column(&|point| point.value.to_bits().cast_signed()));
    }

    /// The points again, if all of them are `sound`.
    pub(crate) fn points(
        &self,
        sound: impl Fn(&MetricPoint) -> bool,
    ) -> Result<Vec<MetricPoint>, Misfit> {
        let [names, steps, values] =
            ["points.metric", "points.step", "points.value"].map(|column| self.integers(column));
        let (names, steps, values) = (names?, steps?, values?);
        if names.len() != steps.len() || names.len() != values.len() {
            return Err(Misfit("points".to_owned()));
        }
        let point = |((name, step), value): ((i64, i64), i64)| {
            let metric =
                usize::try_from(name).ok().and_then(|index| metrics::ALL.get(index).copied());
            let value =
                Some(f64::from_bits(value.cast_unsigned())).filter(|value| value.is_finite());
            Some(MetricPoint { metric: metric?, step: u64::try_from(step).ok()?, value: value? })
        };
        let points: Option<Vec<_>> = names.into_iter().zip(steps).zip(values).map(point).collect();
        points.filter(|points| points.iter().all(sound)).ok_or_else(|| Misfit("points".to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Purpose;

    #[test]
    fn numbers_that_no_training_leaves_behind_are_misfits() {
        let mut state = State::default();
        for wrong in [f64::NAN, f64::INFINITY, -1.0] {
            state.set_float("best", wrong);
            assert!(state.float("best").is_err(), "{wrong}");
        }
        state.set_float("best", 0.5);
        assert_eq!(state.float("best").ok(), Some(0.5));
        // So far that the stream would end before the trial does.
        state.set("stream", u64::MAX);
        assert!(state.restore_stream("stream", &mut Stream::new(0, Purpose::Dropout)).is_err());

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
