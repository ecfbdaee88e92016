//! The training of classifiers: trials of one shape, each in a lane, which come and go while the others go on.

use std::rc::Rc;

use swfn_shared::metrics::{TEST_ACCURACY, TEST_LOSS, VALIDATION_ACCURACY, VALIDATION_LOSS};

use super::{
    artifacts,
    device_data::DeviceData,
    evaluation::{Evaluation, Seen, evaluate},
    lane::{Candidate, Core, Ended, Lane},
    objective::{Gradient, Objective},
    samples::Samples,
    step_inputs::Inputs,
    terms::{self, sgd_settings},
};
use crate::{
    compute::Place,
    lanes::Lanes as _,
    model::network::StepInput,
    trial::{
        pool::Pool,
        report::{Outcome, TrainError},
    },
};

/// Trials of one shape in training. A state is taken where a step that is reported is over, its evaluation included. Blocks
/// of inputs are functions of the step alone, so from there the computation is the same; bit for bit with one lane.
pub(crate) struct Classifiers<'o> {
    data: Rc<DeviceData>,
    place: Place,
    lanes: Vec<Lane<'o>>,
    /// On their way to their lanes.
    arriving: Vec<Candidate<'o>>,
    /// Over, and not taken yet.
    ended: Vec<Ended<'o>>,
    /// While there are lanes.
    group: Option<Group>,
}

/// The lanes together.
struct Group {
    core: Core,
    inputs: Inputs,
    objective: Objective,
}

impl<'o> Classifiers<'o> {
    /// No lanes yet, for trials on that data set.
    pub(crate) fn new(data: Rc<DeviceData>, place: Place) -> Self {
        Self {
            data,
            place,
            lanes: Vec::new(),
            arriving: Vec::new(),
            ended: Vec::new(),
            group: None,
        }
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
        self.lanes.extend(lanes.map(|(candidate, progress)| Lane {
            candidate,
            progress,
            result: None,
        }));
        let mut cores: Vec<_> =
            self.group.take().map(|group| group.core).into_iter().chain(cores).collect();
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
        let mut left = steps;
        while left > 0 {
            left -= self.train_chunk(left, |_| ());
        }
        if let Some(group) = &self.group {
            let _ = group.core.sums.double_value(&[0, 0]);
        }
    }

    /// Trains all lanes for as many iterations as are assembled at once, `most` at most, and gives their number. `done` is
    /// called for each lane after each of them.
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

    /// What belongs to a core of these lanes.
    fn regroup(&self, mut core: Core) -> Result<Group, TrainError> {
        let specs: Vec<_> = self.lanes.iter().map(|lane| &lane.candidate.spec).collect();
        core.optimiser.set(&specs.iter().map(|spec| sgd_settings(spec)).collect::<Vec<_>>());
        let subsets: Vec<_> = self.lanes.iter().map(|lane| &*lane.candidate.subset).collect();
        let shape = specs[0];
        let densities = self.lanes.iter().filter_map(|lane| lane.candidate.vae.as_deref());
        let mut densities: Vec<_> = densities.map(|vae| vae.density().shallow_clone()).collect();
        let densities = (densities.len() == self.lanes.len()).then(|| {
            let mut first = densities.remove(0);
            first.join(densities);
            first
        });
        let samples = shape
            .penalty
            .map(|penalty| Samples::new(&penalty, densities, self.data.units()))
            .transpose()?;
        let inputs = Inputs {
            pool: Pool::new(&subsets),
            batch: shape.classifier.batch_size as usize,
            samples,
            dropout: shape.classifier.dropout,
            mask_widths: core.network.mask_widths(),
            place: self.place,
        };
        Ok(Group { core, inputs, objective: Objective::new(&specs, self.place.device) })
    }

    /// Trains all lanes to the next stop of any of them, and reports what is due. Trials that are over leave; the others go on as if
    /// nothing had happened.
    pub(crate) fn advance(&mut self) -> Result<(), TrainError> {
        let mut left = self.lanes.iter().map(Lane::to_stop).min().unwrap_or(0) as usize;
        for lane in self.lanes.iter_mut().filter(|lane| lane.epoch_restarts()) {
            lane.progress.draws.batches.end_epoch();
        }
        while left > 0 && !self.lanes.iter().any(Lane::is_over) {
            left -= self.train_chunk(left, |lane| {
                lane.progress.step += 1;
                lane.progress.since += 1;
                // At the last one the report follows at once, and cancels where the trial can be saved.
                if !lane.is_due().0 {
                    let at = lane.total_step();
                    lane.candidate.reporter.tick(at);
                }
            });
        }
        self.report()?;
        self.leave_out()
    }

    /// Reports what is due, evaluations included.
    fn report(&mut self) -> Result<(), TrainError> {
        let due = |lane: &Lane<'_>| lane.progress.since > 0 && !lane.is_over() && lane.is_due().0;
        let Some(group) = &mut self.group else { return Ok(()) };
        if !self.lanes.iter().any(due) {
            return Ok(());
        }
        let sums =
            Vec::<f32>::try_from(group.core.sums.flatten(0, 1)).expect("numbers of each lane");
        let mut to_evaluate = Vec::new();
        for (index, lane) in self.lanes.iter_mut().enumerate().filter(|(_, lane)| due(lane)) {
            let _ = group.core.sums.narrow(0, index as i64, 1).zero_();
            let since = f64::from(std::mem::take(&mut lane.progress.since));
            let own = &sums[index * terms::ALL.len()..];
            let told = terms::ALL
                .iter()
                .zip(own)
                .filter(|(term, _)| term.weight(&lane.candidate.spec) != 0.0);
            let told =
                told.filter_map(|(term, sum)| Some((term.metric()?, f64::from(*sum) / since)));
            let told: Vec<_> = told.collect();
            let points = lane.progress.measured(&told);
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
            some = group
                .core
                .network
                .some(&indices.iter().map(|index| *index as i64).collect::<Vec<_>>());
            &some
        };
        let own: Vec<_> = indices
            .iter()
            .filter_map(|index| self.lanes[*index].candidate.validation.clone())
            .collect();
        let own: Vec<_> = own.iter().map(|images| &**images).collect();
        let mut tick = || {
            for lane in &mut self.lanes {
                let at = lane.total_step();
                lane.candidate.reporter.tick(at);
            }
        };
        let evaluations = evaluate(
            network,
            Seen::Together(self.data.test(), indices.len()),
            self.place,
            &mut tick,
        );
        // All trials of a shape have validation images, or none has.
        let validations = match &own[..] {
            [] => Vec::new(),
            own => evaluate(network, Seen::Each(own), self.place, &mut tick),
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
            let values = [(TEST_ACCURACY, accuracy), (TEST_LOSS, loss)].into_iter().chain(
                validation
                    .iter()
                    .flat_map(|v| [(VALIDATION_ACCURACY, v.accuracy), (VALIDATION_LOSS, v.loss)]),
            );
            let points = match lane.progress.measured(&values.collect::<Vec<_>>()) {
                Ok(points) => points,
                Err(diverged) => {
                    lane.candidate.reporter.stop(diverged);
                    continue;
                }
            };
            lane.progress.evaluated(accuracy, validation.map(|validation| validation.accuracy));
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
            let state_dict = group.core.network.state_dict(index as i64);
            let files = artifacts::make(
                *wanted,
                spec,
                &self.data,
                subset,
                vae.as_deref(),
                state_dict,
                &predicted,
            )?;
            lane.result = Some((outcome, files));
        }
        Ok(())
    }

    /// Leaves out the trials that are over.
    fn leave_out(&mut self) -> Result<(), TrainError> {
        let kept: Vec<_> = (0_i64..)
            .zip(&self.lanes)
            .filter(|(_, lane)| !lane.is_over())
            .map(|(k, _)| k)
            .collect();
        if kept.len() == self.lanes.len() {
            return Ok(());
        }
        // First of all: whatever goes wrong now, they have ended.
        self.ended.extend(self.lanes.extract_if(.., |lane| lane.is_over()).map(Lane::end));
        let Some(Group { mut core, inputs, .. }) = self.group.take() else { return Ok(()) };
        drop(inputs);
        if !kept.is_empty() {
            core.keep(&kept);
            self.group = Some(self.regroup(core)?);
        }
        Ok(())
    }

    /// The trials that are over.
    pub(crate) fn take_ended(&mut self) -> Vec<Ended<'o>> {
        std::mem::take(&mut self.ended)
    }

    /// After an error: the trials that are over all the same, and the others.
    pub(crate) fn into_parts(self) -> (Vec<Ended<'o>>, Vec<Candidate<'o>>) {
        let (over, lanes): (Vec<_>, Vec<_>) = self.lanes.into_iter().partition(Lane::is_over);
        let ended = self.ended.into_iter().chain(over.into_iter().map(Lane::end)).collect();
        (ended, lanes.into_iter().map(|lane| lane.candidate).chain(self.arriving).collect())
    }
}

impl Group {
    /// One iteration of all lanes.
    fn step(&mut self, input: &StepInput) {
        let Core { network, optimiser, sums } = &mut self.core;
        let Gradient { values, of_parameters } = self.objective.gradient(network, input);
        for (place, value) in values {
            let _ = sums.select(1, place as i64).g_add_(&value);
        }
        optimiser.step(&mut network.parameters(), &of_parameters);
    }
}
