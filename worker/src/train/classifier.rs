//! Training of classifiers: trials of one shape, each in a lane. They join and leave while the
//! others go on.

use std::rc::Rc;

use swfn_shared::metrics::{TEST_ACCURACY, TEST_LOSS, VALIDATION_ACCURACY, VALIDATION_LOSS};

use super::{
    artifacts,
    device_data::DeviceData,
    evaluation::{Evaluation, evaluate},
    lane::{Candidate, Core, FinishedTrial, Lane},
    objective::{Gradient, Objective},
    samples::Samples,
    step_inputs::Inputs,
    terms::{self, sgd_settings},
};
use crate::{
    compute::Backend,
    lanes::{Lanes as _, Model as _},
    model::network::StepInput,
    trial::{
        pool::Pool,
        report::{Outcome, TrainError},
    },
};

/// Trials of one shape in training.
///
/// A state is taken right after a report and its evaluation. Blocks of inputs are functions of the
/// step, so a resumed trial does the same computation; with one lane bit for bit.
pub(crate) struct Classifiers<'o> {
    data: Rc<DeviceData>,
    backend: Backend,
    lanes: Vec<Lane<'o>>,
    /// Trials on their way to their lanes.
    arriving: Vec<Candidate<'o>>,
    /// Finished trials that were not taken yet.
    finished: Vec<FinishedTrial<'o>>,
    /// Present while there are lanes.
    group: Option<Group>,
}

/// The joint computation of all lanes.
struct Group {
    core: Core,
    inputs: Inputs,
    objective: Objective,
}

impl<'o> Classifiers<'o> {
    /// Without lanes, for trials on that data set.
    pub(crate) fn new(data: Rc<DeviceData>, backend: Backend) -> Self {
        let (lanes, arriving, finished) = (Vec::new(), Vec::new(), Vec::new());
        Self { data, backend, lanes, arriving, finished, group: None }
    }

    /// Number of lanes.
    pub(crate) fn len(&self) -> usize {
        self.lanes.len()
    }

    /// Number of lanes that end within so many iterations.
    pub(crate) fn end_within(&self, iterations: u32) -> usize {
        let left = |lane: &Lane<'_>| lane.candidate.spec.classifier.iterations - lane.progress.step;
        self.lanes.iter().filter(|lane| left(lane) <= iterations).count()
    }

    /// Adds trials of the same shape. The other lanes go on undisturbed.
    pub(crate) fn add(&mut self, candidates: Vec<Candidate<'o>>) -> Result<(), TrainError> {
        // They are stored first, so that an error below does not lose them.
        self.arriving = candidates;
        let (data, backend) = (&self.data, self.backend);
        let started = self.arriving.iter_mut().map(|candidate| candidate.start(data, backend));
        let (progress, mut cores): (Vec<_>, Vec<_>) = started.unzip();
        let lane = |(candidate, progress)| Lane { candidate, progress, result: None };
        self.lanes.extend(self.arriving.drain(..).zip(progress).map(lane));
        let mut core = match self.group.take() {
            Some(group) => group.core,
            None if cores.is_empty() => return Ok(()),
            None => cores.remove(0),
        };
        core.join(&cores);
        self.group = Some(self.group_of(core)?);
        Ok(())
    }

    /// Trains all lanes for so many iterations without reports, and waits for the device. It is for
    /// measurements.
    pub(crate) fn try_out(&mut self, steps: usize) {
        let mut left = steps;
        while left > 0 {
            left -= self.train_chunk(left, |_| ());
        }
        if let Some(group) = &self.group {
            let _ = group.core.sums.double_value(&[0, 0]);
        }
    }

    /// Trains all lanes for as many iterations as are assembled at once, `most` at most. Returns
    /// their number. Calls `done` for each lane after each iteration.
    fn train_chunk(&mut self, most: usize, done: impl Fn(&mut Lane<'o>)) -> usize {
        let Some(group) = &mut self.group else { return most };
        let steps = group.inputs.chunk(self.lanes.len()).min(most);
        let draws = self.lanes.iter_mut().map(|lane| &mut lane.progress.draws).collect();
        for input in group.inputs.assemble(draws, steps) {
            group.step(&input);
            self.lanes.iter_mut().for_each(&done);
        }
        steps
    }

    /// The computation of the present lanes with that core.
    fn group_of(&self, mut core: Core) -> Result<Group, TrainError> {
        let specs: Vec<_> = self.lanes.iter().map(|lane| &lane.candidate.spec).collect();
        core.optimiser.set(&specs.iter().map(|spec| sgd_settings(spec)).collect::<Vec<_>>());
        let subsets: Vec<_> = self.lanes.iter().map(|lane| &*lane.candidate.subset).collect();
        let shape = specs[0];
        let densities = self.lanes.iter().filter_map(|lane| lane.candidate.vae.as_deref());
        let mut densities: Vec<_> = densities.map(|vae| vae.density.shallow_clone()).collect();
        let densities = (densities.len() == self.lanes.len()).then(|| {
            let mut first = densities.remove(0);
            first.join(&densities);
            first
        });
        let samples = shape
            .penalty
            .map(|penalty| Samples::new(&penalty, densities, self.data.units))
            .transpose()?;
        let inputs = Inputs {
            pool: Pool::new(&subsets),
            batch: shape.classifier.batch_size as usize,
            samples,
            dropout: shape.classifier.dropout,
            mask_widths: core.model.mask_widths(),
            backend: self.backend,
        };
        Ok(Group { core, inputs, objective: Objective::new(&specs, self.backend.device) })
    }

    /// Trains all lanes to the next stop of any of them, and reports what is due. Finished trials
    /// leave, and the others go on undisturbed.
    pub(crate) fn advance(&mut self) -> Result<(), TrainError> {
        let mut left = self.lanes.iter().map(Lane::to_stop).min().unwrap_or(0) as usize;
        for lane in self.lanes.iter_mut().filter(|lane| lane.epoch_restarts()) {
            lane.progress.draws.batches.end_epoch();
        }
        while left > 0 && !self.lanes.iter().any(Lane::is_over) {
            left -= self.train_chunk(left, |lane| {
                lane.progress.step += 1;
                lane.progress.since += 1;
                // At the last iteration the report follows at once, where a cancelled trial can be
                // saved.
                if !lane.is_due().0 {
                    let at = lane.total_step();
                    lane.candidate.reporter.tick(at);
                }
            });
        }
        self.report()?;
        self.drop_finished()
    }

    /// Reports what is due, evaluations included.
    fn report(&mut self) -> Result<(), TrainError> {
        let due = |lane: &Lane<'_>| lane.progress.since > 0 && !lane.is_over() && lane.is_due().0;
        let Some(group) = &mut self.group else { return Ok(()) };
        if !self.lanes.iter().any(due) {
            return Ok(());
        }
        let sums = Vec::<f32>::try_from(group.core.sums.flatten(0, 1)).expect("a vector of floats");
        let mut to_evaluate = Vec::new();
        for (index, lane) in self.lanes.iter_mut().enumerate().filter(|(_, lane)| due(lane)) {
            let _ = group.core.sums.narrow(0, index as i64, 1).zero_();
            let since = f64::from(std::mem::take(&mut lane.progress.since));
            let (spec, own) = (&lane.candidate.spec, &sums[index * terms::ALL.len()..]);
            let active = terms::ALL.iter().zip(own).filter(|(term, _)| term.weight(spec) != 0.0);
            let means =
                active.filter_map(|(term, sum)| Some((term.metric()?, f64::from(*sum) / since)));
            let points = lane.progress.points(means);
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

    /// Evaluates these lanes and reports the results. After the last iteration it makes a trial's
    /// result.
    fn evaluate(&mut self, indices: &[usize]) -> Result<(), TrainError> {
        let Some(group) = &self.group else { return Ok(()) };
        let network = if indices.len() == self.lanes.len() {
            group.core.model.shallow_clone()
        } else {
            let lanes: Vec<_> = indices.iter().map(|index| *index as i64).collect();
            group.core.model.select(&lanes)
        };
        let validation = |index: &usize| self.lanes[*index].candidate.validation.clone();
        let own: Vec<_> = indices.iter().filter_map(validation).collect();
        let own: Vec<_> = own.iter().map(|images| &**images).collect();
        let mut tick = || {
            for lane in &mut self.lanes {
                let at = lane.total_step();
                lane.candidate.reporter.tick(at);
            }
        };
        let test = vec![&self.data.test; indices.len()];
        let evaluations = evaluate(&network, &test, self.backend, &mut tick);
        // Either all trials of a shape have validation images, or none has.
        let validations = match &own[..] {
            [] => Vec::new(),
            own => evaluate(&network, own, self.backend, &mut tick),
        };
        let mut validations = validations.into_iter();
        for (&index, evaluation) in indices.iter().zip(evaluations) {
            let validation = validations.next();
            let lane = &mut self.lanes[index];
            if lane.is_over() {
                continue;
            }
            let Evaluation { loss, accuracy, predicted } = evaluation;
            let step = lane.progress.step;
            let validated = validation
                .iter()
                .flat_map(|v| [(VALIDATION_ACCURACY, v.accuracy), (VALIDATION_LOSS, v.loss)]);
            let values =
                [(TEST_ACCURACY, accuracy), (TEST_LOSS, loss)].into_iter().chain(validated);
            let points = match lane.progress.points(values) {
                Ok(points) => points,
                Err(diverged) => {
                    lane.candidate.reporter.stop(diverged);
                    continue;
                }
            };
            lane.progress
                .note_evaluation(accuracy, validation.map(|validation| validation.accuracy));
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
                validation_accuracy: lane.progress.validated.map(|(validation, _)| validation),
                validated_test_accuracy: lane.progress.validated.map(|(_, test)| test),
                vae_seconds: *vae_seconds,
                classifier_seconds: lane.progress.seconds(),
            };
            let (vae, weights) = (vae.as_deref(), group.core.model.state_dict(index as i64));
            let files =
                artifacts::make(*wanted, spec, &self.data, subset, vae, weights, &predicted)?;
            lane.result = Some((outcome, files));
        }
        Ok(())
    }

    /// Drops the lanes of finished trials.
    fn drop_finished(&mut self) -> Result<(), TrainError> {
        let kept: Vec<_> = (0_i64..)
            .zip(&self.lanes)
            .filter(|(_, lane)| !lane.is_over())
            .map(|(k, _)| k)
            .collect();
        if kept.len() == self.lanes.len() {
            return Ok(());
        }
        // They are stored first, so that an error below does not lose them.
        self.finished.extend(self.lanes.extract_if(.., |lane| lane.is_over()).map(Lane::finish));
        let Some(Group { core, inputs, .. }) = self.group.take() else { return Ok(()) };
        drop(inputs);
        if !kept.is_empty() {
            self.group = Some(self.group_of(core.select(&kept))?);
        }
        Ok(())
    }

    /// Takes the finished trials.
    pub(crate) fn take_finished(&mut self) -> Vec<FinishedTrial<'o>> {
        std::mem::take(&mut self.finished)
    }

    /// Splits up after an error: the finished trials, and all others.
    pub(crate) fn into_parts(self) -> (Vec<FinishedTrial<'o>>, Vec<Candidate<'o>>) {
        let (over, lanes): (Vec<_>, Vec<_>) = self.lanes.into_iter().partition(Lane::is_over);
        let finished = self.finished.into_iter().chain(over.into_iter().map(Lane::finish));
        let others = lanes.into_iter().map(|lane| lane.candidate).chain(self.arriving);
        (finished.collect(), others.collect())
    }
}

impl Group {
    /// Trains all lanes for one iteration.
    fn step(&mut self, input: &StepInput) {
        let Core { model: network, optimiser, sums } = &mut self.core;
        let Gradient { values, of_parameters } = self.objective.gradient(network, input);
        for (index, value) in values {
            let _ = sums.select(1, index as i64).g_add_(&value);
        }
        optimiser.step(&mut network.parameters(), &of_parameters);
    }
}
