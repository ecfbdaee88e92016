//! The two VAEs as one type: all that their training and their samples need.

use swfn_shared::trial::{Vae as Settings, VaeFamily};
use tch::{Tensor, no_grad_guard};

use super::{
    conv::{ConvDecoder, ConvVae},
    model::{Decoder, Elbo, Vae},
};
use crate::{
    compute::Backend,
    lanes::{Lanes, Map, Model, Named},
    layers::NormMode,
};

/// K models of one of the two families.
#[derive(Debug)]
pub enum Either<V, C> {
    /// Fully connected layers.
    Vanilla(V),
    /// Strided convolutions.
    Convolutional(Box<C>),
}

/// K VAEs of either family.
pub type AnyVae = Either<Vae, ConvVae>;

/// K decoders of either family.
pub type AnyDecoder = Either<Decoder, ConvDecoder>;

/// The same expression for either family.
macro_rules! either {
    ($either:expr, $model:ident => $work:expr) => {
        match $either {
            Self::Vanilla($model) => $work,
            Self::Convolutional($model) => $work,
        }
    };
}

impl AnyVae {
    /// Draws the initial weights of these seeds, one for each lane, for images of (height, width,
    /// channels). It uses `family`, `hidden` and `latent` of the settings.
    pub fn new(settings: &Settings, image: [i64; 3], seeds: &[u64], backend: Backend) -> Self {
        let (hidden, latent) = (settings.hidden.into(), settings.latent.into());
        let pixels = image.iter().product();
        match settings.family {
            VaeFamily::Vanilla => Self::Vanilla(Vae::new(pixels, hidden, latent, seeds, backend)),
            VaeFamily::Convolutional => {
                let vae = ConvVae::new(image, hidden, latent, seeds, backend.device);
                Self::Convolutional(Box::new(vae))
            }
        }
    }

    /// The loss of a batch, see [`Elbo::new`], and its gradients in the order of
    /// [`Model::parameters`], with batch norm in training mode. x: `[K, B, H * W * C]` in 0..1;
    /// noise: `[K, B, latent]` ~ N(0, 1).
    pub fn gradients(&self, x: &Tensor, noise: &Tensor) -> (Elbo, Vec<Tensor>) {
        either!(self, vae => vae.gradients(x, noise))
    }

    /// x: `[K, B, H * W * C]` in 0..1 -> mu, logvar: `[K, B, latent]` each, with batch norm in test
    /// mode.
    pub fn encode(&self, x: &Tensor) -> (Tensor, Tensor) {
        let _guard = no_grad_guard();
        match self {
            Self::Vanilla(vae) => vae.encoder.forward(x),
            Self::Convolutional(vae) => vae.encoder.forward(x, NormMode::Eval),
        }
    }

    /// The part that samples need.
    pub fn into_decoder(self) -> AnyDecoder {
        match self {
            Self::Vanilla(vae) => Either::Vanilla(vae.decoder),
            Self::Convolutional(vae) => Either::Convolutional(Box::new(vae.decoder)),
        }
    }
}

impl AnyDecoder {
    /// z: `[K, B, latent]` -> logits of the pixels, `[K, B, H * W * C]`, with batch norm in test
    /// mode. The logits are the image in normalised units, and their sigmoid is it in the VAE's own
    /// units.
    pub fn forward(&self, z: &Tensor) -> Tensor {
        let _guard = no_grad_guard();
        match self {
            Self::Vanilla(decoder) => decoder.forward(z),
            Self::Convolutional(decoder) => decoder.forward(z, NormMode::Eval),
        }
    }
}

impl<V: Model, C: Model> Model for Either<V, C> {
    fn parameters(&self) -> Vec<Named> {
        either!(self, model => model.parameters())
    }

    fn buffers(&self) -> Vec<Named> {
        either!(self, model => model.buffers())
    }
}

impl<V: Lanes, C: Lanes> Lanes for Either<V, C> {
    fn map(&self, f: &mut Map<'_>) -> Self {
        match self {
            Self::Vanilla(model) => Self::Vanilla(model.map(f)),
            Self::Convolutional(model) => Self::Convolutional(Box::new(model.map(f))),
        }
    }
}
