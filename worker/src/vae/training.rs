//! The training of VAEs, a lane for each, and the statistics of their latent codes.

use std::time::Instant;

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
    compute::Place,
    lanes::{Lanes, named_lane},
    noise::{self, Noise},
    rng::Purpose,
    trial::{
        batches::Batches,
        pool::{Images, Pool, sizes},
        report::{REPORT_EVERY, Reporter, TrainError},
        state::{Misfit, Phase, State},
        stop::{Divergence, StopRule as _},
    },
};

/// Steps whose inputs are gathered at once.
const CHUNK: u32 = 50;

/// Images whose reconstructions are kept, at most.
const RECONSTRUCTIONS: i64 = 20;

/// A VAE that is wanted.
pub(crate) struct Request<'r, 'o> {
    /// The images, in normalised units; the VAE's own units are their sigmoid.
    pub(crate) subset: &'r Images,
    pub(crate) seed: u64,
    /// Where its training goes on.
    pub(crate) resumed: Option<State>,
    /// The trials that wait for it. Its training is saved as that of the first.
    pub(crate) waiting: Vec<&'r mut Reporter<'o>>,
}

/// A VAE, and the seconds that its training took.
pub(crate) type Trained = (TrainedVae, f64);

/// A VAE as [`train`] returns it, same tensors, same places in memory, but for its numbers: what one that comes from a
/// file is read into.
pub(crate) fn untrained(settings: &Settings, pixels: &Tensor, place: Place) -> TrainedVae {
    let vae = AnyVae::new(settings, sizes(pixels), &[0], place);
    let codes = Tensor::zeros([1, 1, settings.latent.into()], (Kind::Float, place.device));
    let density = Densities::new(vae.into_decoder(), &codes, &codes);
    TrainedVae::new(density, first(pixels).zeros_like(), Vec::new())
}

/// Trains VAEs of the same settings, each on a subset. Gives each with the seconds that its training took; none where
/// nobody waits any more, because all who waited were cancelled or because it diverged, which they then know.
///
/// The latent statistics are those of the last training batch as its step saw them, before its update, as published; or
/// those of all images under the final weights. Batch norm, which the convolutional VAE has, is in training mode for
/// the former, in test mode for the latter.
pub(crate) fn train(
    settings: &Settings,
    requests: Vec<Request<'_, '_>>,
    place: Place,
) -> Result<Vec<Option<Trained>>, TrainError> {
    let mut trained: Vec<_> = requests.iter().map(|_| None).collect();
    let Some(mut training) = Training::start(settings, requests, place)? else {
        return Ok(trained);
    };
    while !training.lanes.is_empty() {
        training.advance();
        for (request, vae) in training.take_ended()? {
            trained[request] = Some(vae);
        }
    }
    Ok(trained)
}

/// All that training changes, of K lanes.
struct Core {
    vae: AnyVae,
    optimiser: Adam,
    /// Of the losses since the last report, `[K]`.
    sums: Tensor,
}

impl Core {
    fn new(settings: &Settings, image: [i64; 3], seed: u64, place: Place) -> Self {
        let vae = AnyVae::new(settings, image, &[seed], place);
        let optimiser = Adam::new(&vae.parameters(), settings.learning_rate, place);
        Self { vae, optimiser, sums: Tensor::zeros([1], (Kind::Float, place.device)) }
    }
}

impl Lanes for Core {
    fn tensors_mut(&mut self) -> Vec<&mut Tensor> {
        let mut all = self.vae.tensors_mut();
        all.extend(self.optimiser.tensors_mut());
        all.push(&mut self.sums);
        all
    }
}

/// One VAE in training.
struct Lane<'r, 'o> {
    request: usize,
    subset: &'r Images,
    waiting: Vec<&'r mut Reporter<'o>>,
    batches: Batches,
    noise: Noise,
    /// Iterations done.
    step: u32,
    /// Those since the last report.
    since: u32,
    losses: Vec<MetricPoint>,
    start: Instant,
    /// Seconds before its checkpoint.
    earlier: f64,
}

impl Lane<'_, '_> {
    /// Takes up where the state was taken, with the core of this lane alone.
    fn restore(
        &mut self,
        core: &mut Core,
        state: &State,
        settings: &Settings,
    ) -> Result<(), Misfit> {
        state.restore_named("model", core.vae.parameters())?;
        state.restore_named("model", core.vae.buffers())?;
        core.optimiser.restore_lane(0, state)?;
        self.batches.restore("batches", state)?;
        self.noise.go_to(state.position("noise")?);
        self.earlier = state.float("vae.seconds")?;
        let most = u64::from(settings.iterations);
        let sound = |point: &MetricPoint| {
            point.metric == VAE_LOSS && point.step <= most && point.check().is_ok()
        };
        self.losses = state.points(sound)?;
        self.step = state.step(settings.iterations)?;
        for waiting in &mut self.waiting {
            waiting.go_on(self.step.into(), &self.losses);
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
    place: Place,
    core: Core,
    lanes: Vec<Lane<'r, 'o>>,
    /// Images of all lanes in the VAEs' own units.
    pool: Pool,
    /// Codes of the last batch, as its step saw them: mu and logvar, `[K, B, latent]` each.
    codes: Option<(Tensor, Tensor)>,
}

impl<'r, 'o> Training<'r, 'o> {
    fn start(
        settings: &Settings,
        requests: Vec<Request<'r, 'o>>,
        place: Place,
    ) -> Result<Option<Self>, TrainError> {
        let mut cores = Vec::new();
        let mut lanes = Vec::new();
        for (number, Request { subset, seed, resumed, waiting }) in requests.into_iter().enumerate()
        {
            check(settings.family, &subset.pixels)?;
            let image = sizes(&subset.pixels);
            let images = subset.labels.size()[0] as usize;
            let fresh = |waiting| Lane {
                request: number,
                subset,
                waiting,
                batches: Batches::new(
                    images,
                    settings.batch_size as usize,
                    seed,
                    Purpose::VaeBatches,
                ),
                noise: Noise::new(seed, Purpose::VaeNoise),
                step: 0,
                since: 0,
                losses: Vec::new(),
                start: Instant::now(),
                earlier: 0.0,
            };
            let (mut lane, mut core) = (fresh(waiting), Core::new(settings, image, seed, place));
            if let Some(Err(misfit)) =
                resumed.map(|state| lane.restore(&mut core, &state, settings))
            {
                lane.waiting
                    .iter_mut()
                    .for_each(|waiting| waiting.reject_checkpoint(&misfit.to_string()));
                (lane, core) = (fresh(lane.waiting), Core::new(settings, image, seed, place));
            }
            cores.push(core);
            lanes.push(lane);
        }
        let mut cores = cores.into_iter();
        let Some(mut core) = cores.next() else { return Ok(None) };
        core.join(cores.collect());
        let pool = pool(&lanes);
        Ok(Some(Self { settings: *settings, place, core, lanes, pool, codes: None }))
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
        let noise = noise::normal(&mut noises, steps, batch * latent as usize, self.place.noise());
        let noise = noise.view([k, s, b, latent]).transpose(0, 1).contiguous(); // [steps, K, B, latent]
        let mut parameters = self.core.vae.parameters();
        let counts = |step| self.lanes.iter().map(|lane| lane.step + 1 + step).collect();
        let rates = self.core.optimiser.rates(&(0..steps as u32).map(counts).collect::<Vec<_>>());
        for (step, rates) in (0..s).zip(&rates) {
            let (elbo, gradients) = self.core.vae.gradients(&x.get(step), &noise.get(step));
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

    /// Tells the losses of lanes that are due.
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
            if let Err(diverged) = Divergence.look(&[point]) {
                lane.waiting.iter_mut().for_each(|waiting| waiting.stop(diverged.clone()));
                continue;
            }
            lane.losses.push(point);
            let (core, seconds) = (&self.core, lane.seconds());
            let keep = || {
                let mut state = State::new(Phase::Vae, lane.step);
                state.set_named("model", named_lane(core.vae.parameters(), index));
                state.set_named("model", named_lane(core.vae.buffers(), index));
                core.optimiser.keep_lane(index as i64, &mut state);
                lane.batches.keep("batches", &mut state);
                state.set("noise", lane.noise.position());
                state.set_float("vae.seconds", seconds);
                state
            };
            let ended = lane.step == iterations;
            let mut waiting = lane.waiting.iter_mut().filter(|waiting| waiting.stopped().is_none());
            if let Some(first) = waiting.next() {
                if ended {
                    first.report(step, &[point])
                } else {
                    first.report_and_save(step, &[point], lanes, keep)
                }
            }
            waiting.for_each(|waiting| waiting.report(step, &[point]));
        }
    }

    /// Leaves out the lanes that are not to go on, and gives those that are trained, with the numbers of their requests.
    fn take_ended(&mut self) -> Result<Vec<(usize, Trained)>, TrainError> {
        let _guard = no_grad_guard();
        let mut ended = Vec::new();
        let mut kept = Vec::new();
        for (index, lane) in self.lanes.iter().enumerate() {
            if lane.is_wanted() && lane.step == self.settings.iterations {
                ended.push((lane.request, (self.trained(index)?, lane.seconds())));
            } else if lane.is_wanted() {
                kept.push(index as i64);
            }
        }
        if kept.len() < self.lanes.len() {
            let mut index = 0..;
            self.lanes.retain(|_| index.next().is_some_and(|index| kept.contains(&index)));
            if !self.lanes.is_empty() {
                self.core.keep(&kept);
                self.pool = pool(&self.lanes);
                self.codes = None;
            }
        }
        Ok(ended)
    }

    fn trained(&self, index: usize) -> Result<TrainedVae, TrainError> {
        let lane = &self.lanes[index];
        let vae = self.core.vae.some(&[index as i64]);
        let images = |pixels: &Tensor| pixels.flatten(1, -1).sigmoid().unsqueeze(0); // [1, n, H * W * C]
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
        let some = images(&lane.subset.pixels.narrow(
            0,
            0,
            RECONSTRUCTIONS.min(lane.subset.pixels.size()[0]),
        ));
        let reconstructions = vae.decode(&vae.encode(&some).0).squeeze_dim(0); // [k, H * W * C]
        Ok(TrainedVae::new(
            Densities::new(vae.into_decoder(), &mu, &logvar),
            reconstructions,
            lane.losses.clone(),
        ))
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

/// The images whose reconstructions are kept: of `[n, H, W, C]` the first, `[k, H * W * C]`.
fn first(pixels: &Tensor) -> Tensor {
    pixels.narrow(0, 0, RECONSTRUCTIONS.min(pixels.size()[0])).flatten(1, -1)
}

/// Refuses images that are too small for the convolutions.
fn check(family: VaeFamily, pixels: &Tensor) -> Result<(), TrainError> {
    let [height, width, _] = sizes(pixels);
    match family {
        VaeFamily::Convolutional if height.min(width) < conv::MIN_SIDE => {
            Err(TrainError::Data(format!(
                "images of `{height} x {width}` pixels are too small for the convolutional VAE; \
             hint: at least {side} x {side}, or the vanilla one",
                side = conv::MIN_SIDE,
            )))
        }
        VaeFamily::Vanilla | VaeFamily::Convolutional => Ok(()),
    }
}

#[cfg(test)]
#[path = "training_tests.rs"]
mod tests;
