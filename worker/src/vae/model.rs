//! The vanilla variational autoencoder (Kingma, Welling 2014) with fully connected layers, K of
//! them.

use tch::{Kind, Reduction, Tensor, no_grad_guard};

use crate::{
    compute::Backend,
    lanes::{Lanes, Map, Model, Named, impl_lanes},
    layers::Layer,
    rng::{Purpose, Stream},
};

/// Pixels -> hidden (ReLU) -> mean and log-variance of the latent code.
#[derive(Debug)]
pub struct Encoder {
    hidden: Layer,
    /// Both heads: rows 0..latent yield mu, the others logvar.
    heads: Layer,
    backend: Backend,
}

/// Latent code -> hidden (ReLU) -> pixels.
#[derive(Debug)]
pub struct Decoder {
    hidden: Layer,
    output: Layer,
    backend: Backend,
}

/// An autoencoder of fully connected layers.
pub type Vae = Autoencoder<Encoder, Decoder>;

/// Encoder and decoder.
#[derive(Debug)]
pub struct Autoencoder<E, D> {
    /// x -> (mu, logvar).
    pub encoder: E,
    /// z -> x.
    pub decoder: D,
}

impl<E: Lanes, D: Lanes> Lanes for Autoencoder<E, D> {
    fn map(&self, f: &mut Map<'_>) -> Self {
        Self { encoder: self.encoder.map(f), decoder: self.decoder.map(f) }
    }
}

impl<E: Model, D: Model> Model for Autoencoder<E, D> {
    fn parameters(&self) -> Vec<Named> {
        [self.encoder.parameters(), self.decoder.parameters()].into_iter().flatten().collect()
    }

    fn buffers(&self) -> Vec<Named> {
        [self.encoder.buffers(), self.decoder.buffers()].into_iter().flatten().collect()
    }
}

/// Result of one pass over a batch.
#[derive(Debug)]
pub struct Elbo {
    /// Negative evidence lower bound, in nats per image: reconstruction + KL divergence, `[K]`.
    pub loss: Tensor,
    /// Means of the latent codes, `[K, B, latent]`.
    pub mu: Tensor,
    /// Log-variances of the latent codes, `[K, B, latent]`.
    pub logvar: Tensor,
}

/// A code of each image from N(mu, exp(logvar)), by the reparameterisation of Kingma and Welling.
/// All are `[K, B, latent]`; noise ~ N(0, 1).
pub fn latent_code(mu: &Tensor, logvar: &Tensor, noise: &Tensor) -> Tensor {
    mu + (logvar * 0.5).exp() * noise
}

impl Elbo {
    /// The loss of a batch: binary cross-entropy summed over pixels + KL(N(mu, exp(logvar)) || N(0,
    /// I)), mean over the batch. x: `[K, B, pixels]` in 0..1; logits: `[K, B, pixels]`, decoded
    /// from a [`latent_code`] of mu and logvar.
    pub fn new(x: &Tensor, logits: &Tensor, mu: Tensor, logvar: Tensor) -> Self {
        // With the sigmoid as part of it, the cross-entropy is computed more exactly.
        let losses =
            logits.binary_cross_entropy_with_logits::<&Tensor>(x, None, None, Reduction::None);
        Self::from_sums(&sum(&losses), mu, logvar)
    }

    /// The loss from the binary cross-entropy, summed over each lane, `[K]`.
    fn from_sums(reconstruction: &Tensor, mu: Tensor, logvar: Tensor) -> Self {
        let batch = mu.size()[1] as f64;
        let divergence = sum(&(logvar.exp() + mu.square() - 1.0 - &logvar)) * 0.5;
        Self { loss: (reconstruction + divergence) / batch, mu, logvar }
    }
}

/// Sum over each lane: `[K, B, ...]` -> `[K]`.
fn sum(x: &Tensor) -> Tensor {
    x.sum_dim_intlist([1_i64, 2].as_slice(), false, Kind::Float)
}

fn linear(backend: Backend, layer: &Layer, x: &Tensor) -> Tensor {
    backend.compute.linear(x, &layer.weight, &layer.bias)
}

impl Encoder {
    /// x: `[K, B, pixels]` -> mu, logvar: `[K, B, latent]` each.
    pub fn forward(&self, x: &Tensor) -> (Tensor, Tensor) {
        let _guard = no_grad_guard();
        let hidden = linear(self.backend, &self.hidden, x).relu_(); // [K, B, hidden]
        let heads = linear(self.backend, &self.heads, &hidden); // [K, B, 2 * latent]
        let latent = heads.size()[2] / 2;
        (heads.narrow(2, 0, latent), heads.narrow(2, latent, latent))
    }
}

impl Decoder {
    /// z: `[K, B, latent]` -> logits of the pixels, `[K, B, pixels]`; their sigmoid is the image.
    pub fn forward(&self, z: &Tensor) -> Tensor {
        let _guard = no_grad_guard();
        linear(self.backend, &self.output, &linear(self.backend, &self.hidden, z).relu_())
    }
}

impl Model for Encoder {
    fn parameters(&self) -> Vec<Named> {
        let layers = [self.hidden.named("encoder.hidden"), self.heads.named("encoder.heads")];
        layers.into_iter().flatten().collect()
    }
}

impl Model for Decoder {
    fn parameters(&self) -> Vec<Named> {
        let layers = [self.hidden.named("decoder.hidden"), self.output.named("decoder.output")];
        layers.into_iter().flatten().collect()
    }
}

impl_lanes!(Encoder { hidden, heads } backend);
impl_lanes!(Decoder { hidden, output } backend);

impl Vae {
    /// Draws the initial weights of these seeds, one for each lane.
    pub fn new(pixels: i64, hidden: i64, latent: i64, seeds: &[u64], backend: Backend) -> Self {
        let streams = &mut Stream::each(seeds, Purpose::VAE_INIT);
        let mut layer = |shape: &[i64]| Layer::he(streams, shape, backend.device);
        let (encode, heads) = (layer(&[hidden, pixels]), layer(&[2 * latent, hidden]));
        let (decode, output) = (layer(&[hidden, latent]), layer(&[pixels, hidden]));
        Self {
            encoder: Encoder { hidden: encode, heads, backend },
            decoder: Decoder { hidden: decode, output, backend },
        }
    }

    /// The loss of a batch, see [`Elbo::new`], and its gradients in the order of
    /// [`Self::parameters`]. x: `[K, B, pixels]` in 0..1; noise: `[K, B, latent]` ~ N(0, 1).
    pub fn gradients(&self, x: &Tensor, noise: &Tensor) -> (Elbo, Vec<Tensor>) {
        let _guard = no_grad_guard();
        let (Encoder { hidden: encode, heads, backend }, Decoder { hidden: decode, output, .. }) =
            (&self.encoder, &self.decoder);
        let linear = |layer: &Layer, x: &Tensor| linear(*backend, layer, x);
        let batch = x.size()[1] as f64;
        // Forward.
        let encoded = linear(encode, x).relu_(); // [K, B, hidden]
        let codes = linear(heads, &encoded); // [K, B, 2 * latent]
        let latent = codes.size()[2] / 2;
        let (mu, logvar) = (codes.narrow(2, 0, latent), codes.narrow(2, latent, latent));
        let deviation = (&logvar * 0.5).exp_(); // [K, B, latent]
        let spread = &deviation * noise;
        let z = &mu + &spread;
        let decoded = linear(decode, &z).relu_(); // [K, B, hidden]
        let logits = linear(output, &decoded); // [K, B, pixels]
        // Backward: gradients of weight, bias and input of a layer from that of its output.
        let of_layer = |layer: &Layer, of_output: &Tensor, x: &Tensor| {
            let of_weight = backend.compute.transposed_product(of_output, x);
            let of_bias = of_output.sum_dim_intlist([1_i64].as_slice(), false, Kind::Float);
            (of_weight, of_bias, backend.compute.product(of_output, &layer.weight))
        };
        // Gradient of the cross-entropy by the logits: (sigmoid(logits) - x) / B.
        let (reconstruction, of_logits) = backend.compute.cross_entropy(&logits, x, 1.0 / batch);
        let (of_output, of_output_bias, of_decoded) = of_layer(output, &of_logits, &decoded);
        let of_decoded = decoded.threshold_backward(&of_decoded, 0.0);
        // of_z: [K, B, latent]
        let (of_decode, of_decode_bias, of_z) = of_layer(decode, &of_decoded, &z);
        // Gradient of the divergence by mu: mu / B; by logvar: (exp(logvar) - 1) / 2B.
        let of_mu = &of_z + &mu * (1.0 / batch);
        let mut of_divergence = (deviation.square() - 1.0) * (0.5 / batch);
        let of_logvar = of_divergence.addcmul_(&of_z, &(spread * 0.5));
        let of_codes = Tensor::cat(&[of_mu, of_logvar], 2); // [K, B, 2 * latent]
        let (of_heads, of_heads_bias, of_encoded) = of_layer(heads, &of_codes, &encoded);
        let of_encoded = encoded.threshold_backward(&of_encoded, 0.0);
        let of_encode = backend.compute.transposed_product(&of_encoded, x);
        let of_encode_bias = of_encoded.sum_dim_intlist([1_i64].as_slice(), false, Kind::Float);
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
        (Elbo::from_sums(&reconstruction, mu, logvar), gradients)
    }
}
