//! The two VAEs as one: what their training and their samples need, whichever it is.

use swfn_shared::trial::{Vae as Settings, VaeFamily};
use tch::{Tensor, no_grad_guard};

use super::{
    conv::{ConvDecoder, ConvVae},
    model::{Decoder, Elbo, Vae},
};
use crate::{
    compute::Place,
    lanes::{Lanes, Named},
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

impl AnyVae {
    /// Draws the initial weights of these seeds, one for each lane, for images of (height, width, channels). Of the settings,
    /// `family`, `hidden` and `latent` count.
    pub fn new(settings: &Settings, image: [i64; 3], seeds: &[u64], place: Place) -> Self {
        let (hidden, latent) = (settings.hidden.into(), settings.latent.into());
        match settings.family {
            VaeFamily::Vanilla => {
                Self::Vanilla(Vae::new(image.iter().product(), hidden, latent, seeds, place))
            }
            VaeFamily::Convolutional => Self::Convolutional(Box::new(ConvVae::new(
                image,
                hidden,
                latent,
                seeds,
                place.device,
            ))),
        }
    }

    /// The loss of a batch, see [`Elbo::new`], and its gradients in the order of [`Self::parameters`]. Batch norm is in
    /// training mode. x: `[K, B, H * W * C]` in 0..1; noise: `[K, B, latent]` ~ N(0, 1).
    pub fn gradients(&self, x: &Tensor, noise: &Tensor) -> (Elbo, Vec<Tensor>) {
        match self {
            Self::Vanilla(vae) => vae.gradients(x, noise),
            Self::Convolutional(vae) => vae.gradients(x, noise),
        }
    }

    /// x: `[K, B, H * W * C]` in 0..1 -> mu, logvar: `[K, B, latent]` each. Batch norm is in test mode.
    pub fn encode(&self, x: &Tensor) -> (Tensor, Tensor) {
        let _guard = no_grad_guard();
        match self {
            Self::Vanilla(vae) => vae.encoder.forward(x),
            Self::Convolutional(vae) => vae.encoder.forward(x, NormMode::Eval),
        }
    }

    /// z: `[K, B, latent]` -> logits of the pixels, `[K, B, H * W * C]`, see [`AnyDecoder::forward`].
    pub fn decode(&self, z: &Tensor) -> Tensor {
        let _guard = no_grad_guard();
        match self {
            Self::Vanilla(vae) => vae.decoder.forward(z),
            Self::Convolutional(vae) => vae.decoder.forward(z, NormMode::Eval),
        }
    }

    /// All parameters, named as in PyTorch.
    pub fn parameters(&self) -> Vec<Named> {
        match self {
            Self::Vanilla(vae) => vae.parameters(),
            Self::Convolutional(vae) => vae.parameters(),
        }
    }

    /// What training changes besides the parameters, named as in PyTorch.
    pub fn buffers(&self) -> Vec<Named> {
        match self {
            Self::Vanilla(_) => Vec::new(),
            Self::Convolutional(vae) => vae.buffers(),
        }
    }

    /// Some of its lanes, copied.
    pub fn some(&self, lanes: &[i64]) -> Self {
        let mut some = match self {
            Self::Vanilla(vae) => Self::Vanilla(vae.shallow_clone()),
            Self::Convolutional(vae) => Self::Convolutional(Box::new(vae.shallow_clone())),
        };
        some.keep(lanes);
        some
    }

    /// What samples need of it.
    pub fn into_decoder(self) -> AnyDecoder {
        match self {
            Self::Vanilla(vae) => vae.decoder.into(),
            Self::Convolutional(vae) => vae.decoder.into(),
        }
    }
}

impl AnyDecoder {
    /// z: `[K, B, latent]` -> logits of the pixels, `[K, B, H * W * C]`, which are the image in normalised units; their sigmoid
    /// is the image in the VAE's own units. Batch norm is in test mode.
    pub fn forward(&self, z: &Tensor) -> Tensor {
        let _guard = no_grad_guard();
        match self {
            Self::Vanilla(decoder) => decoder.forward(z),
            Self::Convolutional(decoder) => decoder.forward(z, NormMode::Eval),
        }
    }

    /// All parameters, named as in PyTorch.
    pub fn parameters(&self) -> Vec<Named> {
        match self {
            Self::Vanilla(decoder) => decoder.parameters(),
            Self::Convolutional(decoder) => decoder.parameters(),
        }
    }

    /// What training changes besides the parameters, named as in PyTorch.
    pub fn buffers(&self) -> Vec<Named> {
        match self {
            Self::Vanilla(_) => Vec::new(),
            Self::Convolutional(decoder) => decoder.buffers(),
        }
    }

    /// The same one, not a copy.
    pub fn shallow_clone(&self) -> Self {
        match self {
            Self::Vanilla(decoder) => decoder.shallow_clone().into(),
            Self::Convolutional(decoder) => decoder.shallow_clone().into(),
        }
    }
}

impl Lanes for AnyVae {
    fn tensors_mut(&mut self) -> Vec<&mut Tensor> {
        match self {
            Self::Vanilla(vae) => vae.tensors_mut(),
            Self::Convolutional(vae) => vae.tensors_mut(),
        }
    }
}

impl Lanes for AnyDecoder {
    fn tensors_mut(&mut self) -> Vec<&mut Tensor> {
        match self {
            Self::Vanilla(decoder) => decoder.tensors_mut(),
            Self::Convolutional(decoder) => decoder.tensors_mut(),
        }
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
