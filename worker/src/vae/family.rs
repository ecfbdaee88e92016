//! The two VAEs as one type: all that their training and their samples need.

use swfn_shared::trial::{Vae as Settings, VaeFamily};
use tch::{Tensor, no_grad_guard};

use super::{
    conv::{ConvDecoder, ConvVae},
    model::{Decoder, Elbo, Vae},
};
use crate::{
    compute::Backend,
    lanes::{Lanes, Map, Named},
    layers::NormMode,
};

/// K VAEs of either family.
#[derive(Debug)]
pub enum AnyVae {
    /// Fully connected layers.
    Vanilla(Vae),
    /// Strided convolutions.
    Convolutional(Box<ConvVae>),
}

/// K decoders of either family.
#[derive(Debug)]
pub enum AnyDecoder {
    /// Fully connected layers.
    Vanilla(Decoder),
    /// Strided convolutions.
    Convolutional(Box<ConvDecoder>),
}

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
    /// [`Self::parameters`], with batch norm in training mode. x: `[K, B, H * W * C]` in 0..1;
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

    /// All parameters, named as in PyTorch.
    pub fn parameters(&self) -> Vec<Named> {
        either!(self, vae => vae.parameters())
    }

    /// The running statistics of batch norm, named as in PyTorch.
    pub fn buffers(&self) -> Vec<Named> {
        match self {
            Self::Vanilla(_) => Vec::new(),
            Self::Convolutional(vae) => vae.buffers(),
        }
    }

    /// The part that samples need.
    pub fn into_decoder(self) -> AnyDecoder {
        either!(self, vae => vae.decoder.into())
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

    /// All parameters, named as in PyTorch.
    pub fn parameters(&self) -> Vec<Named> {
        either!(self, decoder => decoder.parameters())
    }

    /// The running statistics of batch norm, named as in PyTorch.
    pub fn buffers(&self) -> Vec<Named> {
        match self {
            Self::Vanilla(_) => Vec::new(),
            Self::Convolutional(decoder) => decoder.buffers(),
        }
    }
}

impl Lanes for AnyVae {
    fn map(&self, f: &mut Map<'_>) -> Self {
        match self {
            Self::Vanilla(vae) => Self::Vanilla(vae.map(f)),
            Self::Convolutional(vae) => Self::Convolutional(Box::new(vae.map(f))),
        }
    }
}

impl Lanes for AnyDecoder {
    fn map(&self, f: &mut Map<'_>) -> Self {
        either!(self, decoder => decoder.map(f).into())
    }
}

impl From<Decoder> for AnyDecoder {
    fn from(decoder: Decoder) -> Self {
        Self::Vanilla(decoder)
    }
}

impl From<ConvDecoder> for AnyDecoder {
    fn from(decoder: ConvDecoder) -> Self {
        Self::Convolutional(Box::new(decoder))
    }
}
