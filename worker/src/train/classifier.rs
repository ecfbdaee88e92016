//! The training of classifiers: trials of one shape, each in a lane, which come and go while the others go on.

use std::{rc::Rc, time::Instant};

use swfn_shared::{
    artifacts::{Artifact, Artifacts},
    metrics::{MetricPoint, TEST_ACCURACY, TEST_LOSS, TRAIN_FUNCTION_NORM, TRAIN_LOSS},
    trial::{SampleBatchNorm, TrialSpec},
};
use tch::{Kind, Tensor};

use super::{
    artifacts,
    device_data::{DeviceData, Images, Pool},
    evaluation::{Evaluation, evaluate},
    objective::Objective,
    report::{Outcome, REPORT_EVERY, Reporter, TrainError, point},
    samples::Samples,
    sgd::{self, Sgd},
    state::{Misfit, Phase, State},
    step_inputs::{Draws, Inputs},
};
use crate::{
    compute::Place,
    lanes::{Lanes, named_lane},
    model::network::{Network, StepInput},
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
    pub(crate) vae: Option<Rc<TrainedVae>>,
    /// What training the VAE took.
    pub(crate) vae_seconds: f64,
    /// Where the classifier's training goes on.
    pub(crate) resumed: Option<State>,
}

/// A trial that is over.
pub(crate) struct Ended<'o> {
    pub(crate) candidate: Candidate<'o>,
    pub(crate) result: Result<(Outcome, Vec<Artifact>), TrainError>,
}

/// One trial in training.
struct Lane<'o> {
    candidate: Candidate<'o>,
    progress: Progress,
    /// How it ended, if it came to its end.
    result: Option<(Outcome, Vec<Artifact>)>,
}

/// How far a trial is.
struct Progress {
    draws: Draws,
    /// Iterations done.
    step: u32,
    /// Those since the last report.
    since: u32,
    best: f64,
    start: Instant,
    /// Seconds before its checkpoint.
    earlier: f64,
}

/// All that training changes, of K lanes.
struct Core {
    network: Network,
    optimiser: Sgd,
    /// Of losses and function norms since the last report, `[K, 2]`.
    sums: Tensor,
}

impl Lanes for Core {
    fn tensors_mut(&mut self) -> Vec<&mut Tensor> {
        let mut all = self.network.tensors_mut();
        all.extend(self.optimiser.tensors_mut());
        all.push(&mut self.sums);
        all
    }
}

/// Trials of one shape in training. A state is taken where a step that is reported is over, its evaluation included.
/// Blocks of inputs are functions of the step alone, so from there the computation is the same.
pub(crate) struct Classifiers<'o> {
    data: Rc<DeviceData>,
    place: Place,
    lanes: Vec<Lane<'o>>,
    /// On their way to their lanes.
    arriving: Vec<Candidate<'o>>,
    /// While there are lanes.
    group: Option<Group>,
}

/// The lanes together.
struct Group {
    core: Core,
    inputs: Inputs,
    /// `[K]`.
    lambda: Tensor,
    batch_norm: SampleBatchNorm,
}

impl Candidate<'_> {
    /// How far it is, and its core: at the start, or where it goes on. A state that does not fit is done without.
    fn start(&mut self, data: &DeviceData, place: Place) -> (Progress, Core) {
        let fresh = |spec: &TrialSpec| (Progress::new(spec), Core::new(spec, data, place));
        let (mut progress, mut core) = fresh(&self.spec);
        if let Some(state) = self.resumed.take() {
            match progress.restore(&mut core, &state, &self.spec).and_then(|()| state.points()) {
                Ok(points) => self.reporter.go_on(total_step(&self.spec, progress.step), &points),
                Err(misfit) => {
                    self.reporter.reject_checkpoint(&misfit.to_string());
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
        Self { network, optimiser, sums: Tensor::zeros([1, 2], (Kind::Float, place.device)) }
    }

    fn lanes(&self) -> usize {
        self.sums.size()[0] as usize
    }
}

impl Progress {
    fn new(spec: &TrialSpec) -> Self {
        Self { draws: Draws::new(spec), step: 0, since: 0, best: 0.0, start: Instant::now(), earlier: 0.0 }
    }

    fn seconds(&self) -> f64 {
        self.earlier + self.start.elapsed().as_secs_f64()
    }

    /// Takes up where the state was taken, with the core of this lane alone.
    fn restore(&mut self, core: &mut Core, state: &State, spec: &TrialSpec) -> Result<(), Misfit> {
        state.restore_named("model", core.network.parameters())?;
        state.restore_named("model", core.network.buffers())?;
        state.restore_listed("momentum", core.optimiser.state())?;
        self.draws.restore(state)?;
        (self.best, self.earlier) = (state.float("best")?, state.float("classifier.seconds")?);
        self.step = state.step(spec.classifier.iterations)?;
        Ok(())
    }

    fn keep(&self, core: &Core, index: usize, vae: Option<&TrainedVae>, vae_seconds: f64) -> State {
        let mut state = State::new(Phase::Classifier, self.step);
        state.set_named("model", named_lane(core.network.parameters(), index));
        state.set_named("model", named_lane(core.network.buffers(), index));
        let momenta: Vec<_> = core.optimiser.state().iter().map(|u| u.narrow(0, index as i64, 1)).collect();
        state.set_listed("momentum", &momenta);
        self.draws.keep(&mut state);
        if let Some(vae) = vae {
            state.set_named("vae", vae.tensors());
        }
        state.set_float("best", self.best);
        state.set_float("vae.seconds", vae_seconds);
        state.set_float("classifier.seconds", self.seconds());
        state
    }
}

impl Lane<'_> {
    fn total_step(&self) -> u64 {
        total_step(&self.candidate.spec, self.progress.step)
    }

    /// Iterations to the end of the block, where the trial is evaluated; none at the end of the last one.
    fn to_block_end(&self) -> u32 {
        let classifier = &self.candidate.spec.classifier;
        let every = classifier.evaluate_every;
        (every - self.progress.step % every).min(classifier.iterations - self.progress.step)
    }

    /// Iterations to the next report. They are counted from the start of the block.
    fn to_report(&self) -> u32 {
        let in_block = self.progress.step % self.candidate.spec.classifier.evaluate_every;
        (REPORT_EVERY - in_block % REPORT_EVERY).min(self.to_block_end())
    }

    /// Whether a report is due, and whether an evaluation is. Something has been trained since the last one.
    fn is_due(&self) -> (bool, bool) {
        let classifier = &self.candidate.spec.classifier;
        let in_block = self.progress.step % classifier.evaluate_every;
        let evaluation = in_block == 0 || self.progress.step == classifier.iterations;
        (evaluation || in_block.is_multiple_of(REPORT_EVERY), evaluation)
    }

    fn is_over(&self) -> bool {
        self.result.is_some() || self.candidate.reporter.stopped().is_some()
    }

    /// Hands points over; with a core the trial goes on from here, and may be saved.
    fn report(&mut self, points: &[MetricPoint], core: Option<&Core>, index: usize) {
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

impl<'o> Classifiers<'o> {
    /// No lanes yet, for trials on that data set.
    pub(crate) fn new(data: Rc<DeviceData>, place: Place) -> Self {
        Self { data, place, lanes: Vec::new(), arriving: Vec::new(), group: None }
    }

    /// Lanes in training.
    pub(crate) fn len(&self) -> usize {
        self.lanes.len()
    }

    /// Lanes that end within so many iterations.
    pub(crate) fn end_within(&self, iterations: u32) -> usize {
        let left = |lane: &Lane<'_>| lane.candidate.spec.classifier.iterations - lane.progress.step;
        self.lanes.iter().filter(|lane| left(lane) <= iterations).count()
    }

    /// Takes up trials of the same shape as the others, which go on as if nothing had happened.
    pub(crate) fn add(&mut self, candidates: Vec<Candidate<'o>>) -> Result<(), TrainError> {
        // Here they are not lost whatever goes wrong.
        self.arriving = candidates;
        let (data, place) = (&self.data, self.place);
        let started = self.arriving.iter_mut().map(|candidate| candidate.start(data, place));
        let (progress, cores): (Vec<_>, Vec<_>) = started.unzip();
        let lanes = self.arriving.drain(..).zip(progress);
        self.lanes.extend(lanes.map(|(candidate, progress)| Lane { candidate, progress, result: None }));
        let mut cores: Vec<_> = self.group.take().map(|group| group.core).into_iter().chain(cores).collect();
        if cores.is_empty() {
            return Ok(());
        }
        let mut core = cores.remove(0);
        core.join(cores);
        self.group = Some(self.regroup(core)?);
        Ok(())
    }

    /// Trains all lanes for so many iterations, reports nothing, and waits for the device. For measurements.
    pub(crate) fn try_out(&mut self, steps: usize) {
        let Some(group) = &mut self.group else { return };
        let mut left = steps;
        while left > 0 {
            let steps = group.inputs.chunk(self.lanes.len()).min(left);
            let draws = self.lanes.iter_mut().map(|lane| &mut lane.progress.draws).collect();
            for input in group.inputs.assemble(draws, steps) {
                group.step(&input);
            }
            left -= steps;
        }
        let _ = group.core.sums.double_value(&[0, 0]);
    }

    /// What belongs to a core of these lanes.
    fn regroup(&self, mut core: Core) -> Result<Group, TrainError> {
        let specs: Vec<_> = self.lanes.iter().map(|lane| &lane.candidate.spec).collect();
        core.optimiser.set(&specs.iter().map(|spec| sgd_settings(spec)).collect::<Vec<_>>());
        let lambda: Vec<_> = specs.iter().map(|spec| spec.lambda() as f32).collect();
        let subsets: Vec<_> = self.lanes.iter().map(|lane| &*lane.candidate.subset).collect();
        let shape = specs[0];
        let densities = self.lanes.iter().filter_map(|lane| lane.candidate.vae.as_deref());
        let mut densities: Vec<_> = densities.map(|vae| vae.density().shallow_clone()).collect();
        let densities = (densities.len() == self.lanes.len()).then(|| {
            let mut first = densities.remove(0);
            first.join(densities);
            first
        });
        let samples = shape.penalty.map(|penalty| Samples::new(&penalty, densities)).transpose()?;
        let inputs = Inputs {
            pool: Pool::new(&subsets),
            batch: shape.classifier.batch_size as usize,
            samples,
            dropout: shape.classifier.dropout.get(),
            place: self.place,
        };
        let batch_norm = shape.penalty.map_or(SampleBatchNorm::Train, |penalty| penalty.batch_norm);
        Ok(Group { core, inputs, lambda: Tensor::from_slice(&lambda).to_device(self.place.device), batch_norm })
    }

    /// Trains all lanes to the next report of any of them, and makes it. Gives back the trials that are over; the others go
    /// on as if nothing had happened.
    pub(crate) fn advance(&mut self) -> Result<Vec<Ended<'o>>, TrainError> {
        let mut left = self.lanes.iter().map(Lane::to_report).min().unwrap_or(0);
        for Lane { candidate, progress, .. } in &mut self.lanes {
            if progress.step % candidate.spec.classifier.evaluate_every == 0 {
                progress.draws.batches.end_epoch();
            }
        }
        while left > 0 && !self.lanes.iter().any(Lane::is_over) {
            let Some(group) = &mut self.group else { break };
            let steps = group.inputs.chunk(self.lanes.len()).min(left as usize);
            let draws = self.lanes.iter_mut().map(|lane| &mut lane.progress.draws).collect();
            for input in group.inputs.assemble(draws, steps) {
                group.step(&input);
                for lane in &mut self.lanes {
                    lane.progress.step += 1;
                    lane.progress.since += 1;
                    // At the last one the report follows at once, and cancels where the trial can be saved.
                    if !lane.is_due().0 {
                        let at = lane.total_step();
                        lane.candidate.reporter.tick(at);
                    }
                }
            }
            left -= steps as u32;
        }
        self.report()?;
        self.take_over()
    }

    /// Reports what is due, evaluations included.
    fn report(&mut self) -> Result<(), TrainError> {
        let due = |lane: &Lane<'_>| lane.progress.since > 0 && !lane.is_over() && lane.is_due().0;
        let Some(group) = &mut self.group else { return Ok(()) };
        if !self.lanes.iter().any(due) {
            return Ok(());
        }
        let sums = Vec::<f32>::try_from(group.core.sums.flatten(0, 1)).expect("two numbers of each lane");
        let mut to_evaluate = Vec::new();
        for (index, lane) in self.lanes.iter_mut().enumerate().filter(|(_, lane)| due(lane)) {
            let _ = group.core.sums.narrow(0, index as i64, 1).zero_();
            let since = f64::from(std::mem::take(&mut lane.progress.since));
            let step = lane.progress.step.into();
            let mean = |metric, sum: f32| point(metric, step, f64::from(sum) / since);
            let penalised = lane.candidate.spec.penalty.is_some();
            let points = mean(TRAIN_LOSS, sums[2 * index]).and_then(|loss| {
                let norm = penalised.then(|| mean(TRAIN_FUNCTION_NORM, sums[2 * index + 1])).transpose()?;
                Ok(Vec::from_iter([loss].into_iter().chain(norm)))
            });
            let (_, evaluation) = lane.is_due();
            match points {
                Ok(points) if evaluation => {
                    lane.report(&points, None, index);
                    to_evaluate.push(index);
                }
                Ok(points) => lane.report(&points, Some(&group.core), index),
                Err(diverged) => lane.candidate.reporter.stop(diverged),
            }
        }
        to_evaluate.retain(|index| !self.lanes[*index].is_over());
        if !to_evaluate.is_empty() {
            self.evaluate(&to_evaluate)?;
        }
        Ok(())
    }

    /// Tests these lanes and reports it; ends those that have had their last iteration.
    fn evaluate(&mut self, indices: &[usize]) -> Result<(), TrainError> {
        let Some(group) = &self.group else { return Ok(()) };
        let some;
        let network = if indices.len() == self.lanes.len() {
            &group.core.network
        } else {
            some = group.core.network.some(&indices.iter().map(|index| *index as i64).collect::<Vec<_>>());
            &some
        };
        let evaluations = evaluate(network, indices.len(), self.data.test(), self.place, || {
            for lane in &mut self.lanes {
                let at = lane.total_step();
                lane.candidate.reporter.tick(at);
            }
        });
        for (&index, evaluation) in indices.iter().zip(evaluations) {
            let lane = &mut self.lanes[index];
            if lane.is_over() {
                continue;
            }
            let Evaluation { loss, accuracy, predicted } = evaluation;
            let step = lane.progress.step;
            let at = |metric, value| point(metric, step.into(), value);
            let points = match at(TEST_ACCURACY, accuracy).and_then(|one| Ok([one, at(TEST_LOSS, loss)?])) {
                Ok(points) => points,
                Err(diverged) => {
                    lane.candidate.reporter.stop(diverged);
                    continue;
                }
            };
            lane.progress.best = lane.progress.best.max(accuracy);
            if step < lane.candidate.spec.classifier.iterations {
                lane.report(&points, Some(&group.core), index);
                continue;
            }
            lane.report(&points, None, index);
            let Candidate { spec, wanted, subset, vae, vae_seconds, .. } = &lane.candidate;
            let outcome = Outcome {
                final_test_accuracy: accuracy,
                best_test_accuracy: lane.progress.best,
                final_test_loss: loss,
                vae_seconds: *vae_seconds,
                classifier_seconds: lane.progress.seconds(),
            };
            let state_dict = group.core.network.state_dict(index as i64);
            let files = artifacts::make(*wanted, spec, &self.data, subset, vae.as_deref(), state_dict, &predicted)?;
            lane.result = Some((outcome, files));
        }
        Ok(())
    }

    /// Leaves out the trials that are over.
    fn take_over(&mut self) -> Result<Vec<Ended<'o>>, TrainError> {
        if !self.lanes.iter().any(Lane::is_over) {
            return Ok(Vec::new());
        }
        let mut kept = Vec::new();
        let mut over = Vec::new();
        for (index, lane) in std::mem::take(&mut self.lanes).into_iter().enumerate() {
            if lane.is_over() {
                over.push(lane);
            } else {
                kept.push(index as i64);
                self.lanes.push(lane);
            }
        }
        let group = self.group.take();
        if let Some(Group { mut core, .. }) = group
            && !kept.is_empty()
        {
            core.keep(&kept);
            self.group = Some(self.regroup(core)?);
        }
        let end = |Lane { candidate, result, .. }: Lane<'o>| {
            // A trial that was cancelled and came to its end all the same has a result.
            let result = result.ok_or_else(|| candidate.reporter.stopped().cloned().unwrap_or(TrainError::Cancelled));
            Ended { candidate, result }
        };
        Ok(over.into_iter().map(end).collect())
    }

    /// All trials, which have not come to an end here.
    pub(crate) fn into_candidates(self) -> Vec<Candidate<'o>> {
        self.lanes.into_iter().map(|lane| lane.candidate).chain(self.arriving).collect()
    }
}

impl Group {
    /// One iteration of all lanes.
    fn step(&mut self, input: &StepInput) {
        let Core { network, optimiser, sums } = &mut self.core;
        let objective = Objective::of(network, input, self.batch_norm);
        for (column, loss) in [Some(&objective.nll), objective.function_norm.as_ref()].into_iter().enumerate() {
            if let Some(loss) = loss {
                let _ = sums.select(1, column as i64).g_add_(loss);
            }
        }
        let gradients = objective.gradients(network, &self.lambda);
        optimiser.step(&mut network.parameters(), &gradients);
    }
}

fn sgd_settings(spec: &TrialSpec) -> sgd::Settings {
    sgd::Settings {
        learning_rate: spec.learning_rate.get(),
        momentum: spec.classifier.momentum.get(),
        weight_decay: spec.weight_decay.get(),
    }
}

/// Steps of a trial count the iterations of its VAE, too.
fn total_step(spec: &TrialSpec, step: u32) -> u64 {
    spec.vae_samples().map_or(0, |samples| u64::from(samples.vae.iterations)) + u64::from(step)
}
