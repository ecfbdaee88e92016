//! Inputs of many steps at once, for all lanes: batches, samples of the function norm, dropout
//! masks. So there is one gather, one decoding and one copy to the device instead of one per step
//! and lane.

use swfn_shared::{faults, trial::TrialSpec};
use tch::{Kind, Tensor};

use super::samples::{Draw, Samples};
use crate::{
    compute::Backend,
    model::network::StepInput,
    noise::{self, Noise},
    rng::Purpose,
    trial::{
        batches::Batches,
        pool::Pool,
        state::{Misfit, State},
    },
};

/// The seed of the batches, unless a fault is planted.
fn batch_seed(spec: &TrialSpec) -> u64 {
    if faults::bug("a-device-computes-wrongly") { spec.seed + 1 } else { spec.seed }
}

/// The random streams of one trial's inputs.
#[derive(Debug)]
pub(crate) struct Draws {
    pub(crate) batches: Batches,
    samples: Option<Draw>,
    dropout: Option<Noise>,
}

impl Draws {
    /// The streams of a trial at their start.
    pub(crate) fn new(spec: &TrialSpec) -> Self {
        let (images, batch) = (spec.subset_size as usize, spec.classifier.batch_size as usize);
        Self {
            batches: Batches::new(images, batch, batch_seed(spec), Purpose::CLASSIFIER_BATCHES),
            samples: spec.penalty.map(|penalty| Draw::new(penalty.density, spec.seed)),
            dropout: spec
                .architecture
                .has_dropout()
                .then(|| Noise::new(spec.seed, Purpose::DROPOUT)),
        }
    }

    /// Keeps the positions of the streams.
    pub(crate) fn keep(&self, state: &mut State) {
        self.batches.keep("batches", state);
        if let Some(samples) = &self.samples {
            samples.keep(state);
        }
        if let Some(dropout) = &self.dropout {
            state.set("dropout", dropout.position());
        }
    }

    /// Resumes where [`Self::keep`] left off.
    pub(crate) fn restore(&mut self, state: &State) -> Result<(), Misfit> {
        self.batches.restore("batches", state)?;
        if let Some(samples) = &mut self.samples {
            samples.restore(state)?;
        }
        if let Some(dropout) = &mut self.dropout {
            dropout.go_to(state.position("dropout")?);
        }
        Ok(())
    }
}

/// Sources of the inputs of all lanes.
#[derive(Debug)]
pub(crate) struct Inputs {
    pub(crate) pool: Pool,
    /// B, the number of images in a batch.
    pub(crate) batch: usize,
    pub(crate) samples: Option<Samples>,
    /// Probability of dropout.
    pub(crate) dropout: f64,
    /// Number of channels or values of each dropout layer.
    pub(crate) mask_widths: Vec<i64>,
    pub(crate) backend: Backend,
}

impl Inputs {
    /// Number of steps to assemble at once for so many lanes.
    pub(crate) fn chunk(&self, lanes: usize) -> usize {
        (self.backend.compute.inputs_at_once(lanes) / (self.batch + self.sample_count())).max(1)
    }

    /// Assembles the inputs of the next `steps` steps, from the streams of each lane.
    pub(crate) fn assemble(&self, mut draws: Vec<&mut Draws>, steps: usize) -> Vec<StepInput> {
        let (s, k, b) = (steps as i64, draws.len() as i64, self.batch as i64);
        let numbers =
            self.pool.next_batches(draws.iter_mut().map(|draws| &mut draws.batches), steps);
        let [height, width, channels] = self.pool.image();
        let (images, labels) = self.pool.gather_with_labels(&numbers);
        let labels = labels.view([s, k, b]);
        let mut images = images.view([s, k, b, height, width, channels]);
        let mut masks = self.masks(&mut draws, steps).into_iter();
        if let Some(samples) = &self.samples {
            let draws = draws.into_iter().filter_map(|draws| draws.samples.as_mut()).collect();
            // [K, steps * M, H, W, C] -> [steps, K, M, H, W, C]
            let samples = samples.draw(draws, steps, &self.pool, self.backend);
            let samples = samples.view([k, s, -1, height, width, channels]).transpose(0, 1);
            images = Tensor::cat(&[images, samples], 2); // [steps, K, B + M, H, W, C]
        }
        let step = |step| {
            let (images, labels) = (images.get(step), labels.get(step));
            StepInput { images, labels, masks: masks.next().unwrap_or_default() }
        };
        (0..s).map(step).collect()
    }

    /// The masks of each step; none without dropout. Masks of samples are ones.
    fn masks(&self, draws: &mut [&mut Draws], steps: usize) -> Vec<Vec<Tensor>> {
        let mut noises: Vec<_> =
            draws.iter_mut().filter_map(|draws| draws.dropout.as_mut()).collect();
        if noises.is_empty() {
            return Vec::new();
        }
        let (width, backend) = (self.mask_widths.iter().sum::<i64>(), self.backend);
        let size = |rows: usize| [noises.len() as i64, steps as i64, rows as i64, width];
        let (of_batch, of_samples) = (size(self.batch), size(self.sample_count()));
        let probabilities = vec![self.dropout; noises.len()];
        let count = self.batch * width as usize;
        let factors = noise::dropout(&mut noises, &probabilities, steps, count, backend.noise());
        let ones = Tensor::ones(of_samples, (Kind::Float, backend.device));
        // [steps, K, B + M, width]
        let factors = Tensor::cat(&[factors.view(of_batch), ones], 2).transpose(0, 1);
        let step = |step| factors.get(step).split_with_sizes(&self.mask_widths[..], 2);
        (0..steps as i64).map(step).collect()
    }

    fn sample_count(&self) -> usize {
        self.samples.as_ref().map_or(0, |samples| samples.count)
    }
}

#[cfg(test)]
mod tests {
    use swfn_shared::trial::SampleUnits;
    use tch::Device;

    use super::*;
    use crate::{
        train::samples::Source,
        trial::pool::Images,
        vae::{family::Either, model::Vae, trained::Densities},
    };

    const B: usize = 3;
    const M: usize = 2;

    /// Seven images of 2 x 2 pixels, all equal to the image's number plus `first`, which is its
    /// label too.
    fn images(first: i64) -> Images {
        let labels = Tensor::from_slice(&Vec::from_iter(first..first + 7));
        Images {
            pixels: labels.to_kind(Kind::Float).view([-1, 1, 1, 1]).repeat([1, 2, 2, 1]),
            labels,
        }
    }

    /// Lanes of these seeds, whose images begin with ten times the seed.
    fn inputs(seeds: &[u64]) -> (Inputs, Vec<Draws>) {
        let backend = Backend::from(Device::Cpu);
        let subsets: Vec<_> = seeds.iter().map(|seed| images(10 * seed.cast_signed())).collect();
        let codes = Tensor::zeros([seeds.len() as i64, 1, 3], (Kind::Float, Device::Cpu));
        let decoder = Either::Vanilla(Vae::new(4, 5, 3, seeds, backend).decoder);
        let densities = Densities::new(decoder, &codes, &codes);
        let samples = Samples {
            source: Source::Vaes { densities, spread: 3.0 },
            count: M,
            units: SampleUnits::Vae,
        };
        let inputs = Inputs {
            pool: Pool::new(&subsets.iter().collect::<Vec<_>>()),
            batch: B,
            samples: Some(samples),
            dropout: 0.5,
            mask_widths: vec![20, 50],
            backend,
        };
        let draws = |&seed: &u64| Draws {
            batches: Batches::new(7, B, seed, Purpose::CLASSIFIER_BATCHES),
            samples: Some(Draw::Noise(Noise::new(seed, Purpose::PENALTY_NOISE))),
            dropout: Some(Noise::new(seed, Purpose::DROPOUT)),
        };
        (inputs, seeds.iter().map(draws).collect())
    }

    fn assemble(inputs: &Inputs, draws: &mut [Draws], steps: usize) -> Vec<StepInput> {
        inputs.assemble(draws.iter_mut().collect(), steps)
    }

    fn values(tensor: &Tensor) -> Vec<f32> {
        tensor.flatten(0, -1).to_kind(Kind::Float).try_into().unwrap()
    }

    /// All numbers of a lane of one step.
    fn all(input: &StepInput, lane: i64) -> Vec<f32> {
        let parts = [&input.images, &input.labels];
        parts.into_iter().chain(&input.masks).flat_map(|part| values(&part.get(lane))).collect()
    }

    #[test]
    fn steps_hold_batch_samples_and_masks() {
        let (two, mut draws) = inputs(&[1, 4]);
        let steps = assemble(&two, &mut draws, 5);
        assert_eq!(steps.len(), 5);
        for input in &steps {
            assert_eq!(input.images.size(), [2, (B + M) as i64, 2, 2, 1]);
            for (lane, first) in [(0, 10.0), (1, 40.0)] {
                let pixels = values(&input.images.get(lane));
                let (batch, samples) = pixels.split_at(4 * B);
                let labels = values(&input.labels.get(lane));
                assert!(
                    batch.chunks(4).zip(&labels).all(|(image, &label)| image == [label; 4]),
                    "{batch:?} {labels:?}"
                );
                assert!(
                    labels.iter().all(|label| (first..first + 7.0).contains(label)),
                    "of its own subset: {labels:?}"
                );
                assert!(samples.iter().all(|x| (0.0..=1.0).contains(x)), "{samples:?}");
                for (mask, width) in input.masks.iter().zip([20, 50]) {
                    assert_eq!(mask.size(), [2, (B + M) as i64, width]);
                    let factors = values(&mask.get(lane));
                    let (batch, samples) = factors.split_at(B * width as usize);
                    assert!(
                        batch.contains(&0.0)
                            && batch.contains(&2.0)
                            && batch.iter().all(|f| [0.0, 2.0].contains(f))
                    );
                    assert!(samples.iter().all(|&f| f == 1.0));
                }
            }
        }
        let samples = |step: usize| values(&steps[step].images.narrow(1, B as i64, M as i64));
        assert_ne!(samples(0), samples(1));
    }

    #[test]
    fn lanes_draw_the_same_beside_others() {
        let (three, mut draws) = inputs(&[1, 4, 2]);
        let together = assemble(&three, &mut draws, 5);
        let (alone, mut draws) = inputs(&[4]);
        let pieces: Vec<_> =
            [2, 1, 2].into_iter().flat_map(|steps| assemble(&alone, &mut draws, steps)).collect();
        for (one, other) in together.iter().zip(&pieces) {
            let (one, other) = (all(one, 1), all(other, 0));
            // Samples come from products of other sizes, which may round differently.
            assert!(one.iter().zip(&other).all(|(a, b)| (a - b).abs() < 1e-6), "{one:?} {other:?}");
        }
        assert_ne!(all(&together[0], 0), all(&together[0], 1));
    }
}
