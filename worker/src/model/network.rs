//! Classifiers of K trials with one architecture: passes over training and test images, and
//! gradients.

use swfn_shared::trial::{Architecture, BatchNormScale, SampleBatchNorm};
use tch::{Tensor, no_grad_guard};

use super::{
    build,
    op::{Op, Trace},
};
use crate::{
    compute::Backend,
    lanes::{Model, Named, impl_lanes},
    layers::{InputShape, NormMode},
};

/// K classifiers f: images -> logits.
#[derive(Debug)]
pub struct Network {
    ops: Vec<Op>,
    backend: Backend,
}

/// Inputs of one training step.
#[derive(Debug)]
pub struct StepInput {
    /// The batch, then the samples of the function norm: `[K, B + M, H, W, C]`.
    pub images: Tensor,
    /// Classes of the batch, `[K, B]`.
    pub labels: Tensor,
    /// Factors of each dropout layer, if there are any, `[K, B + M, channels or values]`: 0, or 1 /
    /// (1 - probability). Those of the samples are ones, because the function norm is that of f
    /// without dropout.
    pub masks: Vec<Tensor>,
}

/// Memory of a forward pass in training mode for the gradients: one pass of batch and samples
/// together, or one of each.
#[derive(Debug)]
pub struct Traces(Vec<Vec<Trace>>);

impl Network {
    /// Draws the initial weights of these seeds, one for each lane. `scale` is that of batch norm.
    ///
    /// # Panics
    /// If the architecture does not take such images.
    pub fn new(
        architecture: Architecture,
        scale: BatchNormScale,
        input: InputShape,
        seeds: &[u64],
        backend: Backend,
    ) -> Self {
        let classes = u32::try_from(input.classes).expect("some classes");
        let placed = architecture.placed(input.image, classes).expect("trials are checked before");
        Self { ops: build::ops(&placed, scale, seeds, backend), backend }
    }

    /// Logits of the batch, `[K, B, classes]`, and of the samples, `[K, M, classes]`, in training
    /// mode.
    ///
    /// The samples pass the network together with the batch, except with batch norm: then they
    /// follow it, and are normalised as `batch_norm` says.
    pub fn training_logits(
        &self,
        input: &StepInput,
        batch_norm: SampleBatchNorm,
    ) -> (Tensor, Tensor, Traces) {
        let _guard = no_grad_guard();
        let batch = input.labels.size()[1];
        let samples = input.images.size()[1] - batch;
        let split = |x: &Tensor| (x.narrow(1, 0, batch), x.narrow(1, batch, samples));
        let has_batch_norm = self.ops.iter().any(|op| matches!(op, Op::BatchNorm { .. }));
        if !has_batch_norm || samples == 0 {
            let (logits, passes) = self.forward(&input.images, NormMode::Train, &input.masks);
            let (of_batch, of_samples) = split(&logits);
            return (of_batch, of_samples, Traces(vec![passes]));
        }
        let (batch, samples) = split(&input.images);
        let of_batch = |mask: &Tensor| mask.narrow(1, 0, batch.size()[1]);
        let masks: Vec<_> = input.masks.iter().map(of_batch).collect();
        let (of_batch, first) = self.forward(&batch, NormMode::Train, &masks);
        let (of_samples, second) = self.forward(&samples, batch_norm, &[]);
        (of_batch, of_samples, Traces(vec![first, second]))
    }

    /// Gradients of all parameters, in the order of [`Self::parameters`], from those of the logits
    /// of batch and samples.
    pub fn gradients(
        &self,
        Traces(passes): &Traces,
        of_batch: Tensor,
        of_samples: Tensor,
    ) -> Vec<Tensor> {
        let _guard = no_grad_guard();
        let counts: Vec<usize> = self.ops.iter().map(|op| op.parameters().len()).collect();
        let mut gradients: Vec<Option<Tensor>> = (0..counts.iter().sum()).map(|_| None).collect();
        let of_logits = match passes.len() {
            1 if of_samples.size()[1] == 0 => vec![of_batch],
            1 => vec![Tensor::cat(&[of_batch, of_samples], 1)],
            _ => vec![of_batch, of_samples],
        };
        for (traces, mut gradient) in passes.iter().zip(of_logits) {
            let mut end = gradients.len();
            for ((op, trace), count) in self.ops.iter().zip(traces).zip(&counts).rev() {
                let own = end - count..end;
                end = own.start;
                match op.backward(self.backend.compute, trace, &gradient, &mut gradients[own]) {
                    Some(of_input) => gradient = of_input,
                    None => break, // the first operation
                }
            }
        }
        gradients
            .into_iter()
            .map(|gradient| gradient.expect("logits depend on all parameters"))
            .collect()
    }

    /// Logits in test mode, without dropout and with the running statistics of batch norm:
    /// `[K, N, H, W, C]` -> `[K, N, classes]`.
    pub fn test_logits(&self, images: &Tensor) -> Tensor {
        let _guard = no_grad_guard();
        let forward = |x, op: &Op| op.forward(self.backend.compute, x, NormMode::Eval, &[], true).0;
        self.ops.iter().fold(images.shallow_clone(), forward)
    }

    fn forward(&self, images: &Tensor, mode: NormMode, masks: &[Tensor]) -> (Tensor, Vec<Trace>) {
        let mut x = images.shallow_clone(); // [K, N, H, W, C]
        let mut traces = Vec::with_capacity(self.ops.len());
        for (index, op) in self.ops.iter().enumerate() {
            let (y, trace) = op.forward(self.backend.compute, x, mode, masks, index == 0);
            traces.push(trace);
            x = y;
        }
        (x, traces)
    }

    /// Number of channels or values of each dropout layer's masks.
    pub fn mask_widths(&self) -> Vec<i64> {
        let width = |op: &Op| if let Op::Dropout { width, .. } = op { Some(*width) } else { None };
        self.ops.iter().filter_map(width).collect()
    }

    /// One lane of tensors in the order of [`Self::parameters`], such as gradients, in PyTorch's
    /// order of dimensions. They share their storage. Where a fully connected layer sees an image,
    /// its inputs still have three dimensions.
    pub fn as_pytorch(&self, tensors: &[Tensor], lane: i64) -> Vec<Named> {
        let mut tensors = tensors.iter();
        let of_op = |op: &Op| {
            let named = op.parameters().into_iter().enumerate().zip(tensors.by_ref());
            named
                .map(|((index, (name, _)), tensor)| (name, op.as_pytorch(index, tensor, lane)))
                .collect::<Vec<_>>()
        };
        self.ops.iter().flat_map(of_op).collect()
    }

    /// Parameters and buffers of a lane as PyTorch's modules of the same layers name and shape
    /// them.
    pub fn state_dict(&self, lane: i64) -> Vec<Named> {
        let _guard = no_grad_guard();
        let flattened = self
            .ops
            .iter()
            .flat_map(|op| (0..op.parameters().len()).map(|index| op.is_flattened(index)));
        let tensors: Vec<_> = self.parameters().into_iter().map(|(_, tensor)| tensor).collect();
        let shaped = |((name, tensor), flattened): (Named, bool)| {
            (name, if flattened { tensor.flatten(1, -1) } else { tensor })
        };
        let buffers =
            self.buffers().into_iter().map(|(name, buffer)| (name, buffer.select(0, lane)));
        self.as_pytorch(&tensors, lane)
            .into_iter()
            .zip(flattened)
            .map(shaped)
            .chain(buffers)
            .collect()
    }
}

impl Model for Network {
    fn parameters(&self) -> Vec<Named> {
        self.ops.iter().flat_map(Op::parameters).collect()
    }

    fn buffers(&self) -> Vec<Named> {
        self.ops.iter().flat_map(Op::buffers).collect()
    }
}

impl_lanes!(Network { ops } backend);

#[cfg(test)]
mod tests {
    use swfn_shared::image::ImageShape;
    use tch::Device;

    use super::*;
    use crate::{
        lanes::{Lanes as _, named_lane},
        rng::{Purpose, Stream},
    };

    const SHAPE: InputShape = InputShape { image: ImageShape::grey(28, 28), classes: 10 };

    fn flat(tensors: &[Tensor]) -> Vec<f32> {
        let values = |x: &Tensor| Vec::<f32>::try_from(x.flatten(0, -1)).expect("floats");
        tensors.iter().flat_map(values).collect()
    }

    /// Returns logits of the samples and running statistics after a step of three images and two
    /// samples.
    fn step(mode: SampleBatchNorm) -> (Network, Tensor, Vec<f32>) {
        let network = Network::new(
            Architecture::LENET_BN,
            BatchNormScale::Uniform,
            SHAPE,
            &[1],
            Device::Cpu.into(),
        );
        let pixels = Stream::new(0, Purpose::SUBSET).normal(5 * 784);
        let images = Tensor::from_slice(&pixels).view([1, 5, 28, 28, 1]);
        let input = StepInput {
            images,
            labels: Tensor::from_slice(&[0_i64, 1, 2]).view([1, 3]),
            masks: Vec::new(),
        };
        let (_, samples, _) = network.training_logits(&input, mode);
        let buffers: Vec<_> = network.buffers().into_iter().map(|(_, buffer)| buffer).collect();
        (network, samples, flat(&buffers))
    }

    #[test]
    fn samples_pass_batch_norm_in_three_ways() {
        let (_, train, moved) = step(SampleBatchNorm::Train);
        let (_, own, kept) = step(SampleBatchNorm::TrainNoUpdate);
        let (network, eval, also_kept) = step(SampleBatchNorm::Eval);
        assert_eq!(
            flat(&[train.shallow_clone()]),
            flat(&[own]),
            "both use the samples' own statistics"
        );
        assert_ne!(flat(&[train]), flat(&[eval.shallow_clone()]));
        assert_ne!(moved, kept, "the published way moves the running statistics");
        assert_eq!(kept, also_kept);
        // The samples as tests would see them at that moment.
        let pixels = Stream::new(0, Purpose::SUBSET).normal(5 * 784);
        let tested =
            network.test_logits(&Tensor::from_slice(&pixels[3 * 784..]).view([1, 2, 28, 28, 1]));
        assert_eq!(flat(&[eval]), flat(&[tested]));
    }

    #[test]
    fn lanes_are_selected_and_joined_in_their_order() {
        let new = |seeds: &[u64]| {
            Network::new(
                Architecture::LENET_BN,
                BatchNormScale::Uniform,
                SHAPE,
                seeds,
                Device::Cpu.into(),
            )
        };
        let mut all = new(&[5, 6, 7]).select(&[2, 0]);
        all.join(&[new(&[8])]);
        for (lane, seed) in [7, 5, 8].into_iter().enumerate() {
            let one = new(&[seed]);
            for ((name, mine), (_, expected)) in
                named_lane(all.parameters(), lane).into_iter().zip(one.parameters())
            {
                assert_eq!(mine, expected, "{name} {seed}");
            }
        }
    }
}
