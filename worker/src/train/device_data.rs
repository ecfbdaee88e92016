//! A data set in a trainer: normalised test images on the device, and training images on the host,
//! from which each trial takes its subset.

use std::cell::OnceCell;

use swfn_shared::{
    dataset::Units,
    trial::{Sampling, TrialSpec},
};
use tch::{Device, Tensor};

use crate::{
    data::{self, Split, Splits, Train},
    layers::InputShape,
    rng::{Purpose, Stream},
    trial::{pool::Images, report::TrainError},
};

/// A data set that is ready for trials.
#[derive(Debug)]
pub struct DeviceData {
    train: Train,
    /// The test images.
    pub test: Images,
    /// Sizes of the images and number of classes.
    pub shape: InputShape,
    /// The units of its images.
    pub units: Units,
    device: Device,
    /// Labels of all training images, for balanced subsets.
    labels: OnceCell<Vec<u8>>,
}

impl DeviceData {
    /// Copies the test images to the device.
    pub fn new(splits: Splits, device: Device) -> Self {
        let Splits { train, test, classes, units } = splits;
        let shape = InputShape { image: test.shape, classes: classes as i64 };
        let test = images(&test, units, device);
        Self { train, test, shape, units, device, labels: OnceCell::new() }
    }

    /// Draws `size` training images without replacement, by the seed. A uniform subset contains the
    /// smaller ones of its seed.
    pub fn subset(&self, size: usize, sampling: Sampling, seed: u64) -> Result<Images, TrainError> {
        Ok(self.train_images(&self.subset_numbers(size, sampling, seed)?))
    }

    /// Draws the validation images of a trial: `count` of the training images outside its subset,
    /// uniformly without replacement, by the seed.
    pub fn validation(&self, count: usize, spec: &TrialSpec) -> Result<Images, TrainError> {
        Ok(self.train_images(&self.validation_numbers(count, spec)?))
    }

    fn validation_numbers(&self, count: usize, spec: &TrialSpec) -> Result<Vec<usize>, TrainError> {
        let mut left = vec![true; self.train.len()];
        for number in self.subset_numbers(spec.subset_size as usize, spec.sampling, spec.seed)? {
            left[number] = false;
        }
        let left: Vec<usize> = (0..left.len()).filter(|number| left[*number]).collect();
        let mut stream = Stream::new(spec.seed, Purpose::VALIDATION);
        let drawn = data::subset(left.len(), count, stream.generator());
        let drawn = drawn.map_err(|error| TrainError::Data(error.to_string()))?;
        Ok(drawn.into_iter().map(|index| left[index]).collect())
    }

    fn train_images(&self, numbers: &[usize]) -> Images {
        images(&self.train.gather(numbers), self.units, self.device)
    }

    fn subset_numbers(
        &self,
        size: usize,
        sampling: Sampling,
        seed: u64,
    ) -> Result<Vec<usize>, TrainError> {
        let mut stream = Stream::new(seed, Purpose::SUBSET);
        let numbers = match sampling {
            Sampling::Uniform => data::subset(self.train.len(), size, stream.generator()),
            Sampling::Balanced => {
                let labels = self.labels.get_or_init(|| self.train.labels());
                data::balanced_subset(labels, self.shape.classes as usize, size, stream.generator())
            }
        };
        numbers.map_err(|error| TrainError::Data(error.to_string()))
    }
}

/// Normalises the images of a split, on the host, so that all devices get the same numbers.
fn images(split: &Split, units: Units, device: Device) -> Images {
    let of_byte: Vec<f32> = (0..=255).map(|byte| units.of(byte)).collect();
    let pixels: Vec<f32> = split.images.iter().map(|&byte| of_byte[usize::from(byte)]).collect();
    let labels: Vec<i64> = split.labels.iter().map(|&label| label.into()).collect();
    let [height, width, channels] = split.shape.size();
    Images {
        pixels: Tensor::from_slice(&pixels).view([-1, height, width, channels]).to_device(device),
        labels: Tensor::from_slice(&labels).to_device(device),
    }
}

/// Bytes of images from pixels in these units: the inverse of [`Units::of`].
pub(super) fn brightness(pixels: &Tensor, units: Units) -> Tensor {
    let share = pixels * f64::from(units.deviation) + f64::from(units.mean); // 0..1
    (share.clamp(0.0, 1.0) * 255.0).round().to_kind(tch::Kind::Uint8).to_device(Device::Cpu)
}

#[cfg(test)]
mod tests {
    use swfn_shared::{
        grid::{DEFAULT_MAX_TRIALS, Grid},
        image::ImageShape,
    };

    use super::*;

    const UNITS: Units = Units::OF_MNIST;

    #[test]
    fn validation_images_are_none_of_the_subset() {
        let text = "version = 1\nname = \"t\"\n[data]\ndataset = \"mnist\"\n\
                    [grid]\nseed = { count = 3 }\nsubset_size = 40\n\
                    architecture = \"net\"\nlambda = 0\n";
        let grid = Grid::parse("t", text, DEFAULT_MAX_TRIALS).unwrap();
        // 100 training images whose only pixel is their number.
        let train = Split {
            images: (0..100).collect(),
            labels: [0, 1].repeat(50),
            shape: ImageShape::grey(1, 1),
        };
        let test = Split { images: vec![0], labels: vec![0], shape: ImageShape::grey(1, 1) };
        let data = DeviceData::new(
            Splits { train: train.into(), test, classes: 2, units: UNITS },
            Device::Cpu,
        );
        let mut all = Vec::new();
        for spec in grid.trials() {
            for sampling in [Sampling::Uniform, Sampling::Balanced] {
                let spec = TrialSpec { sampling, ..spec };
                let subset = data.subset_numbers(40, sampling, spec.seed).unwrap();
                let validation = data.validation_numbers(60, &spec).unwrap();
                assert_ne!(
                    validation,
                    data.validation_numbers(60, &TrialSpec { seed: spec.seed + 1, ..spec })
                        .unwrap()
                );
                assert_eq!(
                    validation[..7],
                    data.validation_numbers(7, &spec).unwrap(),
                    "a smaller one is its beginning"
                );
                // The images are those with these numbers.
                let images = data.validation(60, &spec).unwrap();
                let shown: Vec<u8> =
                    brightness(&images.pixels, UNITS).flatten(0, -1).try_into().unwrap();
                assert_eq!(shown.into_iter().map(usize::from).collect::<Vec<_>>(), validation);
                let mut both = [subset, validation.clone()].concat();
                both.sort_unstable();
                assert_eq!(both, (0..100).collect::<Vec<_>>(), "disjoint, and all there are");
                assert!(
                    data.validation(61, &spec).unwrap_err().to_string().contains("`61` images")
                );
                all.push(validation);
            }
        }
        assert_eq!(all.len(), 6);
    }

    #[test]
    fn images_are_normalised_in_their_order() {
        let split = Split {
            images: (0..12).map(|i| i * 20).collect(),
            labels: vec![3, 1],
            shape: ImageShape { height: 2, width: 3, channels: 1 },
        };
        let images = images(&split, UNITS, Device::Cpu);
        assert_eq!(images.pixels.size(), [2, 2, 3, 1]);
        assert_eq!(images.labels.int64_value(&[1]), 1);
        assert_eq!(images.pixels.double_value(&[1, 0, 2, 0]), f64::from(UNITS.of(160)));
        let bytes: Vec<u8> = brightness(&images.pixels, UNITS).flatten(0, -1).try_into().unwrap();
        assert_eq!(bytes, split.images);
        // The values of black and white in torchvision's ToTensor and Normalize((0.1307,),
        // (0.3081,)).
        assert!(
            (UNITS.of(0) + 0.424_212_9).abs() < 1e-6 && (UNITS.of(255) - 2.821_486_7).abs() < 1e-6
        );
    }
}
