//! Training of VAEs, a lane for each, and statistics of their latent codes.

use std::{rc::Rc, time::Instant};

use swfn_shared::{
    metrics::{MetricPoint, VAE_LOSS},
    trial::{LatentStatistics, Vae as Settings, VaeFamily},
};
use tch::{Kind, Tensor, no_grad_guard};

use super::{
    adam::Adam,
    conv,
    family::AnyVae,
    trained::{Densities, TrainedVae},
};
use crate::{
    compute::Backend,
    lanes::{Lanes as _, Model as _},
    noise::{self, Noise},
    rng::Purpose,
    trial::{
        batches::Batches,
        core,
        pool::{Images, Pool, sizes},
        report::{REPORT_EVERY, Reporter, TrainError},
        state::{Misfit, Phase, State},
        stop::{Divergence, StopRule as _},
    },
};

/// Number of steps whose inputs are gathered at once.
const CHUNK: u32 = 50;

/// Most images whose reconstructions are kept.
const RECONSTRUCTIONS: i64 = 20;

/// A request for a VAE.
pub(crate) struct Request<'r, 'o> {
    /// The images, in normalised units. The VAE's own units are their sigmoid.
    pub(crate) subset: Rc<Images>,
    pub(crate) seed: u64,
    /// The state that its training resumes from.
    pub(crate) resumed: Option<State>,
    /// The trials that wait for it. Checkpoints are those of the first.
    pub(crate) waiting: Vec<&'r mut Reporter<'o>>,
}

/// A VAE, and the seconds that its training took.
pub(crate) type Trained = (TrainedVae, f64);

/// A VAE with the tensors that [`train`] returns, in the same layout, but with other numbers. A
/// file is read into it.
pub(crate) fn untrained(settings: &Settings, pixels: &Tensor, backend: Backend) -> TrainedVae {
    let vae = AnyVae::new(settings, sizes(pixels), &[0], backend);
    let codes = Tensor::zeros([1, 1, settings.latent.into()], (Kind::Float, backend.device));
    let density = Densities::new(vae.into_decoder(), &codes, &codes);
    TrainedVae::new(density, first(pixels).flatten(1, -1).zeros_like())
}

/// Trains VAEs of the same settings, each on a subset. Returns each with the seconds that its
/// training took. It is `None` if no trial waits any more: all were cancelled, or it diverged,
/// which stops them.
///
/// The latent statistics are those of the last training batch before its step's update, as
/// published, or of all images under the final weights. Batch norm of the convolutional VAE is in
/// training mode for the former, in test mode for the latter.
pub(crate) fn train(
    settings: &Settings,
    requests: Vec<Request<'_, '_>>,
    backend: Backend,
) -> Result<Vec<Option<Trained>>, TrainError> {
    let mut trained: Vec<_> = requests.iter().map(|_| None).collect();
    let Some(mut training) = Training::start(settings, requests, backend)? else {
        return Ok(trained);
    };
    while !training.lanes.is_empty() {
        training.advance();
        for (request, vae) in training.take_finished()? {
            trained[request] = Some(vae);
        }
    }
    Ok(trained)
}

/// Everything that training changes. The sums are those of the losses, `[K]`.
type Core = core::Core<AnyVae, Adam>;

/// The core of one lane before its first step.
fn fresh_core(settings: &Settings, image: [i64; 3], seed: u64, backend: Backend) -> Core {
    let model = AnyVae::new(settings, image, &[seed], backend);
    let optimiser = Adam::new(&model.parameters(), settings.learning_rate, backend);
    Core { model, optimiser, sums: Tensor::zeros([1], (Kind::Float, backend.device)) }
}

/// One VAE in training.
struct Lane<'r, 'o> {
    request: usize,
    subset: Rc<Images>,
    waiting: Vec<&'r mut Reporter<'o>>,
    batches: Batches,
    noise: Noise,
    /// Finished iterations.
    step: u32,
    /// Iterations since the last report.
    since: u32,
    losses: Vec<MetricPoint>,
    start: Instant,
    /// Seconds of training before its checkpoint.
    earlier: f64,
}

impl Lane<'_, '_> {
    /// Resumes from the state, with the core of this lane alone.
    fn restore(&mut self, core: &Core, state: &State, settings: &Settings) -> Result<(), Misfit> {
        core.restore(state)?;
        self.batches.restore("batches", state)?;
        self.noise.go_to(state.position("noise")?);
        self.earlier = state.seconds("vae.seconds")?;
        let most = u64::from(settings.iterations);
        let sound = |point: &MetricPoint| {
            point.metric == VAE_LOSS && point.step <= most && point.check().is_ok()
        };
        self.losses = state.points(sound)?;
        self.step = state.step(settings.iterations)?;
        for waiting in &mut self.waiting {
            waiting.resume(self.step.into(), &self.losses);
        }
        Ok(())
    }

    fn seconds(&self) -> f64 {
        self.earlier + self.start.elapsed().as_secs_f64()
    }

    /// Iterations to the next report.
    fn to_report(&self, settings: &Settings) -> u32 {
        (REPORT_EVERY - self.step % REPORT_EVERY).min(settings.iterations - self.step)
    }

    fn is_wanted(&self) -> bool {
        self.waiting.iter().any(|waiting| waiting.stopped().is_none())
    }
}

struct Training<'r, 'o> {
    settings: Settings,
    backend: Backend,
    core: Core,
    lanes: Vec<Lane<'r, 'o>>,
    /// Images of all lanes in the VAEs' own units.
    pool: Pool,
    /// Codes of the last batch before its step's update: mu and logvar, `[K, B, latent]` each.
    codes: Option<(Tensor, Tensor)>,
}

impl<'r, 'o> Training<'r, 'o> {
    fn start(
        settings: &Settings,
        requests: Vec<Request<'r, 'o>>,
        backend: Backend,
    ) -> Result<Option<Self>, TrainError> {
        let mut cores = Vec::new();
        let mut lanes = Vec::new();
        for (number, Request { subset, seed, resumed, waiting }) in requests.into_iter().enumerate()
        {
            check(settings.family, &subset.pixels)?;
            let (images, batch) = (subset.labels.size()[0] as usize, settings.batch_size as usize);
            let fresh = |waiting| {
                let lane = Lane {
                    request: number,
                    subset: Rc::clone(&subset),
                    waiting,
                    batches: Batches::new(images, batch, seed, Purpose::VAE_BATCHES),
                    noise: Noise::new(seed, Purpose::VAE_NOISE),
                    step: 0,
                    since: 0,
                    losses: Vec::new(),
                    start: Instant::now(),
                    earlier: 0.0,
                };
                (lane, fresh_core(settings, sizes(&subset.pixels), seed, backend))
            };
            let (mut lane, mut core) = fresh(waiting);
            if let Some(Err(misfit)) = resumed.map(|state| lane.restore(&core, &state, settings)) {
                for waiting in &mut lane.waiting {
                    waiting.reject_checkpoint(&misfit.to_string());
                }
                (lane, core) = fresh(lane.waiting);
            }
            cores.push(core);
            lanes.push(lane);
        }
        if cores.is_empty() {
            return Ok(None);
        }
        let mut core = cores.remove(0);
        core.join(&cores);
        let pool = pool(&lanes);
        Ok(Some(Self { settings: *settings, backend, core, lanes, pool, codes: None }))
    }

    /// Trains to the next report of any lane.
    fn advance(&mut self) {
        let settings = self.settings;
        let mut left = self.lanes.iter().map(|lane| lane.to_report(&settings)).min().unwrap_or(0);
        while left > 0 {
            let steps = left.min(CHUNK);
            self.train_steps(steps as usize);
            left -= steps;
            if self.lanes.iter().any(|lane| !lane.is_wanted()) {
                break;
            }
        }
        self.report();
    }

    fn train_steps(&mut self, steps: usize) {
        let (batch, latent) = (self.settings.batch_size as usize, i64::from(self.settings.latent));
        let (s, k, b) = (steps as i64, self.lanes.len() as i64, batch as i64);
        let numbers =
            self.pool.next_batches(self.lanes.iter_mut().map(|lane| &mut lane.batches), steps);
        let x = self.pool.gather(&numbers).view([s, k, b, -1]); // [steps, K, B, H * W * C]
        let mut noises: Vec<_> = self.lanes.iter_mut().map(|lane| &mut lane.noise).collect();
        let noise =
            noise::normal(&mut noises, steps, batch * latent as usize, self.backend.noise());
        // [steps, K, B, latent]
        let noise = noise.view([k, s, b, latent]).transpose(0, 1).contiguous();
        let mut parameters = self.core.model.parameters();
        let counts = |step| self.lanes.iter().map(|lane| lane.step + 1 + step).collect();
        let rates = self.core.optimiser.rates(&(0..steps as u32).map(counts).collect::<Vec<_>>());
        for (step, rates) in (0..s).zip(&rates) {
            let (elbo, gradients) = self.core.model.gradients(&x.get(step), &noise.get(step));
            self.core.optimiser.step(&mut parameters, &gradients, rates);
            let _guard = no_grad_guard();
            self.core.sums += elbo.loss;
            self.codes = Some((elbo.mu.detach(), elbo.logvar.detach()));
            for lane in &mut self.lanes {
                lane.step += 1;
                lane.since += 1;
                if lane.to_report(&self.settings) % REPORT_EVERY != 0 {
                    let step = lane.step.into();
                    lane.waiting.iter_mut().for_each(|waiting| waiting.tick(step));
                }
            }
        }
    }

    /// Reports the losses of lanes that are due.
    fn report(&mut self) {
        let iterations = self.settings.iterations;
        let is_due =
            |lane: &Lane<'_, '_>| lane.step.is_multiple_of(REPORT_EVERY) || lane.step == iterations;
        if !self.lanes.iter().any(is_due) {
            return;
        }
        let lanes = self.lanes.len();
        let sums = Vec::<f32>::try_from(&self.core.sums).expect("a number of each lane");
        for (index, (lane, sum)) in self.lanes.iter_mut().zip(sums).enumerate() {
            if !is_due(lane) {
                continue;
            }
            let mean = f64::from(sum) / f64::from(lane.since);
            let _ = self.core.sums.narrow(0, index as i64, 1).zero_();
            lane.since = 0;
            let step = u64::from(lane.step);
            let point = MetricPoint { metric: VAE_LOSS, step, value: mean };
            if let Err(diverged) = Divergence::for_vae().look(&[point]) {
                lane.waiting.iter_mut().for_each(|waiting| waiting.stop(diverged.clone()));
                continue;
            }
            lane.losses.push(point);
            let (core, seconds) = (&self.core, lane.seconds());
            let keep = || {
                let mut state = State::new(Phase::Vae, lane.step);
                core.keep(index, &mut state);
                lane.batches.keep("batches", &mut state);
                state.set("noise", lane.noise.position());
                state.set_float("vae.seconds", seconds);
                state
            };
            let mut waiting = lane.waiting.iter_mut().filter(|waiting| waiting.stopped().is_none());
            match waiting.next() {
                Some(first) if lane.step == iterations => first.report(step, &[point]),
                Some(first) => first.report_and_save(step, &[point], lanes, keep),
                None => {}
            }
            waiting.for_each(|waiting| waiting.report(step, &[point]));
        }
    }

    /// Drops lanes that are finished or unwanted. Returns the trained VAEs with the numbers of
    /// their requests.
    fn take_finished(&mut self) -> Result<Vec<(usize, Trained)>, TrainError> {
        let _guard = no_grad_guard();
        let mut finished = Vec::new();
        let mut kept = Vec::new();
        for (index, lane) in self.lanes.iter().enumerate() {
            if lane.is_wanted() && lane.step == self.settings.iterations {
                finished.push((lane.request, (self.trained(index)?, lane.seconds())));
            } else if lane.is_wanted() {
                kept.push(index as i64);
            }
        }
        if kept.len() < self.lanes.len() {
            let mut index = 0..;
            self.lanes.retain(|_| index.next().is_some_and(|index| kept.contains(&index)));
            if !self.lanes.is_empty() {
                self.core = self.core.select(&kept);
                self.pool = pool(&self.lanes);
                self.codes = None;
            }
        }
        Ok(finished)
    }

    fn trained(&self, index: usize) -> Result<TrainedVae, TrainError> {
        let lane = &self.lanes[index];
        let vae = self.core.model.select(&[index as i64]);
        // [1, n, H * W * C]
        let images = |pixels: &Tensor| pixels.flatten(1, -1).sigmoid().unsqueeze(0);
        let (mu, logvar) = match (self.settings.latent_statistics, &self.codes) {
            (LatentStatistics::Subset, _) => vae.encode(&images(&lane.subset.pixels)),
            (LatentStatistics::LastBatch, Some((mu, logvar))) => {
                (mu.narrow(0, index as i64, 1), logvar.narrow(0, index as i64, 1))
            }
            (LatentStatistics::LastBatch, None) => {
                return Err(TrainError::Data(
                    "a VAE of `0` iterations has no latent statistics".to_owned(),
                ));
            }
        };
        let codes = vae.encode(&images(&first(&lane.subset.pixels))).0;
        let decoder = vae.into_decoder();
        let reconstructions = decoder.forward(&codes).squeeze_dim(0); // [k, H * W * C]
        let density = Densities::new(decoder, &mu, &logvar);
        Ok(TrainedVae { density, reconstructions, losses: lane.losses.clone() })
    }
}

/// Images of all lanes in the VAEs' own units.
fn pool(lanes: &[Lane<'_, '_>]) -> Pool {
    let units = |lane: &Lane<'_, '_>| Images {
        pixels: lane.subset.pixels.sigmoid(),
        labels: lane.subset.labels.shallow_clone(),
    };
    let subsets: Vec<_> = lanes.iter().map(units).collect();
    Pool::new(&subsets.iter().collect::<Vec<_>>())
}

/// The first images, whose reconstructions are kept: `[n, H, W, C]` -> `[k, H, W, C]`.
fn first(pixels: &Tensor) -> Tensor {
    pixels.narrow(0, 0, RECONSTRUCTIONS.min(pixels.size()[0]))
}

/// Refuses images that are too small for the convolutions.
fn check(family: VaeFamily, pixels: &Tensor) -> Result<(), TrainError> {
    let [height, width, _] = sizes(pixels);
    if family == VaeFamily::Convolutional && height.min(width) < conv::MIN_SIDE {
        return Err(TrainError::Data(format!(
            "images of `{height} x {width}` pixels are too small for the convolutional VAE; \
             hint: use images of at least {side} x {side}, or the vanilla VAE",
            side = conv::MIN_SIDE,
        )));
    }
    Ok(())
}

#[cfg(test)]
#[path = "training_tests.rs"]
mod tests;
