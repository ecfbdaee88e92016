//! The inputs of many steps at once: batches, samples of the function norm, dropout masks. One gather, one decoding and
//! one copy to the device instead of one per step.

use tch::{Device, Tensor};

use super::{batches::Batches, device_data::Images};
use crate::{
    model::{
        net::{DropoutMasks, Net},
        network::StepInput,
    },
    rng::Stream,
    vae::trained::TrainedVae,
};

/// Images that are assembled at once, at most: they should stay in a CPU's cache until they are used.
const IMAGES: usize = 1024;

/// The samples of the function norm.
pub(crate) struct Samples<'a> {
    pub(crate) vae: &'a TrainedVae,
    /// M, per step.
    pub(crate) count: usize,
    pub(crate) spread: f64,
    pub(crate) noise: Stream,
}

/// Dropout of `net`.
pub(crate) struct Dropout {
    pub(crate) probability: f64,
    pub(crate) stream: Stream,
}

/// Where the inputs of steps come from.
pub(crate) struct Inputs<'a> {
    pub(crate) images: &'a Images,
    pub(crate) batch: usize,
    pub(crate) batches: Batches,
    pub(crate) samples: Option<Samples<'a>>,
    pub(crate) dropout: Option<Dropout>,
}

impl Inputs<'_> {
    /// Steps to assemble at once.
    pub(crate) fn chunk(&self) -> usize {
        (IMAGES / (self.batch + self.sample_count())).max(1)
    }

    /// The inputs of the next `steps` steps.
    pub(crate) fn assemble(&mut self, steps: usize) -> Vec<StepInput> {
        let mut numbers = Vec::with_capacity(steps * self.batch);
        (0..steps).for_each(|_| self.batches.next_into(&mut numbers));
        let pixels = &self.images.pixels;
        let numbers = Tensor::from_slice(&numbers).to_device(pixels.device());
        let split = |x: &Tensor| {
            let mut size = x.size();
            size.splice(..1, [steps as i64, -1]);
            x.view(&size[..])
        };
        let labels = split(&self.images.labels.index_select(0, &numbers)); // [steps, B]
        let mut images = split(&pixels.index_select(0, &numbers)); // [steps, B, H, W]
        if let Some(Samples { vae, count, spread, noise }) = &mut self.samples {
            let samples = vae.sample(steps * *count, *spread, noise); // [steps * M, H * W]
            let mut size = images.size();
            size[1] = *count as i64;
            images = Tensor::cat(&[images, samples.view(&size[..])], 1); // [steps, B + M, H, W]
        }
        let mut masks = self.masks(steps, pixels.device()).into_iter();
        (0..steps as i64)
            .map(|step| StepInput { images: images.get(step), labels: labels.get(step), masks: masks.next() })
            .collect()
    }

    /// The masks of each step; none without dropout. Masks of samples are ones.
    fn masks(&mut self, steps: usize, device: Device) -> Vec<DropoutMasks> {
        let samples = self.sample_count();
        let Some(Dropout { probability, stream }) = &mut self.dropout else { return Vec::new() };
        let (mut channels, mut hidden) = (Vec::new(), Vec::new());
        for _ in 0..steps {
            for (masks, width) in [(&mut channels, Net::CHANNELS as usize), (&mut hidden, Net::HIDDEN as usize)] {
                stream.dropout(*probability, self.batch * width, masks);
                masks.resize(masks.len() + samples * width, 1.0);
            }
        }
        let split = |masks: &[f32], width| Tensor::from_slice(masks).view([steps as i64, -1, width]).to_device(device);
        let (channels, hidden) = (split(&channels, Net::CHANNELS), split(&hidden, Net::HIDDEN));
        (0..steps as i64).map(|step| DropoutMasks { channels: channels.get(step), hidden: hidden.get(step) }).collect()
    }

    fn sample_count(&self) -> usize {
        self.samples.as_ref().map_or(0, |samples| samples.count)
    }
}
