//! A VAE whose training is over: what the function norm needs of it.

use swfn_shared::metrics::MetricPoint;
use tch::{Kind, Tensor, no_grad_guard};

use super::family::AnyDecoder;
use crate::lanes::{Lanes, Named, named};

/// K densities Q over images: z = mu_bar + spread * exp(logvar_bar / 2) * eps, eps ~ N(0, I); x = sigmoid(decoder(z)).
#[derive(Debug)]
pub struct Densities {
    decoder: AnyDecoder,
    /// Mean of mu, `[K, latent]`.
    mu: Tensor,
    /// Standard deviation, from the mean of logvar, `[K, latent]`.
    deviation: Tensor,
}

/// One density, with what trials and people want to know of it.
#[derive(Debug)]
pub struct TrainedVae {
    /// Of one lane.
    density: Densities,
    /// What it makes of the first images that it was trained on, for people to look at: `[k, pixels]` in normalised
    /// units.
    reconstructions: Tensor,
    /// The curve of its training, so that a trial which finds this VAE ready reports the same points as one that trains
    /// it.
    losses: Vec<MetricPoint>,
}

impl Densities {
    /// `mu`, `logvar`: `[K, B, latent]`, of the images that stand for all.
    pub fn new(decoder: impl Into<AnyDecoder>, mu: &Tensor, logvar: &Tensor) -> Self {
        let _guard = no_grad_guard();
        let mean = |x: &Tensor| x.mean_dim([1_i64].as_slice(), false, Kind::Float).detach();
        Self { decoder: decoder.into(), mu: mean(mu), deviation: (mean(logvar) * 0.5).exp() }
    }

    /// Dimensions of the latent code.
    pub fn latent(&self) -> usize {
        self.mu.size()[1] as usize
    }

    /// The images of this noise, the eps above: `[K, N, latent]` -> `[K, N, pixels]`, before the sigmoid: since the inputs
    /// of the VAE are the sigmoid of normalised pixels, these are normalised pixels. No gradient flows into the VAE.
    pub fn decode(&self, noise: &Tensor, spread: f64) -> Tensor {
        let _guard = no_grad_guard();
        let z = self.mu.unsqueeze(1) + self.deviation.unsqueeze(1) * spread * noise; // [K, N, latent]
        self.decoder.forward(&z)
    }

    /// Whether torch's convolutions make them: on a CPU they round by how many images they give. A step's images are then decoded
    /// alone, lest they depend on how many steps are assembled at once.
    pub(crate) fn round_by_count(&self) -> bool {
        matches!(self.decoder, AnyDecoder::Convolutional(_))
    }

    /// The same ones, not copies.
    pub(crate) fn shallow_clone(&self) -> Self {
        let Self { decoder, mu, deviation } = self;
        Self {
            decoder: decoder.shallow_clone(),
            mu: mu.shallow_clone(),
            deviation: deviation.shallow_clone(),
        }
    }
}

impl Lanes for Densities {
    fn tensors_mut(&mut self) -> Vec<&mut Tensor> {
        let mut all = self.decoder.tensors_mut();
        all.extend([&mut self.mu, &mut self.deviation]);
        all
    }
}

impl TrainedVae {
    /// `reconstructions`: `[k, pixels]` in normalised units; `losses` in `vae/loss`.
    ///
    /// # Panics
    /// If there is more than one density.
    pub fn new(density: Densities, reconstructions: Tensor, losses: Vec<MetricPoint>) -> Self {
        assert_eq!(density.mu.size()[0], 1, "a VAE is one");
        Self { density, reconstructions, losses }
    }

    /// The density, of one lane.
    pub fn density(&self) -> &Densities {
        &self.density
    }

    /// What it makes of the first images that it was trained on: `[k, pixels]` in normalised units.
    pub fn reconstructions(&self) -> &Tensor {
        &self.reconstructions
    }

    /// The curve of its training, in `vae/loss`.
    pub fn losses(&self) -> &[MetricPoint] {
        &self.losses
    }

    /// The same VAE with another curve.
    pub(crate) fn with_losses(self, losses: Vec<MetricPoint>) -> Self {
        Self { losses, ..self }
    }

    /// Everything that it gives away depends on, named. The tensors share their storage with the VAE's.
    pub(crate) fn tensors(&self) -> Vec<Named> {
        let Self { density: Densities { decoder, mu, deviation }, reconstructions, losses: _ } =
            self;
        let mut all = decoder.parameters();
        all.extend(decoder.buffers());
        all.push(named("latent.mu", mu));
        all.push(named("latent.deviation", deviation));
        all.push(named("reconstructions", reconstructions));
        all
    }
}
