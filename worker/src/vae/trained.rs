//! Trained VAEs: the part of them that the function norm needs.

use swfn_shared::metrics::MetricPoint;
use tch::{Kind, Tensor, no_grad_guard};

use super::family::AnyDecoder;
use crate::lanes::{Model as _, Named, impl_lanes, named};

/// K densities Q over images: z = mu_bar + spread * exp(logvar_bar / 2) * eps, eps ~ N(0, I); x =
/// sigmoid(decoder(z)).
#[derive(Debug)]
pub struct Densities {
    decoder: AnyDecoder,
    /// Mean of mu, `[K, latent]`.
    mu: Tensor,
    /// Standard deviation, from the mean of logvar, `[K, latent]`.
    deviation: Tensor,
}

/// A VAE after its training.
#[derive(Debug)]
pub struct TrainedVae {
    /// Its density, of one lane.
    pub density: Densities,
    /// Reconstructions of the first images that it was trained on: `[k, pixels]` in normalised
    /// units.
    pub reconstructions: Tensor,
    /// The curve of its training, in `vae/loss`. A trial that finds this VAE reports the same
    /// points as one that trains it.
    pub losses: Vec<MetricPoint>,
}

impl Densities {
    /// Densities from codes of the images that represent all: `mu`, `logvar`: `[K, B, latent]`.
    pub fn new(decoder: AnyDecoder, mu: &Tensor, logvar: &Tensor) -> Self {
        let _guard = no_grad_guard();
        let mean = |x: &Tensor| x.mean_dim([1_i64].as_slice(), false, Kind::Float).detach();
        Self { decoder, mu: mean(mu), deviation: (mean(logvar) * 0.5).exp() }
    }

    /// Dimensions of the latent code.
    pub fn latent(&self) -> usize {
        self.mu.size()[1] as usize
    }

    /// The images of this noise, the eps above: `[K, N, latent]` -> `[K, N, pixels]`, before the
    /// sigmoid.
    ///
    /// They are normalised pixels, as the VAE's inputs are the sigmoid of normalised pixels. No
    /// gradient flows into the VAE.
    pub fn decode(&self, noise: &Tensor, spread: f64) -> Tensor {
        let _guard = no_grad_guard();
        // [K, N, latent]
        let z = self.mu.unsqueeze(1) + self.deviation.unsqueeze(1) * spread * noise;
        self.decoder.forward(&z)
    }

    /// Whether torch's convolutions decode the images. On a CPU their rounding depends on the
    /// number of images, so each step's images must be decoded alone.
    pub(crate) fn round_by_count(&self) -> bool {
        matches!(self.decoder, AnyDecoder::Convolutional(_))
    }
}

impl_lanes!(Densities { decoder, mu, deviation });

impl TrainedVae {
    /// A VAE with that density, of one lane, those reconstructions and no curve.
    pub fn new(density: Densities, reconstructions: Tensor) -> Self {
        assert_eq!(density.mu.size()[0], 1, "a VAE is one");
        Self { density, reconstructions, losses: Vec::new() }
    }

    /// All tensors, named. They share their storage with the VAE's.
    pub(crate) fn tensors(&self) -> Vec<Named> {
        let Self { density: Densities { decoder, mu, deviation }, reconstructions, .. } = self;
        let others = [
            named("latent.mu", mu),
            named("latent.deviation", deviation),
            named("reconstructions", reconstructions),
        ];
        decoder.parameters().into_iter().chain(decoder.buffers()).chain(others).collect()
    }
}
