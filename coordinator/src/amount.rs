//! The work of a grid, and what it is spent on.

use std::collections::HashSet;

use swfn_shared::{trial::TrialSpec, work};

use crate::rates::Rate;

/// The work of a grid by kind: in seconds of one worker where speeds are known, else in
/// floating-point operations.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Work {
    /// Training of classifiers, without evaluations.
    pub(crate) training: f64,
    pub(crate) evaluations: f64,
    pub(crate) vaes: f64,
    /// Evaluations, if each trial had one.
    single: f64,
}

impl Work {
    pub(crate) fn of<'s>(
        specs: impl IntoIterator<Item = &'s TrialSpec>,
        rate: Option<&Rate>,
    ) -> Self {
        let mut vaes = HashSet::new();
        specs.into_iter().fold(Self::default(), |sum, spec| {
            let [training, evaluation, vae] = rate.map_or([1.0; 3], |rate| rate.speeds(spec));
            let evaluations = work::evaluation_flop(spec);
            let is_new = spec.vae().is_some_and(|vae| vaes.insert(vae));
            Self {
                training: sum.training + (work::classifier_flop(spec) - evaluations) / training,
                evaluations: sum.evaluations + evaluations / evaluation,
                vaes: sum.vaes + if is_new { work::vae_flop(spec) / vae } else { 0.0 },
                single: sum.single + evaluations / evaluation / f64::from(work::evaluations(spec)),
            }
        })
    }

    pub(crate) fn total(&self) -> f64 {
        self.training + self.evaluations + self.vaes
    }

    /// The share of all work that a single evaluation of each trial would save.
    pub(crate) fn saving(&self) -> f64 {
        (self.evaluations - self.single) / self.total()
    }
}

pub(crate) fn percent(share: f64) -> String {
    match share * 100.0 {
        0.0 => "0 %".to_owned(),
        value if value < 1.0 => "< 1 %".to_owned(),
        value => format!("{value:.0} %"),
    }
}
