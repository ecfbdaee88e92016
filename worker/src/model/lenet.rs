//! `lenet`: the network for batch norm (Rannen Triki et al. 2019, section 4).

use swfn_shared::trial::BatchNormScale;
use tch::{Device, Tensor};

use super::{
    layers::{BatchNorm, InputShape, Layer, Named, NormMode, with_channel},
    tape::Tape,
};
use crate::rng::{Purpose, Stream};

/// Classes up to which the last two layers are computed as one.
const FEW_CLASSES: i64 = 16;

/// conv 1->20 5x5, max-pool 2, `[BN]`; conv 20->50 5x5, max-pool 2, `[BN]`; conv 50->500 4x4, `[BN]`; fully connected
/// 500->10. It has no activation function besides max-pooling.
#[derive(Debug)]
pub struct Lenet {
    conv1: Layer,
    conv2: Layer,
    /// The third convolution covers its whole input, so it is held as the fully connected layer that it is: [500, 50 *
    /// 4 * 4].
    conv3: Layer,
    fc: Layer,
    norms: Option<[BatchNorm; 3]>,
    /// Height and width of the third convolution's input.
    last: (i64, i64),
}

impl Lenet {
    /// Draws the initial weights of that seed. `batch_norm`: its initial scale, `None` without batch norm.
    pub fn new(input: InputShape, batch_norm: Option<BatchNormScale>, seed: u64, device: Device) -> Self {
        let stream = &mut Stream::new(seed, Purpose::ClassifierInit);
        let scales = &mut Stream::new(seed, Purpose::BatchNormInit);
        let (height, width) = input.after_two_convolutions();
        Self {
            conv1: Layer::uniform(stream, &[20, 1, 5, 5], device),
            conv2: Layer::uniform(stream, &[50, 20, 5, 5], device),
            conv3: Layer::uniform(stream, &[500, 50 * height * width], device),
            fc: Layer::uniform(stream, &[input.classes, 500], device),
            norms: batch_norm
                .map(|scale| [20, 50, 500].map(|channels| BatchNorm::new(scale, scales, channels, device))),
            last: (height, width),
        }
    }

    /// Whether a forward pass in training mode depends on all of its rows together.
    pub fn has_batch_norm(&self) -> bool {
        self.norms.is_some()
    }

    /// images: `[N, 28, 28]` -> logits: `[N, classes]`. Sizes in comments are those of 28 x 28 pixels. `mode`
    /// matters to batch norm alone; `tape` is for gradients.
    pub fn forward(&self, images: &Tensor, mode: NormMode, mut tape: Option<&mut Tape>) -> Tensor {
        let norm = |index: usize, x: Tensor| match &self.norms {
            Some(norms) => norms[index].forward(&x, mode),
            None => x,
        };
        let x = norm(0, self.conv1.conv_pool(&with_channel(images), false, tape.as_deref_mut())); // [N, 20, 12, 12]
        let x = norm(1, self.conv2.conv_pool(&x, false, tape.as_deref_mut())); // [N, 50, 4, 4]
        match &self.norms {
            // Without batch norm between them the last two layers are one linear map, a small one: [classes, 800]. With
            // more classes than a step has images, the product of the layers would take longer than the layers.
            None if self.fc.weight.size()[0] <= FEW_CLASSES => self.fc.after(&self.conv3).linear(&x.flatten(1, -1)), // [N, 800] -> [N, classes]
            _ => {
                let x = norm(2, self.conv3.connect(&x, false, tape.as_deref_mut())); // [N, 500]
                self.fc.connect(&x, false, tape) // [N, classes]
            }
        }
    }

    /// The weight of the third convolution as what it is: `[500, 50 * 4 * 4]` -> `[500, 50, 4, 4]`.
    pub fn as_convolution(&self, weight: &Tensor) -> Tensor {
        weight.view([500, 50, self.last.0, self.last.1])
    }

    /// All parameters, named as in PyTorch.
    pub fn parameters(&self) -> Vec<Named> {
        let layers = [&self.conv1, &self.conv2, &self.conv3, &self.fc];
        let names = [
            ("conv1.weight", "conv1.bias"),
            ("conv2.weight", "conv2.bias"),
            ("conv3.weight", "conv3.bias"),
            ("fc.weight", "fc.bias"),
        ];
        let pairs = layers.into_iter().zip(names);
        let mut all: Vec<Named> = pairs
            .flat_map(|(l, (weight, bias))| [(weight, l.weight.shallow_clone()), (bias, l.bias.shallow_clone())])
            .collect();
        let names = [("bn1.weight", "bn1.bias"), ("bn2.weight", "bn2.bias"), ("bn3.weight", "bn3.bias")];
        for (norm, (scale, shift)) in self.norms.iter().flatten().zip(names) {
            all.extend([(scale, norm.scale.shallow_clone()), (shift, norm.shift.shallow_clone())]);
        }
        all
    }

    /// What training changes besides the parameters: the running statistics of batch norm, named as in PyTorch.
    pub fn buffers(&self) -> Vec<Named> {
        let names = [
            ("bn1.running_mean", "bn1.running_var"),
            ("bn2.running_mean", "bn2.running_var"),
            ("bn3.running_mean", "bn3.running_var"),
        ];
        let norms = self.norms.iter().flatten().zip(names);
        norms
            .flat_map(|(n, (m, v))| [(m, n.running_mean.shallow_clone()), (v, n.running_var.shallow_clone())])
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_layers_are_the_same_together_and_apart() {
        let images = Stream::new(0, Purpose::Subset).normal(3 * 20 * 33);
        let images = Tensor::from_slice(&images).view([3, 20, 33]);
        // Up to the bias of the last layer, the logits of the first classes do not depend on how many there are.
        let [together, apart] = [FEW_CLASSES, FEW_CLASSES + 1].map(|classes| {
            let lenet = Lenet::new(InputShape { height: 20, width: 33, classes }, None, 1, Device::Cpu);
            (lenet.forward(&images, NormMode::Eval, None) - &lenet.fc.bias).narrow(1, 0, FEW_CLASSES)
        });
        let size = together.abs().max().double_value(&[]);
        let apart = (together - apart).abs().max().double_value(&[]);
        assert!(apart < 1e-5 * size, "{apart} of {size}");
    }
}
