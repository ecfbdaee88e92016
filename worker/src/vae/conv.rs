//! The convolutional variational autoencoder: strided 4x4 convolutions with batch norm and ELU, mirrored by transposed
//! convolutions (Rannen Triki et al. 2019). Loss and interface are those of the vanilla one.
//!
//! Sizes. Each of three convolutions halves both sides, rounded down; each transposed convolution gives back the side
//! that its mirror image took in, see [`double`]. So decoded images have exactly the size of the encoded ones, whatever
//! it is: 28 -> 14 -> 7 -> 3 -> 7 -> 14 -> 28. Sides of 8 pixels or more fit.
//!
//! Channels. Of `hidden`, the width of the vanilla one's hidden layers, the convolutions have an eighth, a quarter and
//! half: 16, 32 and 64 of the published 128.
//!
//! Batch norm. While the VAE trains, encoder and decoder normalise with the statistics of the batch, and the latent
//! statistics are of codes that were computed so. Afterwards both use the running statistics: a sample of the function
//! norm then depends on its own noise alone, not on the samples that are decoded beside it.

use swfn_shared::trial::BatchNormScale;
use tch::{Device, Tensor};

use super::model::{Elbo, latent_code};
use crate::{
    model::layers::{BatchNorm, Layer, Named, NormMode, double, halve, he_filters, zero_bias},
    rng::{Purpose, Stream},
};

/// Convolutions, of encoder and of decoder.
const DEPTH: usize = 3;
/// The smallest side of an image that leaves a pixel after all convolutions.
pub const MIN_SIDE: i64 = 1 << DEPTH;

/// Sizes of the images, before the first convolution and after each. Those in comments are of 28 x 28 pixels and
/// `hidden` 128.
#[derive(Debug, Clone, Copy)]
struct Shapes {
    /// (height, width).
    sides: [(i64, i64); DEPTH + 1],
    channels: [i64; DEPTH + 1],
}

impl Shapes {
    fn new(height: i64, width: i64, hidden: i64) -> Self {
        Self {
            sides: [0, 1, 2, 3].map(|level| (height >> level, width >> level)), // 28, 14, 7, 3
            channels: [1, (hidden / 8).max(1), (hidden / 4).max(1), (hidden / 2).max(1)], // 1, 16, 32, 64
        }
    }

    /// Values of one image after the last convolution.
    fn features(&self) -> i64 {
        let (height, width) = self.sides[DEPTH];
        self.channels[DEPTH] * height * width
    }
}

/// Three times conv 4x4 / 2, BN, ELU; then mean and log-variance of the latent code.
#[derive(Debug)]
pub struct ConvEncoder {
    shapes: Shapes,
    /// Without biases, which batch norm would take away.
    convs: [Tensor; DEPTH],
    norms: [BatchNorm; DEPTH],
    /// Both heads: rows 0..latent give mu, the others logvar.
    heads: Layer,
}

/// Fully connected layer; three times BN, ELU, transposed conv 4x4 / 2.
#[derive(Debug)]
pub struct ConvDecoder {
    shapes: Shapes,
    input: Layer,
    norms: [BatchNorm; DEPTH],
    convs: [Tensor; DEPTH],
    /// Of the last convolution, `[1]`.
    bias: Tensor,
}

/// Encoder and decoder.
#[derive(Debug)]
pub struct ConvVae {
    /// x -> (mu, logvar).
    pub encoder: ConvEncoder,
    /// z -> x.
    pub decoder: ConvDecoder,
}

impl ConvEncoder {
    /// x: `[B, H * W]` -> mu, logvar: `[B, latent]` each. `mode` is batch norm's.
    pub fn forward(&self, x: &Tensor, mode: NormMode) -> (Tensor, Tensor) {
        let (height, width) = self.shapes.sides[0];
        let mut x = x.view([-1, 1, height, width]);
        for (conv, norm) in self.convs.iter().zip(&self.norms) {
            x = norm.forward(&halve(&x, conv), mode).elu(); // [B, 16, 14, 14]; [B, 32, 7, 7]; [B, 64, 3, 3]
        }
        let heads = self.heads.linear(&x.flatten(1, -1)); // [B, 2 * latent]
        let latent = heads.size()[1] / 2;
        (heads.narrow(1, 0, latent), heads.narrow(1, latent, latent))
    }

    /// All parameters, named as in PyTorch.
    pub fn parameters(&self) -> Vec<Named> {
        let [conv1, conv2, conv3] = self.convs.each_ref().map(Tensor::shallow_clone);
        let mut all =
            vec![("encoder.conv1.weight", conv1), ("encoder.conv2.weight", conv2), ("encoder.conv3.weight", conv3)];
        all.extend(affine(&self.norms, ENCODER_NORMS));
        all.push(("encoder.heads.weight", self.heads.weight.shallow_clone()));
        all.push(("encoder.heads.bias", self.heads.bias.shallow_clone()));
        all
    }

    /// The running statistics of batch norm, named as in PyTorch.
    pub fn buffers(&self) -> Vec<Named> {
        running(&self.norms, ENCODER_NORMS)
    }
}

impl ConvDecoder {
    /// z: `[B, latent]` -> logits of the pixels, `[B, H * W]`; their sigmoid is the image. `mode` is batch norm's.
    pub fn forward(&self, z: &Tensor, mode: NormMode) -> Tensor {
        let Shapes { sides, channels } = &self.shapes;
        let mut x = self.input.linear(z).view([-1, channels[DEPTH], sides[DEPTH].0, sides[DEPTH].1]); // [B, 64, 3, 3]
        for (level, (conv, norm)) in self.convs.iter().zip(&self.norms).enumerate() {
            let bias = (level == DEPTH - 1).then_some(&self.bias);
            let normed = norm.forward(&x, mode).elu();
            // [B, 32, 7, 7]; [B, 16, 14, 14]; [B, 1, 28, 28]
            x = double(&normed, conv, bias, sides[DEPTH - 1 - level]);
        }
        x.flatten(1, -1)
    }

    /// All parameters, named as in PyTorch.
    pub fn parameters(&self) -> Vec<Named> {
        let [conv1, conv2, conv3] = self.convs.each_ref().map(Tensor::shallow_clone);
        let mut all = vec![
            ("decoder.input.weight", self.input.weight.shallow_clone()),
            ("decoder.input.bias", self.input.bias.shallow_clone()),
        ];
        all.extend(affine(&self.norms, DECODER_NORMS));
        all.push(("decoder.conv1.weight", conv1));
        all.push(("decoder.conv2.weight", conv2));
        all.push(("decoder.conv3.weight", conv3));
        all.push(("decoder.conv3.bias", self.bias.shallow_clone()));
        all
    }

    /// The running statistics of batch norm, named as in PyTorch.
    pub fn buffers(&self) -> Vec<Named> {
        running(&self.norms, DECODER_NORMS)
    }
}

impl ConvVae {
    /// Draws the initial weights of that seed; scales of batch norm are 1.
    ///
    /// # Panics
    /// If a side is below [`MIN_SIDE`].
    pub fn new(height: i64, width: i64, hidden: i64, latent: i64, seed: u64, device: Device) -> Self {
        assert!(height.min(width) >= MIN_SIDE, "images of {height} x {width} pixels leave nothing to the convolutions");
        let stream = &mut Stream::new(seed, Purpose::VaeInit);
        let shapes = Shapes::new(height, width, hidden);
        let [c0, c1, c2, c3] = shapes.channels;
        // Ones: nothing is drawn for batch norm.
        let norms = |stream: &mut Stream, channels: [i64; DEPTH]| {
            channels.map(|channels| BatchNorm::new(BatchNormScale::Ones, stream, channels, device))
        };
        let mut conv = |(inputs, outputs)| he_filters(stream, [outputs, inputs, 4, 4], 16 * inputs, device);
        let convs = [(c0, c1), (c1, c2), (c2, c3)].map(&mut conv);
        let encoder = ConvEncoder {
            shapes,
            convs,
            norms: norms(stream, [c1, c2, c3]),
            heads: Layer::he(stream, &[2 * latent, shapes.features()], device),
        };
        let input = Layer::he(stream, &[shapes.features(), latent], device);
        // Of a filter's 16 pixels, every second one in each direction meets an output.
        let mut conv = |(inputs, outputs)| he_filters(stream, [inputs, outputs, 4, 4], 4 * inputs, device);
        let convs = [(c3, c2), (c2, c1), (c1, c0)].map(&mut conv);
        let norms = norms(stream, [c3, c2, c1]);
        Self { encoder, decoder: ConvDecoder { shapes, input, norms, convs, bias: zero_bias(c0, device) } }
    }

    /// The loss of a batch in training mode, see [`Elbo::new`]; moves the running statistics. x: `[B, H * W]` in 0..1;
    /// noise: `[B, latent]` ~ N(0, 1).
    pub fn forward(&self, x: &Tensor, noise: &Tensor) -> Elbo {
        let (mu, logvar) = self.encoder.forward(x, NormMode::Train);
        let logits = self.decoder.forward(&latent_code(&mu, &logvar, noise), NormMode::Train); // [B, H * W]
        Elbo::new(x, &logits, mu, logvar)
    }

    /// All parameters, named as in PyTorch.
    pub fn parameters(&self) -> Vec<Named> {
        [self.encoder.parameters(), self.decoder.parameters()].into_iter().flatten().collect()
    }

    /// What training changes besides the parameters: the running statistics of batch norm, named as in PyTorch.
    pub fn buffers(&self) -> Vec<Named> {
        [self.encoder.buffers(), self.decoder.buffers()].into_iter().flatten().collect()
    }
}

/// Names of the scale, shift, running mean and running variance of each batch norm.
type NormNames = [[&'static str; 4]; DEPTH];

const ENCODER_NORMS: NormNames = [
    ["encoder.bn1.weight", "encoder.bn1.bias", "encoder.bn1.running_mean", "encoder.bn1.running_var"],
    ["encoder.bn2.weight", "encoder.bn2.bias", "encoder.bn2.running_mean", "encoder.bn2.running_var"],
    ["encoder.bn3.weight", "encoder.bn3.bias", "encoder.bn3.running_mean", "encoder.bn3.running_var"],
];

const DECODER_NORMS: NormNames = [
    ["decoder.bn1.weight", "decoder.bn1.bias", "decoder.bn1.running_mean", "decoder.bn1.running_var"],
    ["decoder.bn2.weight", "decoder.bn2.bias", "decoder.bn2.running_mean", "decoder.bn2.running_var"],
    ["decoder.bn3.weight", "decoder.bn3.bias", "decoder.bn3.running_mean", "decoder.bn3.running_var"],
];

/// Scales and shifts.
fn affine(norms: &[BatchNorm; DEPTH], names: NormNames) -> Vec<Named> {
    let norms = norms.iter().zip(names);
    norms.flat_map(|(n, [w, b, _, _])| [(w, n.scale.shallow_clone()), (b, n.shift.shallow_clone())]).collect()
}

/// Running means and variances.
fn running(norms: &[BatchNorm; DEPTH], names: NormNames) -> Vec<Named> {
    let norms = norms.iter().zip(names);
    norms
        .flat_map(|(n, [_, _, m, v])| [(m, n.running_mean.shallow_clone()), (v, n.running_var.shallow_clone())])
        .collect()
}

#[cfg(test)]
mod tests {
    use tch::no_grad;

    use super::*;

    fn normal(rows: i64, columns: i64) -> Tensor {
        Tensor::from_slice(&Stream::new(3, Purpose::VaeNoise).normal((rows * columns) as usize)).view([rows, columns])
    }

    #[test]
    fn images_of_any_size_come_back_in_their_size() {
        for (height, width) in [(28, 28), (32, 32), (61, 64), (8, 15), (64, 9)] {
            let vae = ConvVae::new(height, width, 16, 5, 0, Device::Cpu);
            let elbo = vae.forward(&normal(4, height * width).sigmoid(), &normal(4, 5));
            assert_eq!((elbo.mu.size(), elbo.logvar.size()), (vec![4, 5], vec![4, 5]));
            assert!(elbo.loss.double_value(&[]).is_finite());
            assert_eq!(
                vae.decoder.forward(&normal(4, 5), NormMode::Eval).size(),
                [4, height * width],
                "{height} x {width}"
            );
        }
    }

    #[test]
    fn channels_follow_the_hidden_width() {
        assert_eq!(Shapes::new(28, 28, 128).channels, [1, 16, 32, 64]);
        assert_eq!(Shapes::new(28, 28, 1).channels, [1, 1, 1, 1]);
        assert_eq!(Shapes::new(28, 28, 128).features(), 64 * 3 * 3);
    }

    #[test]
    fn samples_after_training_do_not_depend_on_each_other() {
        let vae = ConvVae::new(28, 28, 16, 5, 0, Device::Cpu);
        let z = normal(6, 5);
        let decode = |z: &Tensor, mode| no_grad(|| vae.decoder.forward(z, mode));
        let apart =
            |mode| (decode(&z, mode).narrow(0, 0, 2) - decode(&z.narrow(0, 0, 2), mode)).abs().max().double_value(&[]);
        assert!(apart(NormMode::Eval) < 1e-5);
        assert!(apart(NormMode::TrainNoUpdate) > 1e-2);
    }
}
