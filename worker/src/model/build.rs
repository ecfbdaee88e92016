//! Operations from a list of layers. Each layer is one operation, unless a faster kernel joins it
//! with those before it.

use super::op::{Inputs, Learnt, Op};
use crate::{
    compute::{Backend, kernels::CONV_POOL_SIDE},
    layers::{BatchNorm, Layer},
    rng::{Purpose, Stream},
};
use swfn_shared::{
    layers::{Kernel, LayerSpec, Placed, Shape},
    trial::BatchNormScale,
};

/// Most outputs of two fully connected layers that are computed as one. With more outputs than a
/// step has images, the product of the layers would take longer than the layers.
const FEW: i64 = 16;

/// The operations of these layers, with the initial weights of a seed in each lane. `scale` is that
/// of batch norm.
pub(super) fn ops(
    layers: &[Placed],
    scale: BatchNormScale,
    seeds: &[u64],
    Backend { device, compute }: Backend,
) -> Vec<Op> {
    let streams = &mut Stream::each(seeds, Purpose::CLASSIFIER_INIT);
    let scales = &mut Stream::each(seeds, Purpose::BATCH_NORM_INIT);
    let mut learnt = |placed: &Placed, shape: &[i64], inputs| {
        let layer = Layer::uniform(streams, shape, device);
        Learnt { name: placed.name.clone(), layer, inputs }
    };
    let mut ops = Vec::new();
    let mut sites = 0..;
    for placed in layers {
        let (channels, outputs) =
            (i64::from(placed.input.channels()), i64::from(placed.output.channels()));
        let op = match placed.layer {
            LayerSpec::Conv { kernel: Kernel::Side(side), .. } => {
                let side = i64::from(side);
                Op::Conv(learnt(placed, &[outputs, side, side, channels], Inputs::Pixels))
            }
            LayerSpec::Conv { kernel: Kernel::Whole, .. }
            | LayerSpec::Dense { .. }
            | LayerSpec::Logits => {
                let shape = [outputs, placed.input.values() as i64];
                Op::Linear { learnt: learnt(placed, &shape, inputs(placed)), relu: false }
            }
            LayerSpec::Pool => Op::Pool,
            LayerSpec::Relu => Op::Relu,
            LayerSpec::BatchNorm => Op::BatchNorm {
                name: placed.name.clone(),
                norm: BatchNorm::new(scale, scales, channels, device),
            },
            LayerSpec::Dropout => {
                Op::Dropout { site: sites.next().unwrap_or_default(), width: channels }
            }
        };
        push(&mut ops, op, compute.has_conv_pool());
    }
    ops
}

/// The kind of input of a layer that sees all of it.
fn inputs(placed: &Placed) -> Inputs {
    match (placed.input, placed.layer) {
        (Shape::Values(_), _) => Inputs::Values,
        (Shape::Image(image), LayerSpec::Conv { .. }) => {
            Inputs::Image((image.height.into(), image.width.into()))
        }
        (Shape::Image(image), _) => Inputs::Flattened((image.height.into(), image.width.into())),
    }
}

/// Adds an operation, joined with the last one where one kernel does both.
fn push(ops: &mut Vec<Op>, op: Op, has_conv_pool: bool) {
    let joined = match (ops.pop(), op) {
        (Some(Op::Conv(learnt)), Op::Pool)
            if has_conv_pool && learnt.layer.weight.size()[2] == CONV_POOL_SIDE =>
        {
            Op::ConvPool { learnt, relu: false }
        }
        (Some(Op::ConvPool { learnt, relu: false }), Op::Relu) => {
            Op::ConvPool { learnt, relu: true }
        }
        (Some(Op::Linear { learnt, relu: false }), Op::Relu) => Op::Linear { learnt, relu: true },
        (
            Some(Op::Linear { learnt: first, relu: false }),
            Op::Linear { learnt: second, relu: false },
        ) if second.layer.bias.size()[1] <= FEW => Op::TwoLinear([first, second]),
        (last, op) => {
            ops.extend(last);
            op
        }
    };
    ops.push(joined);
}

#[cfg(test)]
mod tests {
    use swfn_shared::{image::ImageShape, trial::Architecture};
    use tch::{Device, Tensor};

    use super::*;
    use crate::{lanes::Model as _, layers::InputShape, model::network::Network};

    /// The operations of that network, a letter for each.
    fn kernels(architecture: Architecture, classes: u32) -> String {
        let placed = architecture.placed(ImageShape::grey(28, 28), classes).unwrap();
        let letter = |op: &Op| match op {
            Op::Conv(_) => 'c',
            Op::Pool => 'p',
            Op::Relu => 'r',
            Op::ConvPool { relu: false, .. } => 'C',
            Op::ConvPool { relu: true, .. } => 'R',
            Op::Linear { relu: false, .. } => 'l',
            Op::Linear { relu: true, .. } => 'L',
            Op::TwoLinear(_) => '2',
            Op::BatchNorm { .. } => 'b',
            Op::Dropout { .. } => 'd',
        };
        ops(&placed, BatchNormScale::Ones, &[1], Device::Cpu.into()).iter().map(letter).collect()
    }

    #[test]
    fn joint_kernels_replace_several_layers() {
        let of_ten = |architecture| kernels(architecture, 10);
        let all: Vec<_> = Architecture::ALL.iter().copied().map(of_ten).collect();
        assert_eq!(all, ["RRLl", "RRdLdl", "CC2", "CbCblbl"]);
        assert_eq!(kernels(Architecture::LENET, 17), "CCll");
    }

    #[test]
    fn joint_last_layers_equal_separate_ones() {
        let images = Stream::new(0, Purpose::SUBSET).normal(3 * 20 * 33);
        let images = Tensor::from_slice(&images).view([1, 3, 20, 33, 1]);
        // Up to the bias of the last layer, logits of the first classes do not depend on the number
        // of classes.
        let [together, apart] = [FEW, FEW + 1].map(|classes| {
            let input = InputShape { image: ImageShape::grey(20, 33), classes };
            let lenet = Network::new(
                Architecture::LENET,
                BatchNormScale::Ones,
                input,
                &[1],
                Device::Cpu.into(),
            );
            let parameters = lenet.parameters();
            let (_, bias) = parameters.iter().find(|(name, _)| name == "fc.bias").unwrap();
            (lenet.test_logits(&images) - bias.unsqueeze(1)).narrow(2, 0, FEW)
        });
        let size = together.abs().max().double_value(&[]);
        assert!((together - apart).abs().max().double_value(&[]) < 1e-5 * size);
    }
}
