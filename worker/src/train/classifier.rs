//! The training of a classifier (Rannen Triki et al. 2019): NLL(f, batch) + lambda * R(f), R(f) = mean over M samples
//! of ||f(x)||^2.

use std::time::Instant;

use swfn_shared::{
    metrics::{MetricPoint, TEST_ACCURACY, TEST_LOSS, TRAIN_FUNCTION_NORM, TRAIN_LOSS},
    trial::{Architecture, Density, SampleBatchNorm, TrialSpec},
};
use tch::Tensor;

use super::{
    batches::Batches,
    device_data::{DeviceData, Images},
    evaluation::evaluate,
    report::{LossMeter, Outcome, REPORT_EVERY, Reporter, TrainError, point},
    samples::{Samples, Source},
    sgd::Sgd,
    state::{Phase, State},
    step_inputs::{Dropout, Inputs},
};
use crate::{
    model::{
        network::{Network, StepInput},
        tape::Tape,
    },
    rng::{Purpose, Stream},
    vae::trained::TrainedVae,
};

/// The two terms of the objective, each a scalar.
#[derive(Debug)]
pub struct Objective {
    /// Negative log-likelihood, mean over the batch, in nats.
    pub nll: Tensor,
    /// R, the Monte-Carlo estimate of the squared weighted norm of f; `None` without samples.
    pub function_norm: Option<Tensor>,
    /// For the gradients.
    tape: Tape,
}

impl Objective {
    /// Passes batch and samples through the network in training mode. `batch_norm`: how it treats the samples.
    pub fn of(network: &Network, input: &StepInput, batch_norm: SampleBatchNorm) -> Self {
        let mut tape = Tape::default();
        let (batch, samples) = network.training_logits(input, batch_norm, Some(&mut tape)); // [B, classes], [M, classes]
        let count = samples.size()[0];
        Self {
            nll: batch.cross_entropy_for_logits(&input.labels),
            function_norm: (count > 0).then(|| samples.square().sum(tch::Kind::Float) / count as f64),
            tape,
        }
    }

    /// Gradients of nll + lambda * function norm, once.
    pub fn gradients(&self, lambda: f64, parameters: &[Tensor]) -> Vec<Tensor> {
        let total = match &self.function_norm {
            Some(norm) => &self.nll + norm * lambda,
            None => self.nll.shallow_clone(),
        };
        self.tape.gradients(&total, parameters)
    }
}

/// A classifier after its last iteration.
#[derive(Debug)]
pub(crate) struct Trained {
    pub(crate) outcome: Outcome,
    pub(crate) network: Network,
    /// The class that each test image was taken for at the end, `[N]`.
    pub(crate) predicted: Tensor,
}

/// Trains the classifier of a trial and evaluates it, from its start or from a state. `vae_seconds`: what training the VAE
/// took.
///
/// A state is taken where a step that is reported is over, its evaluation included. Blocks and chunks of inputs are
/// functions of the step alone, so from there the computation is the same.
pub(crate) fn train(
    spec: &TrialSpec,
    data: &DeviceData,
    subset: &Images,
    vae: Option<&TrainedVae>,
    vae_seconds: f64,
    resumed: Option<&State>,
    reporter: &mut Reporter<'_>,
) -> Result<Trained, TrainError> {
    let start = Instant::now();
    let (settings, device) = (spec.classifier, subset.labels.device());
    let network = Network::new(spec.architecture, settings.batch_norm_scale, data.shape(), spec.seed, device);
    let mut optimiser =
        Sgd::new(network.parameters(), spec.learning_rate.get(), settings.momentum.get(), spec.weight_decay.get());
    let mut inputs = inputs(spec, subset, vae)?;
    let batch_norm = spec.penalty.map_or(SampleBatchNorm::Train, |penalty| penalty.batch_norm);
    let mut loss = LossMeter::new(TRAIN_LOSS, device);
    let mut function_norm = LossMeter::new(TRAIN_FUNCTION_NORM, device);
    let mut best = 0.0_f64;
    let mut step = 0_u32;
    let mut earlier = 0.0;
    // Steps count the iterations of the VAE, too.
    let done = spec.vae_samples().map_or(0, |samples| u64::from(samples.vae.iterations));
    if let Some(state) = resumed {
        state.restore_named("model", network.parameters())?;
        state.restore_named("model", network.buffers())?;
        state.restore_listed("momentum", optimiser.state())?;
        inputs.restore(state)?;
        (best, earlier) = (state.float("best")?, state.float("classifier.seconds")?);
        step = state.step(settings.iterations)?;
        reporter.go_on(done + u64::from(step), &state.points()?)?;
    }
    let keep = |step: u32, best: f64, optimiser: &Sgd, inputs: &Inputs<'_>| {
        let mut state = State::new(Phase::Classifier, step);
        state.set_named("model", network.parameters());
        state.set_named("model", network.buffers());
        state.set_listed("momentum", optimiser.state());
        inputs.keep(&mut state);
        if let Some(vae) = vae {
            state.set_named("vae", vae.tensors());
        }
        state.set_float("best", best);
        state.set_float("vae.seconds", vae_seconds);
        state.set_float("classifier.seconds", earlier + start.elapsed().as_secs_f64());
        state
    };
    loop {
        // One block: a fresh epoch, training, an evaluation.
        let block_start = step - step % settings.evaluate_every;
        let block_end = settings.iterations.min(block_start.saturating_add(settings.evaluate_every));
        if step == block_start {
            inputs.batches.end_epoch();
        }
        while step < block_end {
            let report = block_end.min(step + REPORT_EVERY);
            while step < report {
                let chunk = inputs.chunk().min((report - step) as usize);
                for input in inputs.assemble(chunk) {
                    let objective = Objective::of(&network, &input, batch_norm);
                    loss.add(&objective.nll);
                    if let Some(norm) = &objective.function_norm {
                        function_norm.add(norm);
                    }
                    let gradients = objective.gradients(spec.lambda(), optimiser.parameters());
                    optimiser.step(&gradients);
                    step += 1;
                    // At the last one the report follows at once, and cancels where the trial can be saved.
                    if step < report {
                        reporter.tick(done + u64::from(step))?;
                    }
                }
            }
            let mut points = vec![loss.read(step.into())?];
            if spec.penalty.is_some() {
                points.push(function_norm.read(step.into())?);
            }
            let at = done + u64::from(step);
            if step < block_end {
                reporter.report_and_save(at, &points, || keep(step, best, &optimiser, &inputs))?;
            } else {
                reporter.report(at, &points)?;
            }
        }
        let evaluation = evaluate(&network, data.test(), done + u64::from(step), reporter)?;
        let at = |metric, value| point(metric, step.into(), value);
        let points: [MetricPoint; 2] = [at(TEST_ACCURACY, evaluation.accuracy)?, at(TEST_LOSS, evaluation.loss)?];
        best = best.max(evaluation.accuracy);
        if step < settings.iterations {
            reporter.report_and_save(done + u64::from(step), &points, || keep(step, best, &optimiser, &inputs))?;
            continue;
        }
        reporter.report(done + u64::from(step), &points)?;
        let outcome = Outcome {
            final_test_accuracy: evaluation.accuracy,
            best_test_accuracy: best,
            final_test_loss: evaluation.loss,
            vae_seconds,
            classifier_seconds: earlier + start.elapsed().as_secs_f64(),
        };
        return Ok(Trained { outcome, network, predicted: evaluation.predicted });
    }
}

/// The streams of a trial's classifier, and what they are drawn for.
fn inputs<'a>(spec: &TrialSpec, subset: &'a Images, vae: Option<&'a TrainedVae>) -> Result<Inputs<'a>, TrainError> {
    let batch = spec.classifier.batch_size as usize;
    let samples = match spec.penalty {
        None => None,
        Some(penalty) => {
            let source = match (penalty.density, penalty.vae, vae) {
                (Density::Vae | Density::ConvVae, Some(samples), Some(vae)) => {
                    Source::Vae { vae, spread: samples.spread.get() }
                }
                (Density::Vae | Density::ConvVae, _, _) => {
                    return Err(TrainError::Data(format!("density `{}` comes without a VAE", penalty.density.name())));
                }
                (Density::Data, _, _) => Source::Data(&subset.pixels),
                (Density::UniformNoise, _, _) => Source::UniformNoise,
                (Density::GaussianNoise, _, _) => Source::GaussianNoise,
            };
            let stream = Stream::new(spec.seed, Purpose::PenaltyNoise);
            Some(Samples { source, count: penalty.samples as usize, units: penalty.units, stream })
        }
    };
    let dropout = (spec.architecture == Architecture::NetDropout).then(|| Dropout {
        probability: spec.classifier.dropout.get(),
        stream: Stream::new(spec.seed, Purpose::Dropout),
    });
    let batches = Batches::new(spec.subset_size as usize, batch, spec.seed, Purpose::ClassifierBatches);
    Ok(Inputs { images: subset, batch, batches, samples, dropout })
}
