//! Images of other sizes, and other numbers of classes, through every architecture and every kind
//! of VAE.

use std::ops::ControlFlow;

use swfn_shared::{
    artifacts::Artifacts,
    dataset::{CLASSES, Dataset, IdxDataset, Sizes, Units},
    ids::DataDigest,
    image::ImageShape,
    metrics::MetricPoint,
    trial::{
        Architecture, BatchNormScale, Classifier, Density, Epochs, LatentStatistics, Penalty,
        Precision, SampleBatchNorm, SampleUnits, Sampling, TrialSpec, Vae, VaeFamily, VaeSamples,
    },
};
use swfn_worker::{
    data::{Split, Splits},
    train::trainer::{Options, Trainer},
    trial::report::{Observer, Stop},
};
use tch::Device;

use crate::common::Run as _;

struct Silent;

impl Observer for Silent {
    fn points(&mut self, _: u64, _: &[MetricPoint]) -> ControlFlow<Stop> {
        ControlFlow::Continue(())
    }
}

/// Images of that size: noise, with a bright patch in one channel. The patch's position is the
/// class of grey images, its channel that of coloured ones.
fn images(own: &IdxDataset, count: u32) -> Split {
    let Sizes { image: shape, classes, .. } = own.sizes;
    let [height, width, channels] = shape.size().map(|size| size as usize);
    let classes = classes as usize;
    let mut state = count;
    let mut images = Vec::new();
    let labels: Vec<u8> = (0..count as usize).map(|index| (index % classes) as u8).collect();
    for label in &labels {
        let columns = classes.isqrt();
        let (rows, label) = (classes.div_ceil(columns), usize::from(*label));
        for (y, x) in (0..height).flat_map(|y| (0..width).map(move |x| (y, x))) {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let place = if channels == 1 { label } else { 0 };
            let ink =
                (y * rows / height, x * columns / width) == (place / columns, place % columns);
            for channel in 0..channels {
                let ink = ink && channel == label % channels;
                images.push((state >> 26) as u8 + if ink { 190 } else { 0 });
            }
        }
    }
    Split { images, labels, shape }
}

fn own(image: ImageShape, classes: u32) -> IdxDataset {
    let digest = DataDigest::of(["", "", "", ""]);
    let sizes = Sizes { image, classes, train_images: 6 * classes, test_images: 2 * classes };
    IdxDataset { digest, sizes }
}

fn spec(own: IdxDataset, architecture: Architecture, family: Option<VaeFamily>) -> TrialSpec {
    TrialSpec {
        dataset: Dataset::Idx(own),
        subset_size: own.sizes.train_images,
        sampling: Sampling::Balanced,
        validation: 0,
        seed: 1,
        architecture,
        learning_rate: 0.01,
        classifier: Classifier {
            iterations: 40,
            batch_size: 6,
            momentum: 0.5,
            dropout: 0.5,
            batch_norm_scale: BatchNormScale::Uniform,
            evaluate_every: 20,
            precision: Precision::Float32,
            epochs: Epochs::Continuous,
        },
        penalty: family.map(|family| Penalty {
            lambda: 0.001,
            samples: 3,
            density: if family == VaeFamily::Vanilla { Density::Vae } else { Density::ConvVae },
            units: SampleUnits::Normalised,
            batch_norm: SampleBatchNorm::TrainNoUpdate,
            vae: Some(VaeSamples {
                spread: 1.0,
                vae: Vae {
                    family,
                    iterations: 20,
                    batch_size: 6,
                    learning_rate: 1e-3,
                    hidden: 16,
                    latent: 4,
                    latent_statistics: LatentStatistics::LastBatch,
                },
            }),
        }),
        ..TrialSpec::PUBLISHED
    }
}

fn trainer(own: IdxDataset) -> Trainer {
    let mut trainer = Trainer::new(Device::Cpu, Options::default());
    let (train, test) = (images(&own, own.sizes.train_images), images(&own, own.sizes.test_images));
    let classes = own.sizes.classes as usize;
    let splits = Splits { train: train.into(), test, classes, units: Units::OF_MNIST };
    trainer.load(Dataset::Idx(own), splits).unwrap();
    trainer
}

fn accuracies(own: IdxDataset) -> Vec<(String, f64)> {
    let mut trainer = trainer(own);
    let mut found = Vec::new();
    for family in [None, Some(VaeFamily::Vanilla), Some(VaeFamily::Convolutional)] {
        for &architecture in Architecture::ALL {
            let outcome = trainer.run(&spec(own, architecture, family), &mut Silent).unwrap();
            assert!(outcome.final_test_loss.is_finite());
            found.push((format!("{architecture} {family:?}"), outcome.final_test_accuracy));
        }
    }
    found
}

#[test]
fn few_classes_of_oblong_images_are_learnt() {
    for (trial, accuracy) in accuracies(own(ImageShape::grey(20, 24), 3)) {
        assert!(accuracy > 0.6, "{trial}: {accuracy} by chance 0.33");
    }
}

#[test]
fn colours_are_learnt_with_every_density_and_shown() {
    let own = own(ImageShape { height: 20, width: 24, channels: 3 }, 3);
    for (trial, accuracy) in accuracies(own) {
        assert!(accuracy > 0.6, "{trial}: {accuracy} by chance 0.33");
    }
    let mut trainer = trainer(own);
    for density in [Density::Data, Density::UniformNoise, Density::GaussianNoise] {
        let mut spec = spec(own, Architecture::NET, Some(VaeFamily::Vanilla));
        let penalty = spec.penalty.as_mut().unwrap();
        (penalty.density, penalty.vae) = (density, None);
        let accuracy = trainer.run(&spec, &mut Silent).unwrap().final_test_accuracy;
        assert!(accuracy > 0.6, "{density:?}: {accuracy}");
    }

    let wanted = Artifacts { vae_sheet: true, ..Artifacts::default() };
    let spec = spec(own, Architecture::NET, Some(VaeFamily::Vanilla));
    let (_, files) = trainer.run_for(&spec, wanted, &mut Silent).unwrap();
    let mut reader =
        png::Decoder::new(std::io::Cursor::new(&files[0].content)).read_info().unwrap();
    let mut sheet = vec![0; reader.output_buffer_size().unwrap()];
    let info = reader.next_frame(&mut sheet).unwrap();
    // 18 columns, which are all images of the subset; two pixels around each tile.
    assert_eq!(
        (info.color_type, info.width, info.height),
        (png::ColorType::Rgb, 18 * 26 + 2, 6 * 22 + 2)
    );
    // The first pixel of each tile of the first row is bright in the channel of its class.
    let mut classes = [0; 3];
    for tile in sheet[2 * info.line_size..3 * info.line_size][6..].chunks(26 * 3).take(18) {
        let bright = (0..3).max_by_key(|channel| tile[*channel]).unwrap();
        assert!(
            (0..3).all(|channel| (tile[channel] >= 190) == (channel == bright)),
            "{:?}",
            &tile[..3]
        );
        classes[bright] += 1;
    }
    assert_eq!(classes, [6; 3]);
}

#[test]
#[ignore = "make test-all: it takes as long as all others of this file"]
fn many_classes_of_the_largest_images_are_learnt() {
    for (trial, accuracy) in accuracies(own(ImageShape::grey(64, 64), 26)) {
        assert!(accuracy > 0.2, "{trial}: {accuracy} by chance 0.04");
    }
}

#[test]
fn extreme_sizes_and_numbers_of_classes_pass() {
    for own in [own(ImageShape::grey(16, 17), *CLASSES.end()), own(ImageShape::grey(64, 64), 26)] {
        passes(own);
    }
}

/// All architectures train for a few steps.
fn passes(own: IdxDataset) {
    let mut trainer = trainer(own);
    for &architecture in Architecture::ALL {
        let mut spec = spec(own, architecture, Some(VaeFamily::Convolutional));
        spec.classifier.iterations = 3;
        // Four pixels a channel are left where the VAE's images are smallest: batch norm has a
        // variance even of one image.
        spec.penalty.as_mut().unwrap().vae.as_mut().unwrap().vae.batch_size = 1;
        assert!(
            trainer.run(&spec, &mut Silent).unwrap().final_test_loss.is_finite(),
            "{architecture}"
        );
    }
}
