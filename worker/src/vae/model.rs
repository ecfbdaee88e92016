//! The vanilla variational autoencoder (Kingma, Welling 2014), with fully connected layers.

use tch::{Device, Reduction, Tensor, no_grad_guard};

use crate::{
    model::layers::{Layer, Named},
    rng::{Purpose, Stream},
};

/// pixels -> hidden (ReLU) -> mean and log-variance of the latent code.
#[derive(Debug)]
pub struct Encoder {
    hidden: Layer,
    /// Both heads: rows 0..latent give mu, the others logvar.
    heads: Layer,
}

/// latent -> hidden (ReLU) -> pixels.
#[derive(Debug)]
pub struct Decoder {
    hidden: Layer,
    output: Layer,
}

/// Encoder and decoder.
#[derive(Debug)]
pub struct Vae {
    /// x -> (mu, logvar).
    pub encoder: Encoder,
    /// z -> x.
    pub decoder: Decoder,
}

/// What one pass over a batch gives.
#[derive(Debug)]
pub struct Elbo {
    /// Negative evidence lower bound, in nats per image: reconstruction + KL divergence.
    pub loss: Tensor,
    /// Means of the latent codes, `[B, latent]`.
    pub mu: Tensor,
    /// Log-variances of the latent codes, `[B, latent]`.
    pub logvar: Tensor,
}

/// A code of each image, from N(mu, exp(logvar)), by the reparameterisation of Kingma and Welling. All: `[B, latent]`;
/// noise ~ N(0, 1).
pub fn latent_code(mu: &Tensor, logvar: &Tensor, noise: &Tensor) -> Tensor {
    mu + (logvar * 0.5).exp() * noise
}

impl Elbo {
    /// The loss of a batch: binary cross-entropy summed over pixels + KL(N(mu, exp(logvar)) || N(0, I)), mean over the
    /// batch. x: `[B, pixels]` in 0..1; logits: `[B, pixels]`, decoded from a [`latent_code`] of mu and logvar.
    pub fn new(x: &Tensor, logits: &Tensor, mu: Tensor, logvar: Tensor) -> Self {
        let batch = x.size()[0] as f64;
        // The sigmoid is part of the cross-entropy: the same value, computed more exactly.
        let reconstruction = logits.binary_cross_entropy_with_logits::<&Tensor>(x, None, None, Reduction::Sum);
        let divergence = (logvar.exp() + mu.square() - 1.0 - &logvar).sum(tch::Kind::Float) * 0.5;
        Self { loss: (reconstruction + divergence) / batch, mu, logvar }
    }

    /// Gradients of the loss, once, of a VAE whose [`forward`](Vae::forward) is autograd's.
    pub fn gradients(&self, parameters: &[Tensor]) -> Vec<Tensor> {
        Tensor::run_backward(&[&self.loss], parameters, false, false)
    }
}

impl Encoder {
    /// x: `[B, pixels]` -> mu, logvar: `[B, latent]` each.
    pub fn forward(&self, x: &Tensor) -> (Tensor, Tensor) {
        let heads = self.heads.linear(&self.hidden.linear(x).relu()); // [B, 2 * latent]
        let latent = heads.size()[1] / 2;
        (heads.narrow(1, 0, latent), heads.narrow(1, latent, latent))
    }
}

impl Decoder {
    /// z: `[B, latent]` -> logits of the pixels, `[B, pixels]`; their sigmoid is the image.
    pub fn forward(&self, z: &Tensor) -> Tensor {
        self.output.linear(&self.hidden.linear(z).relu())
    }

    /// All parameters, named as in PyTorch.
    pub fn parameters(&self) -> Vec<Named> {
        vec![
            ("decoder.hidden.weight", self.hidden.weight.shallow_clone()),
            ("decoder.hidden.bias", self.hidden.bias.shallow_clone()),
            ("decoder.output.weight", self.output.weight.shallow_clone()),
            ("decoder.output.bias", self.output.bias.shallow_clone()),
        ]
    }
}

impl Vae {
    /// Draws the initial weights of that seed.
    pub fn new(pixels: i64, hidden: i64, latent: i64, seed: u64, device: Device) -> Self {
        let stream = &mut Stream::new(seed, Purpose::VaeInit);
        Self {
            encoder: Encoder {
                hidden: Layer::he(stream, &[hidden, pixels], device),
                heads: Layer::he(stream, &[2 * latent, hidden], device),
            },
            decoder: Decoder {
                hidden: Layer::he(stream, &[hidden, latent], device),
                output: Layer::he(stream, &[pixels, hidden], device),
            },
        }
    }

    /// The loss of a batch, see [`Elbo::new`]. x: `[B, pixels]` in 0..1; noise: `[B, latent]` ~ N(0, 1).
    pub fn forward(&self, x: &Tensor, noise: &Tensor) -> Elbo {
        let (mu, logvar) = self.encoder.forward(x);
        let logits = self.decoder.forward(&latent_code(&mu, &logvar, noise)); // [B, pixels]
        Elbo::new(x, &logits, mu, logvar)
    }

    /// [`Self::forward`], and the gradients of the loss in the order of [`Self::parameters`], written out: it is a third
    /// faster than autograd.
    pub fn gradients(&self, x: &Tensor, noise: &Tensor) -> (Elbo, Vec<Tensor>) {
        let _guard = no_grad_guard();
        let (Encoder { hidden: encode, heads }, Decoder { hidden: decode, output }) = (&self.encoder, &self.decoder);
        let batch = x.size()[0] as f64;
        // Forward.
        let encoded = encode.product(x).relu_(); // [B, hidden]
        let codes = heads.product(&encoded); // [B, 2 * latent]
        let latent = codes.size()[1] / 2;
        let (mu, logvar) = (codes.narrow(1, 0, latent), codes.narrow(1, latent, latent));
        let deviation = (&logvar * 0.5).exp_(); // [B, latent]
        let spread = &deviation * noise;
        let z = &mu + &spread;
        let decoded = decode.product(&z).relu_(); // [B, hidden]
        let logits = output.product(&decoded); // [B, pixels]
        // Backward. Of the cross-entropy by the logits: (sigmoid(logits) - x) / B.
        let of_logits = logits.sigmoid().g_sub_(x).g_mul_scalar_(1.0 / batch);
        let (of_output, of_output_bias) = output.gradients_of_parameters(&of_logits, &decoded);
        let of_decoded = decoded.threshold_backward(&output.gradient_of_input(&of_logits), 0.0);
        let (of_decode, of_decode_bias) = decode.gradients_of_parameters(&of_decoded, &z);
        let of_z = decode.gradient_of_input(&of_decoded); // [B, latent]
        // Of the divergence by mu: mu / B; by logvar: (exp(logvar) - 1) / 2B.
        let of_mu = &of_z + &mu * (1.0 / batch);
        let mut of_divergence = (deviation.square() - 1.0) * (0.5 / batch);
        let of_logvar = of_divergence.addcmul_(&of_z, &(spread * 0.5));
        let of_codes = Tensor::cat(&[of_mu, of_logvar], 1); // [B, 2 * latent]
        let (of_heads, of_heads_bias) = heads.gradients_of_parameters(&of_codes, &encoded);
        let of_encoded = encoded.threshold_backward(&heads.gradient_of_input(&of_codes), 0.0);
        let (of_encode, of_encode_bias) = encode.gradients_of_parameters(&of_encoded, x);
        let gradients = vec![
            of_encode,
            of_encode_bias,
            of_heads,
            of_heads_bias,
            of_decode,
            of_decode_bias,
            of_output,
            of_output_bias,
        ];
        (Elbo::new(x, &logits, mu, logvar), gradients)
    }

    /// All parameters, named as in PyTorch.
    pub fn parameters(&self) -> Vec<Named> {
        let mut all = vec![
            ("encoder.hidden.weight", self.encoder.hidden.weight.shallow_clone()),
            ("encoder.hidden.bias", self.encoder.hidden.bias.shallow_clone()),
            ("encoder.heads.weight", self.encoder.heads.weight.shallow_clone()),
            ("encoder.heads.bias", self.encoder.heads.bias.shallow_clone()),
        ];
        all.extend(self.decoder.parameters());
        all
    }
}
