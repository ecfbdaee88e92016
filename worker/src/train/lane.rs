//! One trial in training: its parts, its progress, and its checkpoints.

use std::{rc::Rc, time::Instant};

use swfn_shared::{
    artifacts::{Artifact, Artifacts},
    metrics::MetricPoint,
    trial::TrialSpec,
};
use tch::{Kind, Tensor};

use super::{
    device_data::DeviceData,
    sgd::Sgd,
    step_inputs::Draws,
    terms::{self, sgd_settings},
};
use crate::{
    compute::Backend,
    lanes::Model as _,
    model::network::Network,
    trial::{
        core,
        pool::Images,
        report::{Outcome, REPORT_EVERY, Reporter, TrainError},
        state::{Misfit, Phase, State},
        stop::{self, StopRule},
    },
    vae::trained::TrainedVae,
};

/// A trial whose classifier can be trained, or is in training.
pub(crate) struct Candidate<'o> {
    /// The number of its job.
    pub(crate) ticket: u64,
    pub(crate) spec: TrialSpec,
    pub(crate) wanted: Artifacts,
    pub(crate) reporter: Reporter<'o>,
    pub(crate) subset: Rc<Images>,
    pub(crate) validation: Option<Rc<Images>>,
    pub(crate) vae: Option<Rc<TrainedVae>>,
    /// Time that training the VAE took.
    pub(crate) vae_seconds: f64,
    /// Whether it began from a checkpoint.
    pub(crate) from_file: bool,
    /// The state that the classifier's training resumes from.
    pub(crate) resumed: Option<State>,
}

/// A finished trial with its result.
pub(crate) struct FinishedTrial<'o> {
    pub(crate) candidate: Candidate<'o>,
    pub(crate) result: Result<(Outcome, Vec<Artifact>), TrainError>,
}

/// One trial in training.
pub(super) struct Lane<'o> {
    pub(super) candidate: Candidate<'o>,
    pub(super) progress: Progress,
    /// Its result after the last iteration.
    pub(super) result: Option<(Outcome, Vec<Artifact>)>,
}

/// The progress of a trial.
pub(super) struct Progress {
    pub(super) draws: Draws,
    /// Finished iterations.
    pub(super) step: u32,
    /// Iterations since the last report.
    pub(super) since: u32,
    pub(super) best: f64,
    /// Accuracies on validation and test images, at the evaluation that is best on the former.
    pub(super) validated: Option<(f64, f64)>,
    stop_rules: Vec<Box<dyn StopRule>>,
    start: Instant,
    /// Seconds of training before its checkpoint.
    earlier: f64,
}

/// Everything that training changes. The sums are those of the terms' values, `[K, terms]`.
pub(super) type Core = core::Core<Network, Sgd>;

impl Candidate<'_> {
    /// Starts or resumes the trial. A state that does not fit is rejected.
    pub(super) fn start(&mut self, data: &DeviceData, backend: Backend) -> (Progress, Core) {
        let fresh = |spec: &TrialSpec| (Progress::new(spec), fresh_core(spec, data, backend));
        let (mut progress, core) = fresh(&self.spec);
        if let Some(state) = self.resumed.take() {
            match progress
                .restore(&core, &state, &self.spec)
                .and_then(|()| state.points(|point| point.check_against(&self.spec).is_ok()))
            {
                Ok(points) => self.reporter.resume(total_step(&self.spec, progress.step), &points),
                Err(misfit) => {
                    self.reporter.reject_checkpoint(&misfit.to_string());
                    if let Some(vae) = &self.vae {
                        self.reporter.report(total_step(&self.spec, 0), &vae.losses);
                    }
                    return fresh(&self.spec);
                }
            }
        }
        (progress, core)
    }
}

/// The core of one lane before its first step.
fn fresh_core(spec: &TrialSpec, data: &DeviceData, backend: Backend) -> Core {
    let scale = spec.classifier.batch_norm_scale;
    let model = Network::new(spec.architecture, scale, data.shape, &[spec.seed], backend);
    let optimiser = Sgd::new(&model.parameters(), &[sgd_settings(spec)], backend);
    let sums = Tensor::zeros([1, terms::ALL.len() as i64], (Kind::Float, backend.device));
    Core { model, optimiser, sums }
}

impl Progress {
    fn new(spec: &TrialSpec) -> Self {
        Self {
            draws: Draws::new(spec),
            step: 0,
            since: 0,
            best: 0.0,
            validated: None,
            stop_rules: stop::rules(spec),
            start: Instant::now(),
            earlier: 0.0,
        }
    }

    /// The points of new values.
    ///
    /// # Errors
    /// The reason why a rule ends the trial here.
    pub(super) fn points(
        &mut self,
        values: impl Iterator<Item = (&'static str, f64)>,
    ) -> Result<Vec<MetricPoint>, TrainError> {
        let step = self.step.into();
        let points: Vec<_> =
            values.map(|(metric, value)| MetricPoint { metric, step, value }).collect();
        self.stop_rules.iter_mut().try_for_each(|rule| rule.look(&points))?;
        Ok(points)
    }

    /// Notes the accuracies of an evaluation. The first of equals on the validation images counts.
    pub(super) fn note_evaluation(&mut self, test: f64, validation: Option<f64>) {
        self.best = self.best.max(test);
        if let Some(validation) = validation
            && self.validated.is_none_or(|(best, _)| validation > best)
        {
            self.validated = Some((validation, test));
        }
    }

    pub(super) fn seconds(&self) -> f64 {
        self.earlier + self.start.elapsed().as_secs_f64()
    }

    /// Resumes from the state, with the core of this lane alone.
    fn restore(&mut self, core: &Core, state: &State, spec: &TrialSpec) -> Result<(), Misfit> {
        core.restore(state)?;
        self.draws.restore(state)?;
        self.stop_rules.iter_mut().try_for_each(|rule| rule.restore(state))?;
        (self.best, self.earlier) = (state.share("best")?, state.seconds("classifier.seconds")?);
        self.step = state.step(spec.classifier.iterations)?;
        if spec.validation > 0 && self.step >= spec.classifier.evaluate_every {
            self.validated =
                Some((state.share("validation.best")?, state.share("validation.test")?));
        }
        Ok(())
    }

    fn keep(&self, core: &Core, index: usize, vae: Option<&TrainedVae>, vae_seconds: f64) -> State {
        let mut state = State::new(Phase::Classifier, self.step);
        core.keep(index, &mut state);
        self.draws.keep(&mut state);
        self.stop_rules.iter().for_each(|rule| rule.keep(&mut state));
        if let Some(vae) = vae {
            state.set_named("vae", vae.tensors());
        }
        state.set_float("best", self.best);
        if let Some((best, test)) = self.validated {
            state.set_float("validation.best", best);
            state.set_float("validation.test", test);
        }
        state.set_float("vae.seconds", vae_seconds);
        state.set_float("classifier.seconds", self.seconds());
        state
    }
}

impl<'o> Lane<'o> {
    /// The trial, which is over. If it was cancelled but came to its end, it has a result.
    pub(super) fn finish(self) -> FinishedTrial<'o> {
        let Self { candidate, result, .. } = self;
        let result = result
            .ok_or_else(|| candidate.reporter.stopped().cloned().unwrap_or(TrainError::Cancelled));
        FinishedTrial { candidate, result }
    }

    pub(super) fn total_step(&self) -> u64 {
        total_step(&self.candidate.spec, self.progress.step)
    }

    /// Iterations to the end of the block, where the trial is evaluated. Zero at the end of the
    /// last block.
    fn to_block_end(&self) -> u32 {
        let classifier = &self.candidate.spec.classifier;
        let every = classifier.evaluate_every;
        (every - self.progress.step % every).min(classifier.iterations - self.progress.step)
    }

    /// Iterations to the next report or restart of the epoch. Reports count from the start of the
    /// block.
    pub(super) fn to_stop(&self) -> u32 {
        let (classifier, step) = (&self.candidate.spec.classifier, self.progress.step);
        let in_block = step % classifier.evaluate_every;
        let to_report = (REPORT_EVERY - in_block % REPORT_EVERY).min(self.to_block_end());
        classifier
            .epochs
            .restart_every()
            .map_or(to_report, |every| to_report.min(every - step % every))
    }

    /// Whether the next step begins a fresh epoch, even in the middle of one.
    pub(super) fn epoch_restarts(&self) -> bool {
        let every = self.candidate.spec.classifier.epochs.restart_every();
        every.is_some_and(|every| self.progress.step.is_multiple_of(every))
    }

    /// Whether a report is due, and whether an evaluation is due.
    pub(super) fn is_due(&self) -> (bool, bool) {
        let classifier = &self.candidate.spec.classifier;
        let in_block = self.progress.step % classifier.evaluate_every;
        let evaluation = in_block == 0 || self.progress.step == classifier.iterations;
        (evaluation || in_block.is_multiple_of(REPORT_EVERY), evaluation)
    }

    pub(super) fn is_over(&self) -> bool {
        self.result.is_some() || self.candidate.reporter.stopped().is_some()
    }

    /// Reports points. With a core, training goes on from here, and the trial may be saved.
    pub(super) fn report(&mut self, points: &[MetricPoint], core: Option<&Core>, index: usize) {
        let at = self.total_step();
        let Self { candidate, progress, .. } = self;
        let (vae, seconds) = (candidate.vae.as_deref(), candidate.vae_seconds);
        match core {
            Some(core) => {
                let keep = || progress.keep(core, index, vae, seconds);
                let lanes = core.sums.size()[0] as usize;
                candidate.reporter.report_and_save(at, points, lanes, keep);
            }
            None => candidate.reporter.report(at, points),
        }
    }
}

/// The trial's steps, which include the iterations of its VAE.
fn total_step(spec: &TrialSpec, step: u32) -> u64 {
    spec.vae_samples().map_or(0, |samples| u64::from(samples.vae.iterations)) + u64::from(step)
}
