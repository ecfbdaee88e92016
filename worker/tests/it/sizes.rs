//! Images of other sizes, and other numbers of classes, through every architecture and every kind of VAE.

use std::ops::ControlFlow;

use swfn_shared::{
    dataset::{CLASSES, Dataset as Name, IdxDataset},
    ids::DataDigest,
    image::ImageShape,
    metrics::MetricPoint,
    numbers::{Dropout, Lambda, LearningRate, Momentum, Spread},
    trial::{
        Architecture, BatchNormScale, Classifier, Density, Epochs, LatentStatistics, Penalty, Precision,
        SampleBatchNorm, SampleUnits, Sampling, TrialSpec, Vae, VaeFamily, VaeSamples,
    },
};
use swfn_worker::{
    data::{Dataset, Split},
    train::trainer::Trainer,
    trial::report::{Observer, Stop},
};
use tch::Device;

struct Silent;

impl Observer for Silent {
    fn points(&mut self, _: u64, _: &[MetricPoint]) -> ControlFlow<Stop> {
        ControlFlow::Continue(())
    }
}

/// Images of that size: grey noise, and a bright patch whose place tells the class.
fn images(own: &IdxDataset, count: u32) -> Split {
    let (height, width, classes) = (own.height as usize, own.width as usize, own.classes as usize);
    let mut state = count;
    let mut images = Vec::new();
    let labels: Vec<u8> = (0..count as usize).map(|index| (index % classes) as u8).collect();
    for label in &labels {
        let columns = classes.isqrt();
        let (rows, label) = (classes.div_ceil(columns), usize::from(*label));
        for (y, x) in (0..height).flat_map(|y| (0..width).map(move |x| (y, x))) {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let ink = (y * rows / height, x * columns / width) == (label / columns, label % columns);
            images.push((state >> 26) as u8 + if ink { 190 } else { 0 });
        }
    }
    Split { images, labels, shape: ImageShape::grey(own.height, own.width) }
}

fn own(height: u32, width: u32, classes: u32) -> IdxDataset {
    let digest = DataDigest::of(["", "", "", ""]);
    IdxDataset { digest, height, width, classes, train_images: 6 * classes, test_images: 2 * classes }
}

fn spec(own: IdxDataset, architecture: Architecture, family: Option<VaeFamily>) -> TrialSpec {
    TrialSpec {
        dataset: Name::Idx(own),
        subset_size: own.train_images,
        sampling: Sampling::Balanced,
        validation: 0,
        seed: 1,
        architecture,
        learning_rate: LearningRate::new(0.01).unwrap(),
        classifier: Classifier {
            iterations: 40,
            batch_size: 6,
            momentum: Momentum::new(0.5).unwrap(),
            dropout: Dropout::new(0.5).unwrap(),
            batch_norm_scale: BatchNormScale::Uniform,
            evaluate_every: 20,
            precision: Precision::Float32,
            epochs: Epochs::Continuous,
        },
        penalty: family.map(|family| Penalty {
            lambda: Lambda::new(0.001).unwrap(),
            samples: 3,
            density: if family == VaeFamily::Vanilla { Density::Vae } else { Density::ConvVae },
            units: SampleUnits::Normalised,
            batch_norm: SampleBatchNorm::TrainNoUpdate,
            vae: Some(VaeSamples {
                spread: Spread::new(1.0).unwrap(),
                vae: Vae {
                    family,
                    iterations: 20,
                    batch_size: 6,
                    learning_rate: LearningRate::new(1e-3).unwrap(),
                    hidden: 16,
                    latent: 4,
                    latent_statistics: LatentStatistics::LastBatch,
                },
            }),
        }),
        ..TrialSpec::PUBLISHED
    }
}

fn accuracies(own: IdxDataset) -> Vec<(String, f64)> {
    let mut trainer = Trainer::new(Device::Cpu);
    let (train, test) = (images(&own, own.train_images), images(&own, own.test_images));
    trainer.load(Name::Idx(own), Dataset { train: train.into(), test, classes: own.classes as usize }).unwrap();
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
    for (trial, accuracy) in accuracies(own(20, 24, 3)) {
        assert!(accuracy > 0.6, "{trial}: {accuracy} by chance 0.33");
    }
}

#[test]
#[ignore = "make test-all: it takes as long as all others of this file"]
fn many_classes_of_the_largest_images_are_learnt() {
    for (trial, accuracy) in accuracies(own(64, 64, 26)) {
        assert!(accuracy > 0.2, "{trial}: {accuracy} by chance 0.04");
    }
}

#[test]
fn the_smallest_images_and_the_largest_and_the_most_classes_pass() {
    for own in [own(16, 17, *CLASSES.end()), own(64, 64, 26)] {
        passes(own);
    }
}

/// All architectures train for a few steps.
fn passes(own: IdxDataset) {
    let mut trainer = Trainer::new(Device::Cpu);
    let (train, test) = (images(&own, own.train_images), images(&own, own.test_images));
    trainer.load(Name::Idx(own), Dataset { train: train.into(), test, classes: own.classes as usize }).unwrap();
    for &architecture in Architecture::ALL {
        let mut spec = spec(own, architecture, Some(VaeFamily::Convolutional));
        spec.classifier.iterations = 3;
        // Four pixels a channel are left where the VAE's images are smallest: batch norm has a variance even of one image.
        spec.penalty.as_mut().unwrap().vae.as_mut().unwrap().vae.batch_size = 1;
        assert!(trainer.run(&spec, &mut Silent).unwrap().final_test_loss.is_finite(), "{architecture}");
    }
}
