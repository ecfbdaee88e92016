//! The convolutional variational autoencoder (Rannen Triki et al. 2017): strided 4x4 convolutions
//! with batch norm and ELU, mirrored by transposed convolutions. Loss and interface are those of
//! the vanilla one.
//!
//! Sizes. Each of three convolutions halves both sides, rounded down. Each transposed convolution
//! restores the side of its mirror image, see `double`: 28 -> 14 -> 7 -> 3 -> 7 -> 14 -> 28. So
//! decoded images have the size of the encoded ones, if their sides have 8 pixels or more.
//!
//! Channels. The convolutions have an eighth, a quarter and half of `hidden`, the width of the
//! vanilla one's hidden layers: 16, 32 and 64 of the published 128.
//!
//! Batch norm. In training, encoder and decoder normalise with the statistics of the batch, and the
//! latent statistics come from such codes. Afterwards both use the running statistics. So a sample
//! of the function norm depends on its own noise alone, and not on samples that are decoded beside
//! it.
//!
//! Lanes. All K lanes are channels of one image, and the convolutions are grouped. Few trials use
//! this VAE, and autograd computes its gradients.

use swfn_shared::trial::BatchNormScale;
use tch::{Device, Tensor};

use super::model::{Autoencoder, Elbo, latent_code};
use crate::{
    lanes::{Model, Named, impl_lanes, named},
    layers::{BatchNorm, Layer, NormMode, he, stacked},
    rng::{Purpose, Stream},
};

/// Number of convolutions of the encoder, and of the decoder.
const DEPTH: usize = 3;
/// The smallest side of an image that leaves a pixel after all convolutions.
pub const MIN_SIDE: i64 = 1 << DEPTH;

/// Sizes of the images, before the first convolution and after each. Comments give them for 28 x 28
/// pixels and `hidden` 128.
#[derive(Debug, Clone, Copy)]
struct Shapes {
    /// Heights and widths.
    sides: [(i64, i64); DEPTH + 1],
    channels: [i64; DEPTH + 1],
}

impl Shapes {
    fn new([height, width, channels]: [i64; 3], hidden: i64) -> Self {
        Self {
            sides: [0, 1, 2, 3].map(|level| (height >> level, width >> level)), // 28, 14, 7, 3
            // 1, 16, 32, 64
            channels: [channels, (hidden / 8).max(1), (hidden / 4).max(1), (hidden / 2).max(1)],
        }
    }

    /// Values of one image after the last convolution.
    fn features(&self) -> i64 {
        let (height, width) = self.sides[DEPTH];
        self.channels[DEPTH] * height * width
    }
}

/// Three times conv 4x4 / 2, batch norm, ELU; then mean and log-variance of the latent code.
#[derive(Debug)]
pub struct ConvEncoder {
    shapes: Shapes,
    /// Filters. There are no biases, since batch norm would subtract them.
    convs: [Tensor; DEPTH],
    norms: [BatchNorm; DEPTH],
    /// Both heads: rows 0..latent yield mu, the others logvar.
    heads: Layer,
}

/// Fully connected layer; then three times batch norm, ELU, transposed conv 4x4 / 2.
#[derive(Debug)]
pub struct ConvDecoder {
    shapes: Shapes,
    input: Layer,
    norms: [BatchNorm; DEPTH],
    convs: [Tensor; DEPTH],
    /// Bias of the last convolution, `[C]`.
    bias: Tensor,
}

/// An autoencoder of strided convolutions.
pub type ConvVae = Autoencoder<ConvEncoder, ConvDecoder>;

/// Convolution with filters of 4 x 4 pixels, stride 2, padding 1. x: `[B, K * inputs, H, W]`,
/// weight: `[K, outputs, inputs, 4, 4]` -> `[B, K * outputs, H / 2, W / 2]`, rounded down.
fn halve(x: &Tensor, weight: &Tensor) -> Tensor {
    x.conv2d::<&Tensor>(&weight.flatten(0, 1), None, [2, 2], [1, 1], [1, 1], weight.size()[0])
}

/// The mirror of [`halve`]: the transposed convolution with the same size of filters, stride and
/// padding. x: `[B, K * inputs, H / 2, W / 2]`, rounded down, weight: `[K, inputs, outputs, 4, 4]`
/// -> `[B, K * outputs, H, W]`, where `size` is (H, W). Odd sides need one more row or column of
/// padding.
fn double(x: &Tensor, weight: &Tensor, bias: Option<&Tensor>, size: (i64, i64)) -> Tensor {
    let bias = bias.map(|bias| bias.flatten(0, 1));
    let padding = [size.0 % 2, size.1 % 2];
    x.conv_transpose2d(
        &weight.flatten(0, 1),
        bias.as_ref(),
        [2, 2],
        [1, 1],
        padding,
        weight.size()[0],
        [1, 1],
    )
}

/// Batch norm and ELU. x: `[B, K * channels, H, W]`.
fn norm_elu(norm: &BatchNorm, x: &Tensor, mode: NormMode) -> Tensor {
    let [scale, shift, mean, var] =
        [&norm.scale, &norm.shift, &norm.running_mean, &norm.running_var].map(|x| x.flatten(0, 1));
    let (mean, var) = match mode {
        NormMode::Train | NormMode::Eval => (Some(&mean), Some(&var)),
        NormMode::TrainNoUpdate => (None, None),
    };
    let (training, momentum) = (mode != NormMode::Eval, BatchNorm::MOMENTUM);
    let (scale, shift, epsilon) = (Some(&scale), Some(&shift), BatchNorm::EPSILON);
    x.batch_norm(scale, shift, mean, var, training, momentum, epsilon, true).elu()
}

/// x: `[K, B, inputs]` -> `[K, B, outputs]`, for autograd.
fn linear(layer: &Layer, x: &Tensor) -> Tensor {
    layer.bias.unsqueeze(1).baddbmm(x, &layer.weight.transpose(1, 2), 1, 1)
}

impl ConvEncoder {
    /// x: `[K, B, H * W * C]` -> mu, logvar: `[K, B, latent]` each. `mode` is batch norm's.
    pub fn forward(&self, x: &Tensor, mode: NormMode) -> (Tensor, Tensor) {
        let (lanes, channels, (height, width)) =
            (x.size()[0], self.shapes.channels[0], self.shapes.sides[0]);
        let x = x.view([lanes, -1, height, width, channels]).permute([1, 0, 4, 2, 3]);
        let mut x = x.reshape([-1, lanes * channels, height, width]); // [B, K * C, H, W]
        for (conv, norm) in self.convs.iter().zip(&self.norms) {
            // [B, K * 16, 14, 14]; [B, K * 32, 7, 7]; [B, K * 64, 3, 3]
            x = norm_elu(norm, &halve(&x, conv), mode);
        }
        // [K, B, features]
        let features = x.reshape([-1, lanes, self.shapes.features()]).transpose(0, 1);
        let heads = linear(&self.heads, &features); // [K, B, 2 * latent]
        let latent = heads.size()[2] / 2;
        (heads.narrow(2, 0, latent), heads.narrow(2, latent, latent))
    }
}

impl Model for ConvEncoder {
    fn parameters(&self) -> Vec<Named> {
        let convs = numbered("encoder.conv", &self.convs, filters);
        let norms = numbered("encoder.bn", &self.norms, BatchNorm::parameters);
        convs.chain(norms).chain(self.heads.named("encoder.heads")).collect()
    }

    fn buffers(&self) -> Vec<Named> {
        numbered("encoder.bn", &self.norms, BatchNorm::buffers).collect()
    }
}

impl_lanes!(ConvEncoder { convs, norms, heads } shapes);

impl ConvDecoder {
    /// z: `[K, B, latent]` -> logits of the pixels, `[K, B, H * W * C]`; their sigmoid is the
    /// image. `mode` is batch norm's.
    pub fn forward(&self, z: &Tensor, mode: NormMode) -> Tensor {
        let Shapes { sides, channels } = &self.shapes;
        let lanes = z.size()[0];
        let features = linear(&self.input, z).transpose(0, 1); // [B, K, features]
        // [B, K * 64, 3, 3]
        let mut x = features.reshape([-1, lanes * channels[DEPTH], sides[DEPTH].0, sides[DEPTH].1]);
        for (level, (conv, norm)) in self.convs.iter().zip(&self.norms).enumerate() {
            let bias = (level == DEPTH - 1).then_some(&self.bias);
            let normed = norm_elu(norm, &x, mode);
            // [B, K * 32, 7, 7]; [B, K * 16, 14, 14]; [B, K * C, 28, 28]
            x = double(&normed, conv, bias, sides[DEPTH - 1 - level]);
        }
        let (height, width) = sides[0];
        x.reshape([-1, lanes, channels[0], height, width]).permute([1, 0, 3, 4, 2]).flatten(2, -1)
    }
}

impl Model for ConvDecoder {
    fn parameters(&self) -> Vec<Named> {
        let norms = numbered("decoder.bn", &self.norms, BatchNorm::parameters);
        let convs = numbered("decoder.conv", &self.convs, filters);
        let bias = named("decoder.conv3.bias", &self.bias);
        let input = self.input.named("decoder.input").into_iter();
        input.chain(norms).chain(convs).chain([bias]).collect()
    }

    fn buffers(&self) -> Vec<Named> {
        numbered("decoder.bn", &self.norms, BatchNorm::buffers).collect()
    }
}

impl_lanes!(ConvDecoder { input, norms, convs, bias } shapes);

/// The filters of a convolution, as PyTorch names them.
fn filters(conv: &Tensor, layer: &str) -> Vec<Named> {
    vec![named(format!("{layer}.weight"), conv)]
}

/// Tensors of layers that are numbered from 1.
fn numbered<'l, L>(
    prefix: &'static str,
    layers: &'l [L],
    tensors: impl Fn(&L, &str) -> Vec<Named> + 'l,
) -> impl Iterator<Item = Named> + 'l {
    let layers = (1..).zip(layers);
    layers.flat_map(move |(number, layer)| tensors(layer, &format!("{prefix}{number}")))
}

impl ConvVae {
    /// Draws the initial weights of these seeds, one for each lane. Scales of batch norm are 1.
    ///
    /// # Panics
    /// If a side is below [`MIN_SIDE`].
    pub fn new(image: [i64; 3], hidden: i64, latent: i64, seeds: &[u64], device: Device) -> Self {
        let [height, width, _] = image;
        assert!(
            height.min(width) >= MIN_SIDE,
            "images of {height} x {width} pixels leave nothing to the convolutions"
        );
        let streams = &mut Stream::each(seeds, Purpose::VAE_INIT);
        let shapes = Shapes::new(image, hidden);
        let [c0, c1, c2, c3] = shapes.channels;
        // As scales are ones, nothing is drawn for batch norm.
        let norms = |streams: &mut [Stream], channels: [i64; DEPTH]| {
            channels.map(|channels| BatchNorm::new(BatchNormScale::Ones, streams, channels, device))
        };
        let filters = |streams: &mut [Stream], shape: [i64; 4], fan_in| {
            let count = shape.iter().product::<i64>() as usize;
            let values: Vec<_> =
                streams.iter_mut().map(|stream| he(stream, count, fan_in)).collect();
            stacked(&values, &shape, device)
        };
        let convs = [(c0, c1), (c1, c2), (c2, c3)]
            .map(|(inputs, outputs)| filters(streams, [outputs, inputs, 4, 4], 16 * inputs));
        let encoder = ConvEncoder {
            shapes,
            convs,
            norms: norms(streams, [c1, c2, c3]),
            heads: Layer::he(streams, &[2 * latent, shapes.features()], device),
        };
        let input = Layer::he(streams, &[shapes.features(), latent], device);
        // Every second one of a filter's 16 pixels in each direction meets an output.
        let convs = [(c3, c2), (c2, c1), (c1, c0)]
            .map(|(inputs, outputs)| filters(streams, [inputs, outputs, 4, 4], 4 * inputs));
        let norms = norms(streams, [c3, c2, c1]);
        let bias = stacked(&vec![vec![0.0; c0 as usize]; seeds.len()], &[c0], device);
        let vae = Self { encoder, decoder: ConvDecoder { shapes, input, norms, convs, bias } };
        for (_, parameter) in vae.parameters() {
            let _ = parameter.set_requires_grad(true);
        }
        vae
    }

    /// The loss of a batch in training mode, see [`Elbo::new`], and its gradients in the order of
    /// [`Self::parameters`]. It moves the running statistics. x: `[K, B, H * W * C]` in 0..1;
    /// noise: `[K, B, latent]` ~ N(0, 1).
    pub fn gradients(&self, x: &Tensor, noise: &Tensor) -> (Elbo, Vec<Tensor>) {
        let (mu, logvar) = self.encoder.forward(x, NormMode::Train);
        // [K, B, H * W]
        let logits = self.decoder.forward(&latent_code(&mu, &logvar, noise), NormMode::Train);
        let elbo = Elbo::new(x, &logits, mu, logvar);
        let parameters: Vec<_> = self.parameters().into_iter().map(|(_, tensor)| tensor).collect();
        // A lane's loss does not depend on another lane's parameters.
        let loss = elbo.loss.sum(tch::Kind::Float);
        let gradients = Tensor::run_backward(&[loss], &parameters, false, false);
        (elbo, gradients)
    }
}

#[cfg(test)]
mod tests {
    use tch::no_grad;

    use super::*;

    /// Normal numbers of one lane.
    fn normal(rows: i64, columns: i64) -> Tensor {
        Tensor::from_slice(&Stream::new(3, Purpose::VAE_NOISE).normal((rows * columns) as usize))
            .view([1, rows, columns])
    }

    #[test]
    fn decoded_images_have_the_size_of_encoded_ones() {
        for image in [[28, 28, 1], [9, 12, 3], [13, 24, 1], [8, 15, 2], [30, 9, 1]] {
            let vae = ConvVae::new(image, 8, 5, &[0], Device::Cpu);
            let values = image.iter().product();
            let (elbo, _) = vae.gradients(&normal(4, values).sigmoid(), &normal(4, 5));
            assert_eq!((elbo.mu.size(), elbo.logvar.size()), (vec![1, 4, 5], vec![1, 4, 5]));
            assert!(elbo.loss.double_value(&[0]).is_finite());
            assert_eq!(
                vae.decoder.forward(&normal(4, 5), NormMode::Eval).size(),
                [1, 4, values],
                "{image:?}"
            );
        }
    }

    #[test]
    fn channels_follow_the_hidden_width() {
        assert_eq!(Shapes::new([28, 28, 1], 128).channels, [1, 16, 32, 64]);
        assert_eq!(Shapes::new([28, 28, 1], 1).channels, [1, 1, 1, 1]);
        assert_eq!(Shapes::new([28, 28, 1], 128).features(), 64 * 3 * 3);
    }

    #[test]
    fn samples_after_training_are_independent() {
        let vae = ConvVae::new([28, 28, 1], 16, 5, &[0], Device::Cpu);
        let z = normal(6, 5);
        let decode = |z: &Tensor, mode| no_grad(|| vae.decoder.forward(z, mode));
        let apart = |mode| {
            (decode(&z, mode).narrow(1, 0, 2) - decode(&z.narrow(1, 0, 2), mode))
                .abs()
                .max()
                .double_value(&[])
        };
        assert!(apart(NormMode::Eval) < 1e-5);
        assert!(apart(NormMode::TrainNoUpdate) > 1e-2);
    }
}
