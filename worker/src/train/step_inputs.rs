//! The inputs of many steps at once: batches, samples of the function norm, dropout masks. One gather, one decoding and
//! one copy to the device instead of one per step.

use tch::{Device, Tensor};

use super::{
    batches::Batches,
    device_data::Images,
    samples::Samples,
    state::{Misfit, State},
};
use crate::{
    model::{
        net::{DropoutMasks, Net},
        network::StepInput,
    },
    rng::Stream,
};

/// Images that are assembled at once, at most: they should stay in a CPU's cache until they are used.
const IMAGES: usize = 1024;

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

    /// Keeps where its streams stand.
    pub(crate) fn keep(&self, state: &mut State) {
        self.batches.keep("batches", state);
        if let Some(samples) = &self.samples {
            state.set_stream("samples", &samples.stream);
        }
        if let Some(dropout) = &self.dropout {
            state.set_stream("dropout", &dropout.stream);
        }
    }

    /// Goes on where [`Self::keep`] left off.
    pub(crate) fn restore(&mut self, state: &State) -> Result<(), Misfit> {
        self.batches.restore("batches", state)?;
        if let Some(samples) = &mut self.samples {
            state.restore_stream("samples", &mut samples.stream)?;
        }
        if let Some(dropout) = &mut self.dropout {
            state.restore_stream("dropout", &mut dropout.stream)?;
        }
        Ok(())
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
        if let Some(samples) = &mut self.samples {
            let mut size = images.size();
            let drawn = samples.draw(steps, (size[2], size[3]), pixels.device()); // [steps * M, H, W]
            size[1] = samples.count as i64;
            images = Tensor::cat(&[images, drawn.view(&size[..])], 1); // [steps, B + M, H, W]
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

#[cfg(test)]
mod tests {
    use tch::Kind;

    use swfn_shared::trial::SampleUnits;

    use super::*;
    use crate::{
        rng::Purpose,
        train::samples::Source,
        vae::{model::Vae, trained::TrainedVae},
    };

    const B: usize = 3;
    const M: usize = 2;

    /// Seven images of 2 x 2 pixels, all equal to the image's number plus ten, which is its label too.
    fn images() -> Images {
        let labels = Tensor::from_slice(&Vec::from_iter(10_i64..17));
        Images { pixels: labels.to_kind(Kind::Float).view([-1, 1, 1]).repeat([1, 2, 2]), labels }
    }

    fn inputs<'a>(images: &'a Images, vae: &'a TrainedVae) -> Inputs<'a> {
        let stream = |purpose| Stream::new(4, purpose);
        Inputs {
            images,
            batch: B,
            batches: Batches::new(7, B, 4, Purpose::ClassifierBatches),
            samples: Some(Samples {
                source: Source::Vae { vae, spread: 3.0 },
                count: M,
                units: SampleUnits::Vae,
                stream: stream(Purpose::PenaltyNoise),
            }),
            dropout: Some(Dropout { probability: 0.5, stream: stream(Purpose::Dropout) }),
        }
    }

    fn values(tensor: &Tensor) -> Vec<f32> {
        tensor.flatten(0, -1).to_kind(Kind::Float).try_into().unwrap()
    }

    /// All numbers of one step.
    fn all(input: &StepInput) -> Vec<f32> {
        let masks = input.masks.as_ref().unwrap();
        [&input.images, &input.labels, &masks.channels, &masks.hidden].into_iter().flat_map(values).collect()
    }

    #[test]
    fn steps_hold_batch_samples_and_masks() {
        let (images, codes) = (images(), Tensor::zeros([1, 3], (Kind::Float, Device::Cpu)));
        let vae = TrainedVae::new(Vae::new(4, 5, 3, 0, Device::Cpu).decoder, &codes, &codes, Vec::new());
        let steps = inputs(&images, &vae).assemble(5);
        assert_eq!(steps.len(), 5);
        for input in &steps {
            assert_eq!(input.images.size(), [(B + M) as i64, 2, 2]);
            let pixels = values(&input.images);
            let (batch, samples) = pixels.split_at(4 * B);
            let labels = values(&input.labels);
            assert!(batch.chunks(4).zip(&labels).all(|(image, &label)| image == [label; 4]), "{batch:?} {labels:?}");
            assert!(samples.iter().all(|&x| 0.0 < x && x < 1.0), "{samples:?}");
            let masks = input.masks.as_ref().unwrap();
            for (mask, width) in [(&masks.channels, 20), (&masks.hidden, 50)] {
                assert_eq!(mask.size(), [(B + M) as i64, width]);
                let factors = values(mask);
                let (batch, samples) = factors.split_at(B * width as usize);
                assert!(batch.contains(&0.0) && batch.contains(&2.0) && batch.iter().all(|&f| f == 0.0 || f == 2.0));
                assert!(samples.iter().all(|&f| f == 1.0));
            }
        }
        assert_ne!(values(&steps[0].images)[4 * B..], values(&steps[1].images)[4 * B..]);

        // In how large pieces steps are assembled does not matter.
        let mut pieces = inputs(&images, &vae);
        let again: Vec<StepInput> = [2, 1, 2].into_iter().flat_map(|steps| pieces.assemble(steps)).collect();
        for (one, other) in steps.iter().zip(&again) {
            let (one, other) = (all(one), all(other));
            // Samples come from products of other sizes, which may round differently.
            assert!(one.iter().zip(&other).all(|(a, b)| (a - b).abs() < 1e-6), "{one:?} {other:?}");
        }
    }
}
