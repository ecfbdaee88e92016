//! One trial in training: what it is, how far it is, and how it is saved.

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
    compute::Place,
    lanes::{Lanes, named_lane},
    model::network::Network,
    trial::{
        pool::Images,
        report::{Outcome, REPORT_EVERY, Reporter, TrainError},
        state::{Misfit, Phase, State},
        stop::{self, StopRule},
    },
    vae::trained::TrainedVae,
};

/// A trial that is ready for its classifier, or in the middle of it.
pub(crate) struct Candidate<'o> {
    /// Whose it is, for who asked for it.
    pub(crate) ticket: u64,
    pub(crate) spec: TrialSpec,
    pub(crate) wanted: Artifacts,
    pub(crate) reporter: Reporter<'o>,
    pub(crate) subset: Rc<Images>,
    /// If it has any.
    pub(crate) validation: Option<Rc<Images>>,
    pub(crate) vae: Option<Rc<TrainedVae>>,
    /// What training the VAE took.
    pub(crate) vae_seconds: f64,
    /// Whether anything of it was read from a checkpoint.
    pub(crate) from_file: bool,
    /// Where the classifier's training goes on.
    pub(crate) resumed: Option<State>,
}

/// A trial that is over.
pub(crate) struct Ended<'o> {
    pub(crate) candidate: Candidate<'o>,
    pub(crate) result: Result<(Outcome, Vec<Artifact>), TrainError>,
}

/// One trial in training.
pub(super) struct Lane<'o> {
    pub(super) candidate: Candidate<'o>,
    pub(super) progress: Progress,
    /// How it ended, if it came to its end.
    pub(super) result: Option<(Outcome, Vec<Artifact>)>,
}

/// How far a trial is.
pub(super) struct Progress {
    pub(super) draws: Draws,
    /// Iterations done.
    pub(super) step: u32,
    /// Those since the last report.
    pub(super) since: u32,
    pub(super) best: f64,
    /// At the evaluation that was best on the validation images, once there was one: the accuracy on those, and on the test images.
    pub(super) validated: Option<(f64, f64)>,
    /// When it ends early.
    stop: Vec<Box<dyn StopRule>>,
    start: Instant,
    /// Seconds before its checkpoint.
    earlier: f64,
}

/// All that training changes, of K lanes.
pub(super) struct Core {
    pub(super) network: Network,
    pub(super) optimiser: Sgd,
    /// Of the values of terms since the last report, `[K, terms]`.
    pub(super) sums: Tensor,
}

impl Lanes for Core {
    fn tensors_mut(&mut self) -> Vec<&mut Tensor> {
        let mut all = self.network.tensors_mut();
        all.extend(self.optimiser.tensors_mut());
        all.push(&mut self.sums);
        all
    }
}

impl Candidate<'_> {
    /// How far it is, and its core: at the start, or where it goes on. A state that does not fit is done without.
    pub(super) fn start(&mut self, data: &DeviceData, place: Place) -> (Progress, Core) {
        let fresh = |spec: &TrialSpec| (Progress::new(spec), Core::new(spec, data, place));
        let (mut progress, mut core) = fresh(&self.spec);
        if let Some(state) = self.resumed.take() {
            match progress
                .restore(&mut core, &state, &self.spec)
                .and_then(|()| state.points(|point| point.check_against(&self.spec).is_ok()))
            {
                Ok(points) => self.reporter.go_on(total_step(&self.spec, progress.step), &points),
                Err(misfit) => {
                    self.reporter.reject_checkpoint(&misfit.to_string());
                    if let Some(vae) = &self.vae {
                        self.reporter.report(total_step(&self.spec, 0), vae.losses());
                    }
                    return fresh(&self.spec);
                }
            }
        }
        (progress, core)
    }
}

impl Core {
    /// Of one lane, before its first step.
    fn new(spec: &TrialSpec, data: &DeviceData, place: Place) -> Self {
        let scale = spec.classifier.batch_norm_scale;
        let network = Network::new(spec.architecture, scale, data.shape(), &[spec.seed], place);
        let optimiser = Sgd::new(&network.parameters(), &[sgd_settings(spec)], place);
        Self {
            network,
            optimiser,
            sums: Tensor::zeros([1, terms::ALL.len() as i64], (Kind::Float, place.device)),
        }
    }

    fn lanes(&self) -> usize {
        self.sums.size()[0] as usize
    }
}

impl Progress {
    fn new(spec: &TrialSpec) -> Self {
        let (draws, start) = (Draws::new(spec), Instant::now());
        Self {
            draws,
            step: 0,
            since: 0,
            best: 0.0,
            validated: None,
            stop: stop::rules(spec),
            start,
            earlier: 0.0,
        }
    }

    /// The points of what has just been measured.
    ///
    /// # Errors
    /// Why the trial ends here, if a rule says so.
    pub(super) fn measured(
        &mut self,
        values: &[(&'static str, f64)],
    ) -> Result<Vec<MetricPoint>, TrainError> {
        let step = self.step.into();
        let points: Vec<_> =
            values.iter().map(|&(metric, value)| MetricPoint { metric, step, value }).collect();
        self.stop.iter_mut().try_for_each(|rule| rule.look(&points))?;
        Ok(points)
    }

    /// Takes account of an evaluation. The first of equals on the validation images counts.
    pub(super) fn evaluated(&mut self, test: f64, validation: Option<f64>) {
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

    /// Takes up where the state was taken, with the core of this lane alone.
    fn restore(&mut self, core: &mut Core, state: &State, spec: &TrialSpec) -> Result<(), Misfit> {
        state.restore_named("model", core.network.parameters())?;
        state.restore_named("model", core.network.buffers())?;
        state.restore_listed("momentum", core.optimiser.state())?;
        self.draws.restore(state)?;
        self.stop.iter_mut().try_for_each(|rule| rule.restore(state))?;
        (self.best, self.earlier) = (state.share("best")?, state.float("classifier.seconds")?);
        self.step = state.step(spec.classifier.iterations)?;
        if spec.validation > 0 && self.step >= spec.classifier.evaluate_every {
            self.validated =
                Some((state.share("validation.best")?, state.share("validation.test")?));
        }
        Ok(())
    }

    fn keep(&self, core: &Core, index: usize, vae: Option<&TrainedVae>, vae_seconds: f64) -> State {
        let mut state = State::new(Phase::Classifier, self.step);
        state.set_named("model", named_lane(core.network.parameters(), index));
        state.set_named("model", named_lane(core.network.buffers(), index));
        let momenta: Vec<_> =
            core.optimiser.state().iter().map(|u| u.narrow(0, index as i64, 1)).collect();
        state.set_listed("momentum", &momenta);
        self.draws.keep(&mut state);
        self.stop.iter().for_each(|rule| rule.keep(&mut state));
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
    /// Its end, which has come.
    pub(super) fn end(self) -> Ended<'o> {
        let Self { candidate, result, .. } = self;
        // A trial that was cancelled and came to its end all the same has a result.
        let result = result
            .ok_or_else(|| candidate.reporter.stopped().cloned().unwrap_or(TrainError::Cancelled));
        Ended { candidate, result }
    }

    pub(super) fn total_step(&self) -> u64 {
        total_step(&self.candidate.spec, self.progress.step)
    }

    /// Iterations to the end of the block, where the trial is evaluated; none at the end of the last one.
    fn to_block_end(&self) -> u32 {
        let classifier = &self.candidate.spec.classifier;
        let every = classifier.evaluate_every;
        (every - self.progress.step % every).min(classifier.iterations - self.progress.step)
    }

    /// Iterations to the next report, or to the next restart of the epoch. Reports are counted from the start of the block.
    pub(super) fn to_stop(&self) -> u32 {
        let (classifier, step) = (&self.candidate.spec.classifier, self.progress.step);
        let in_block = step % classifier.evaluate_every;
        let to_report = (REPORT_EVERY - in_block % REPORT_EVERY).min(self.to_block_end());
        classifier
            .epochs
            .restart_every()
            .map_or(to_report, |every| to_report.min(every - step % every))
    }

    /// Whether the next step begins a fresh epoch, wherever the last one stands.
    pub(super) fn epoch_restarts(&self) -> bool {
        let every = self.candidate.spec.classifier.epochs.restart_every();
        every.is_some_and(|every| self.progress.step.is_multiple_of(every))
    }

    /// Whether a report is due, and whether an evaluation is. Something has been trained since the last one.
    pub(super) fn is_due(&self) -> (bool, bool) {
        let classifier = &self.candidate.spec.classifier;
        let in_block = self.progress.step % classifier.evaluate_every;
        let evaluation = in_block == 0 || self.progress.step == classifier.iterations;
        (evaluation || in_block.is_multiple_of(REPORT_EVERY), evaluation)
    }

    pub(super) fn is_over(&self) -> bool {
        self.result.is_some() || self.candidate.reporter.stopped().is_some()
    }

    /// Hands points over; with a core the trial goes on from here, and may be saved.
    pub(super) fn report(&mut self, points: &[MetricPoint], core: Option<&Core>, index: usize) {
        let at = self.total_step();
        let Self { candidate, progress, .. } = self;
        let (vae, seconds) = (candidate.vae.as_deref(), candidate.vae_seconds);
        match core {
            Some(core) => {
                let keep = || progress.keep(core, index, vae, seconds);
                candidate.reporter.report_and_save(at, points, core.lanes(), keep);
            }
            None => candidate.reporter.report(at, points),
        }
    }
}

/// Steps of a trial count the iterations of its VAE, too.
fn total_step(spec: &TrialSpec, step: u32) -> u64 {
    spec.vae_samples().map_or(0, |samples| u64::from(samples.vae.iterations)) + u64::from(step)
}
