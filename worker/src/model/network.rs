//! The classifier of a trial, whichever architecture it has, and its passes over training and test images.

use swfn_shared::trial::{Architecture, BatchNormScale, SampleBatchNorm};
use tch::{Device, Tensor};

use super::{
    layers::{InputShape, Named, NormMode},
    lenet::Lenet,
    net::{DropoutMasks, Net},
    tape::Tape,
};

/// A classifier f: images -> logits.
#[derive(Debug)]
pub enum Network {
    /// `net`, with or without dropout: that is a matter of the masks.
    Net(Net),
    /// `lenet`, with or without batch norm.
    Lenet(Lenet),
}

/// What one step of training computes f on.
#[derive(Debug)]
pub struct StepInput {
    /// The batch, then the samples of the function norm: `[B + M, H, W]`.
    pub images: Tensor,
    /// Classes of the batch, `[B]`.
    pub labels: Tensor,
    /// Dropout's masks for B + M rows, those of the samples all ones: the function norm is that of f without dropout.
    pub masks: Option<DropoutMasks>,
}

impl Network {
    /// Draws the initial weights of that seed.
    pub fn new(
        architecture: Architecture,
        scale: BatchNormScale,
        input: InputShape,
        seed: u64,
        device: Device,
    ) -> Self {
        match architecture {
            Architecture::Net | Architecture::NetDropout => Self::Net(Net::new(input, seed, device)),
            Architecture::Lenet => Self::Lenet(Lenet::new(input, None, seed, device)),
            Architecture::LenetBn => Self::Lenet(Lenet::new(input, Some(scale), seed, device)),
        }
    }

    /// Logits of the batch, `[B, classes]`, and of the samples, `[M, classes]`, in training mode. The samples go
    /// through the network together with the batch, except with batch norm: there they go after it, and `batch_norm`
    /// says how they are normalised. `tape`: for gradients.
    pub fn training_logits(
        &self,
        input: &StepInput,
        batch_norm: SampleBatchNorm,
        mut tape: Option<&mut Tape>,
    ) -> (Tensor, Tensor) {
        let batch = input.labels.size()[0];
        let samples = input.images.size()[0] - batch;
        let split = |x: &Tensor| (x.narrow(0, 0, batch), x.narrow(0, batch, samples));
        match self {
            Self::Net(net) => split(&net.forward(&input.images, input.masks.as_ref(), tape)),
            Self::Lenet(lenet) if lenet.has_batch_norm() && samples > 0 => {
                let (batch, samples) = split(&input.images);
                let mode = match batch_norm {
                    SampleBatchNorm::Train => NormMode::Train,
                    SampleBatchNorm::TrainNoUpdate => NormMode::TrainNoUpdate,
                    SampleBatchNorm::Eval => NormMode::Eval,
                };
                let batch = lenet.forward(&batch, NormMode::Train, tape.as_deref_mut());
                (batch, lenet.forward(&samples, mode, tape))
            }
            Self::Lenet(lenet) => split(&lenet.forward(&input.images, NormMode::Train, tape)),
        }
    }

    /// Logits in test mode, without dropout and with the running statistics of batch norm:
    /// `[N, H, W]` -> `[N, classes]`.
    pub fn test_logits(&self, images: &Tensor) -> Tensor {
        match self {
            Self::Net(net) => net.forward(images, None, None),
            Self::Lenet(lenet) => lenet.forward(images, NormMode::Eval, None),
        }
    }

    /// All parameters, named as in PyTorch.
    pub fn parameters(&self) -> Vec<Named> {
        match self {
            Self::Net(net) => net.parameters(),
            Self::Lenet(lenet) => lenet.parameters(),
        }
    }

    /// What training changes besides the parameters, named as in PyTorch.
    pub fn buffers(&self) -> Vec<Named> {
        match self {
            Self::Net(_) => Vec::new(),
            Self::Lenet(lenet) => lenet.buffers(),
        }
    }

    /// Parameters and buffers as PyTorch's modules of the same layers name and shape them. The values share their storage
    /// with the network's.
    pub fn state_dict(&self) -> Vec<Named> {
        let mut all = self.parameters();
        all.extend(self.buffers());
        if let Self::Lenet(lenet) = self {
            let conv3 = all.iter_mut().filter(|(name, _)| *name == "conv3.weight");
            conv3.for_each(|(_, weight)| *weight = lenet.as_convolution(weight));
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use tch::no_grad;

    use super::*;
    use crate::rng::{Purpose, Stream};

    const SHAPE: InputShape = InputShape { height: 28, width: 28, classes: 10 };

    fn flat(tensors: &[Tensor]) -> Vec<f32> {
        let values = |x: &Tensor| Vec::<f32>::try_from(x.detach().flatten(0, -1)).expect("floats");
        tensors.iter().flat_map(values).collect()
    }

    /// Logits of the samples and the running statistics after a step of three images and two samples.
    fn step(mode: SampleBatchNorm) -> (Network, Tensor, Vec<f32>) {
        let network = Network::new(Architecture::LenetBn, BatchNormScale::Uniform, SHAPE, 1, Device::Cpu);
        let pixels = Stream::new(0, Purpose::Subset).normal(5 * 784);
        let images = Tensor::from_slice(&pixels).view([5, 28, 28]);
        let input = StepInput { images, labels: Tensor::from_slice(&[0_i64, 1, 2]), masks: None };
        let (_, samples) = no_grad(|| network.training_logits(&input, mode, None));
        let buffers: Vec<_> = network.buffers().into_iter().map(|(_, buffer)| buffer).collect();
        (network, samples, flat(&buffers))
    }

    #[test]
    fn samples_pass_batch_norm_in_three_ways() {
        let (_, train, moved) = step(SampleBatchNorm::Train);
        let (_, own, kept) = step(SampleBatchNorm::TrainNoUpdate);
        let (network, eval, also_kept) = step(SampleBatchNorm::Eval);
        assert_eq!(flat(&[train.shallow_clone()]), flat(&[own]), "both use the samples' own statistics");
        assert_ne!(flat(&[train]), flat(&[eval.shallow_clone()]));
        assert_ne!(moved, kept, "the published way moves the running statistics");
        assert_eq!(kept, also_kept);
        // The samples as tests would see them at that moment.
        let pixels = Stream::new(0, Purpose::Subset).normal(5 * 784);
        let tested = no_grad(|| network.test_logits(&Tensor::from_slice(&pixels[3 * 784..]).view([2, 28, 28])));
        assert_eq!(flat(&[eval]), flat(&[tested]));
    }
}
