//! A VAE whose training is over: what the function norm needs of it.

use swfn_shared::metrics::MetricPoint;
use tch::{Tensor, no_grad_guard};

use super::family::AnyDecoder;
use crate::{model::layers::Named, rng::Stream};

/// A density Q over images: z = mu_bar + spread * exp(logvar_bar / 2) * eps, eps ~ N(0, I); x = sigmoid(decoder(z)).
#[derive(Debug)]
pub struct TrainedVae {
    decoder: AnyDecoder,
    /// Mean of mu, `[latent]`.
    mu: Tensor,
    /// Standard deviation, from the mean of logvar, `[latent]`.
    deviation: Tensor,
    /// What it makes of the first images that it was trained on, for people to look at: `[k, pixels]` in normalised
    /// units.
    reconstructions: Tensor,
    /// The curve of its training, so that a trial which finds this VAE ready reports the same points as one that trains
    /// it.
    losses: Vec<MetricPoint>,
}

impl TrainedVae {
    /// `mu`, `logvar`: `[B, latent]`, of the images that stand for all.
    pub fn new(decoder: impl Into<AnyDecoder>, mu: &Tensor, logvar: &Tensor, losses: Vec<MetricPoint>) -> Self {
        let _guard = no_grad_guard();
        let mean = |x: &Tensor| x.mean_dim(0, false, tch::Kind::Float).detach();
        let (mu, deviation) = (mean(mu), (mean(logvar) * 0.5).exp());
        let reconstructions = Tensor::zeros([0, 0], (tch::Kind::Float, mu.device()));
        Self { decoder: decoder.into(), mu, deviation, reconstructions, losses }
    }

    /// The same VAE with reconstructions, `[k, pixels]` in normalised units.
    pub(crate) fn with_reconstructions(self, reconstructions: Tensor) -> Self {
        Self { reconstructions, ..self }
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
        let Self { decoder, mu, deviation, reconstructions, losses: _ } = self;
        let mut all = decoder.parameters();
        all.extend(decoder.buffers());
        all.push(("latent.mu", mu.shallow_clone()));
        all.push(("latent.deviation", deviation.shallow_clone()));
        all.push(("reconstructions", reconstructions.shallow_clone()));
        all
    }

    /// `count` images, `[count, pixels]` in normalised units. No gradient flows into the VAE.
    pub fn sample(&self, count: usize, spread: f64, noise: &mut Stream) -> Tensor {
        let latent = self.mu.size()[0];
        let noise = Tensor::from_slice(&noise.normal(count * latent as usize));
        self.decode(&noise.view([-1, latent]).to_device(self.mu.device()), spread)
    }

    /// The images of this noise, the eps above: `[N, latent]` -> `[N, pixels]`, before the sigmoid: since the inputs of
    /// the VAE are the sigmoid of normalised pixels, these are normalised pixels.
    pub fn decode(&self, noise: &Tensor, spread: f64) -> Tensor {
        let _guard = no_grad_guard();
        let z = &self.mu + &self.deviation * spread * noise; // [N, latent]
        self.decoder.forward(&z)
    }
}
