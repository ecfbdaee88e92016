//! `lenet`: the network for batch norm (Rannen Triki et al. 2019, section 4).

use swfn_shared::trial::BatchNormScale;
use tch::Device;

use super::{
    layers::{BatchNorm, InputShape, Layer},
    op::{Inputs, Op},
};
use crate::rng::{Purpose, Stream};

/// Classes up to which the last two layers are computed as one. With more classes than a step has images, the product of
/// the layers would take longer than the layers.
const FEW_CLASSES: i64 = 16;

/// conv C->20 5x5, max-pool 2, `[BN]`; conv 20->50 5x5, max-pool 2, `[BN]`; conv 50->500 4x4, `[BN]`; fully connected
/// 500->10. It has no activation function besides max-pooling. The third convolution covers its whole input, so it is held
/// as the fully connected layer that it is. With the initial weights of a seed in each lane; `batch_norm`: its initial
/// scale, `None` without batch norm.
pub(super) fn new(input: InputShape, batch_norm: Option<BatchNormScale>, seeds: &[u64], device: Device) -> Vec<Op> {
    let streams = &mut Stream::each(seeds, Purpose::ClassifierInit);
    let scales = &mut Stream::each(seeds, Purpose::BatchNormInit);
    let (height, width) = input.after_two_convolutions();
    let inputs = Inputs::Image((height, width));
    let mut layer = |shape: &[i64]| Layer::uniform(streams, shape, device);
    // [K, N, 12, 12, 20] of 28 x 28 pixels
    let conv1 = Op::ConvPool {
        names: ["conv1.weight", "conv1.bias"],
        layer: layer(&[20, 5, 5, input.image.channels.into()]),
        relu: false,
    };
    let conv2 = Op::ConvPool { names: ["conv2.weight", "conv2.bias"], layer: layer(&[50, 5, 5, 20]), relu: false }; // [K, N, 4, 4, 50]
    let (conv3_names, conv3) = (["conv3.weight", "conv3.bias"], layer(&[500, 50 * height * width])); // [K, N, 500]
    let (fc_names, fc) = (["fc.weight", "fc.bias"], layer(&[input.classes, 500])); // [K, N, classes]
    let one_by_one = |conv3, fc| {
        [
            Op::Linear { names: conv3_names, layer: conv3, relu: false, inputs },
            Op::Linear { names: fc_names, layer: fc, relu: false, inputs: Inputs::Values },
        ]
    };
    match batch_norm {
        None if input.classes <= FEW_CLASSES => {
            vec![conv1, conv2, Op::TwoLinear { names: [conv3_names, fc_names], first: conv3, second: fc, inputs }]
        }
        None => {
            let [conv3, fc] = one_by_one(conv3, fc);
            vec![conv1, conv2, conv3, fc]
        }
        Some(scale) => {
            let mut norm = |names, channels| {
                let norm = BatchNorm::new(scale, scales, channels, device);
                Op::BatchNorm { names, norm }
            };
            let bn1 = norm(["bn1.weight", "bn1.bias", "bn1.running_mean", "bn1.running_var"], 20);
            let bn2 = norm(["bn2.weight", "bn2.bias", "bn2.running_mean", "bn2.running_var"], 50);
            let bn3 = norm(["bn3.weight", "bn3.bias", "bn3.running_mean", "bn3.running_var"], 500);
            let [conv3, fc] = one_by_one(conv3, fc);
            vec![conv1, bn1, conv2, bn2, conv3, bn3, fc]
        }
    }
}

#[cfg(test)]
mod tests {
    use swfn_shared::image::ImageShape;
    use tch::{Device, Tensor};

    use super::*;
    use crate::model::network::Network;

    #[test]
    fn the_last_layers_are_the_same_together_and_apart() {
        let images = Stream::new(0, Purpose::Subset).normal(3 * 20 * 33);
        let images = Tensor::from_slice(&images).view([1, 3, 20, 33, 1]);
        // Up to the bias of the last layer, the logits of the first classes do not depend on how many there are.
        let [together, apart] = [FEW_CLASSES, FEW_CLASSES + 1].map(|classes| {
            let input = InputShape { image: ImageShape::grey(20, 33), classes };
            let lenet = Network::of(new(input, None, &[1], Device::Cpu), Device::Cpu.into());
            let parameters = lenet.parameters();
            let (_, bias) = parameters.iter().find(|(name, _)| *name == "fc.bias").unwrap();
            (lenet.test_logits(&images) - bias.unsqueeze(1)).narrow(2, 0, FEW_CLASSES)
        });
        let size = together.abs().max().double_value(&[]);
        assert!((together - apart).abs().max().double_value(&[]) < 1e-5 * size);
    }
}
