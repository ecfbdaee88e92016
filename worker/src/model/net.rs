//! `net`: the network for dropout (Rannen Triki et al. 2019, section 4).

use tch::{Device, Tensor};

use super::{
    layers::{InputShape, Layer, Named, with_channel},
    tape::Tape,
};
use crate::rng::{Purpose, Stream};

/// conv 1->10 5x5, max-pool 2, ReLU; conv 10->20 5x5, `[channel dropout]`, max-pool 2, ReLU; fully connected 320->50,
/// ReLU, `[dropout]`; 50->10.
#[derive(Debug)]
pub struct Net {
    conv1: Layer,
    conv2: Layer,
    fc1: Layer,
    fc2: Layer,
}

/// The factors of one forward pass with dropout: 0, or 1 / (1 - probability); 1 in rows without dropout.
#[derive(Debug)]
pub struct DropoutMasks {
    /// Of the channels of the second convolution, `[N, 20]`.
    pub channels: Tensor,
    /// Of the first fully connected layer, `[N, 50]`.
    pub hidden: Tensor,
}

impl Net {
    /// Channels of the second convolution.
    pub const CHANNELS: i64 = 20;
    /// Outputs of the first fully connected layer.
    pub const HIDDEN: i64 = 50;

    /// Draws the initial weights of that seed.
    pub fn new(input: InputShape, seed: u64, device: Device) -> Self {
        let stream = &mut Stream::new(seed, Purpose::ClassifierInit);
        let (height, width) = input.after_two_convolutions();
        Self {
            conv1: Layer::uniform(stream, &[10, 1, 5, 5], device),
            conv2: Layer::uniform(stream, &[Self::CHANNELS, 10, 5, 5], device),
            fc1: Layer::uniform(stream, &[Self::HIDDEN, Self::CHANNELS * height * width], device),
            fc2: Layer::uniform(stream, &[input.classes, Self::HIDDEN], device),
        }
    }

    /// images: `[N, 28, 28]` -> logits: `[N, classes]`. Sizes in comments are those of 28 x 28 pixels. `tape`: for
    /// gradients.
    pub fn forward(&self, images: &Tensor, dropout: Option<&DropoutMasks>, mut tape: Option<&mut Tape>) -> Tensor {
        let x = self.conv1.conv_pool(&with_channel(images), true, tape.as_deref_mut()); // [N, 10, 12, 12]
        let x = self.conv2.conv_pool(&x, true, tape.as_deref_mut()); // [N, 20, 4, 4]
        // Pooling and ReLU commute with factors that are not negative, so the masks may come after them, on a quarter
        // of the values.
        let x = match dropout {
            Some(masks) => x * masks.channels.unsqueeze(-1).unsqueeze(-1),
            None => x,
        };
        let x = self.fc1.connect(&x, true, tape.as_deref_mut()); // [N, 50]
        let x = match dropout {
            Some(masks) => x * &masks.hidden,
            None => x,
        };
        self.fc2.connect(&x, false, tape) // [N, classes]
    }

    /// All parameters, named as in PyTorch.
    pub fn parameters(&self) -> Vec<Named> {
        let layers = [&self.conv1, &self.conv2, &self.fc1, &self.fc2];
        let names = [
            ("conv1.weight", "conv1.bias"),
            ("conv2.weight", "conv2.bias"),
            ("fc1.weight", "fc1.bias"),
            ("fc2.weight", "fc2.bias"),
        ];
        let pairs = layers.into_iter().zip(names);
        pairs
            .flat_map(|(l, (weight, bias))| [(weight, l.weight.shallow_clone()), (bias, l.bias.shallow_clone())])
            .collect()
    }
}
