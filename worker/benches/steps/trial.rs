//! Runs trials through the trainer, as in a sweep, and measures the time between two reports of
//! losses. So the benchmark depends on no part of the trainer's inside.

use std::{cell::RefCell, ops::ControlFlow, time::Duration};

use swfn_shared::{
    artifacts::Artifacts,
    catalogue::SYNTHETIC,
    dataset::Dataset,
    grid::{DEFAULT_MAX_TRIALS, Grid},
    metrics::{MetricPoint, TEST_LOSS, TRAIN_LOSS, VAE_LOSS},
    trial::TrialSpec,
};
use swfn_worker::{
    data::{LoadOptions, load},
    train::trainer::{Options, Trainer},
    trial::report::{Observer, REPORT_EVERY, Stop},
};
use tch::Device;

use crate::clock;

/// Images of an evaluation.
pub(crate) const TEST_IMAGES: usize = 1000;

/// A trainer with synthetic digits.
pub(crate) struct Desk(RefCell<Trainer>);

/// When each loss was reported, in order, by the process's own clock.
#[derive(Default)]
struct Clock(Vec<(&'static str, Duration)>);

impl Observer for Clock {
    fn points(&mut self, _: u64, points: &[MetricPoint]) -> ControlFlow<Stop> {
        let now = clock::now();
        self.0.extend(points.iter().map(|point| (point.metric, now)));
        ControlFlow::Continue(())
    }
}

impl Clock {
    /// The time from each point of `from` to the next one of `to`, if no other loss comes between.
    fn between(&self, from: &str, to: &str) -> Duration {
        let losses = || {
            self.0.iter().filter(|(metric, _)| [VAE_LOSS, TRAIN_LOSS, TEST_LOSS].contains(metric))
        };
        let pairs =
            losses().zip(losses().skip(1)).filter(|(one, next)| one.0 == from && next.0 == to);
        pairs.map(|(one, next)| next.1 - one.1).sum()
    }
}

impl Desk {
    pub(crate) fn new() -> Self {
        let mut digits =
            load(&Dataset::of(&SYNTHETIC), &LoadOptions::default()).expect("digits are drawn");
        digits.test = digits.test.gather(&Vec::from_iter(0..TEST_IMAGES));
        let mut trainer = Trainer::new(Device::Cpu, Options::default());
        trainer.load(trial("net", 0.0, 0, "").dataset, digits).expect("the digits fit into memory");
        Self(RefCell::new(trainer))
    }

    fn run(&self, spec: &TrialSpec) -> Clock {
        let mut clock = Clock::default();
        let mut trainer = self.0.borrow_mut();
        let done = trainer.run_for(spec, Artifacts::default(), &mut clock);
        done.expect("the trial is one of the published ones");
        clock
    }

    /// The time of so many steps of a classifier, with so many samples for the function norm, or
    /// without it. Steps before a trial's first report do not count, since they allocate memory.
    pub(crate) fn classifier(&self, architecture: &str, samples: u32, count: u64) -> Duration {
        let (steps, part) = rounded(count);
        let classifier = format!("[classifier]\niterations = {steps}\nevaluate_every = {steps}\n");
        let (lambda, sections) = match samples {
            0 => (0.0, classifier),
            _ => (
                0.1,
                format!(
                    "penalty_samples = {samples}\n{classifier}[vae]\niterations = {REPORT_EVERY}\n"
                ),
            ),
        };
        self.run(&trial(architecture, lambda, 0, &sections))
            .between(TRAIN_LOSS, TRAIN_LOSS)
            .mul_f64(part)
    }

    /// The time of so many steps of the VAE. As VAEs are kept, `seed` must be new.
    pub(crate) fn vae(&self, seed: u64, count: u64) -> Duration {
        let (steps, part) = rounded(count);
        let sections = format!("[classifier]\niterations = 1\n[vae]\niterations = {steps}\n");
        self.run(&trial("net", 1.0, seed, &sections)).between(VAE_LOSS, VAE_LOSS).mul_f64(part)
    }

    /// The time of so many evaluations of [`TEST_IMAGES`] images.
    pub(crate) fn evaluation(&self, architecture: &str, count: u64) -> Duration {
        let sections = format!("[classifier]\niterations = {count}\nevaluate_every = 1\n");
        self.run(&trial(architecture, 0.0, 0, &sections)).between(TRAIN_LOSS, TEST_LOSS)
    }
}

/// The steps of a trial with at least `count` between two reports, and the share of `count` in
/// those.
fn rounded(count: u64) -> (u64, f64) {
    let unit = u64::from(REPORT_EVERY);
    let measured = count.div_ceil(unit) * unit;
    (unit + measured, count as f64 / measured as f64)
}

/// A trial with the published settings but for these. `sections` follow the axes in the grid file.
fn trial(architecture: &str, lambda: f64, seed: u64, sections: &str) -> TrialSpec {
    let grid = format!(
        "version = 1\nname = 'steps'\n[data]\ndataset = 'synthetic'\n\
         [grid]\nsubset_size = 300\narchitecture = '{architecture}'\nlambda = {lambda}\nseed = [{seed}]\n{sections}"
    );
    let grid = Grid::parse("steps", &grid, DEFAULT_MAX_TRIALS)
        .unwrap_or_else(|error| panic!("{error}\n{grid}"));
    grid.trials().next().expect("a grid of one point has one trial")
}
