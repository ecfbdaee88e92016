//! The classifier of a trial, whichever architecture it has, and its passes over training and test images.

use swfn_shared::trial::{Architecture, BatchNormScale};
use tch::{Device, Tensor};

use super::{
    layers::{InputShape, Named},
    lenet::Lenet,
    net::{DropoutMasks, Net},
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
    /// through the network together with the batch, except with batch norm: there they go after it, are normalised with
    /// statistics of their own and move the running statistics too, as in the published study.
    pub fn training_logits(&self, input: &StepInput) -> (Tensor, Tensor) {
        let batch = input.labels.size()[0];
        let samples = input.images.size()[0] - batch;
        let split = |x: &Tensor| (x.narrow(0, 0, batch), x.narrow(0, batch, samples));
        match self {
            Self::Net(net) => split(&net.forward(&input.images, input.masks.as_ref())),
            Self::Lenet(lenet) if lenet.has_batch_norm() && samples > 0 => {
                let (batch, samples) = split(&input.images);
                (lenet.forward(&batch, true), lenet.forward(&samples, true))
            }
            Self::Lenet(lenet) => split(&lenet.forward(&input.images, true)),
        }
    }

    /// Logits in test mode, without dropout and with the running statistics of batch norm:
    /// `[N, H, W]` -> `[N, classes]`.
    pub fn test_logits(&self, images: &Tensor) -> Tensor {
        match self {
            Self::Net(net) => net.forward(images, None),
            Self::Lenet(lenet) => lenet.forward(images, false),
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
}
