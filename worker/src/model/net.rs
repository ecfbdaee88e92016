//! `net`: the network for dropout (Rannen Triki et al. 2019, section 4).

use tch::Device;

use super::{
    layers::{InputShape, Layer},
    op::{Inputs, Op, Site},
};
use crate::rng::{Purpose, Stream};

/// Channels of the second convolution.
pub const CHANNELS: i64 = 20;
/// Outputs of the first fully connected layer.
pub const HIDDEN: i64 = 50;

/// conv C->10 5x5, max-pool 2, ReLU; conv 10->20 5x5, `[channel dropout]`, max-pool 2, ReLU; fully connected 320->50,
/// ReLU, `[dropout]`; 50->10. With the initial weights of a seed in each lane.
pub(super) fn new(input: InputShape, seeds: &[u64], device: Device) -> Vec<Op> {
    let streams = &mut Stream::each(seeds, Purpose::ClassifierInit);
    let (height, width) = input.after_two_convolutions();
    let mut layer = |shape: &[i64]| Layer::uniform(streams, shape, device);
    vec![
        // [K, N, 12, 12, 10] of 28 x 28 pixels
        Op::ConvPool {
            names: ["conv1.weight", "conv1.bias"],
            layer: layer(&[10, 5, 5, input.image.channels.into()]),
            relu: true,
        },
        Op::ConvPool { names: ["conv2.weight", "conv2.bias"], layer: layer(&[CHANNELS, 5, 5, 10]), relu: true }, // [K, N, 4, 4, 20]
        // Pooling and ReLU commute with factors that are not negative, so the masks may come after them, on a quarter of
        // the values.
        Op::Dropout(Site::Channels),
        Op::Linear {
            names: ["fc1.weight", "fc1.bias"],
            layer: layer(&[HIDDEN, CHANNELS * height * width]),
            relu: true,
            inputs: Inputs::Flattened((height, width)),
        }, // [K, N, 50]
        Op::Dropout(Site::Hidden),
        Op::Linear {
            names: ["fc2.weight", "fc2.bias"],
            layer: layer(&[input.classes, HIDDEN]),
            relu: false,
            inputs: Inputs::Values,
        }, // [K, N, classes]
    ]
}
