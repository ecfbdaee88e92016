//! Properties of trained VAEs.

use std::ops::ControlFlow;

use swfn_shared::{catalogue::SYNTHETIC, dataset::Dataset};
use tch::{Device, Reduction};

use super::*;
use crate::{
    data::{LoadOptions, load},
    device,
    rng::Stream,
    trial::report::{Observer, Stop},
};

struct Silent;

impl Observer for Silent {
    fn points(&mut self, _: u64, _: &[MetricPoint]) -> ControlFlow<Stop> {
        ControlFlow::Continue(())
    }
}

fn settings(family: VaeFamily, iterations: u32) -> Settings {
    let learning_rate = 1e-3;
    let latent_statistics = LatentStatistics::LastBatch;
    Settings {
        family,
        iterations,
        batch_size: 20,
        learning_rate,
        hidden: 128,
        latent: 100,
        latent_statistics,
    }
}

fn reporter() -> Reporter<'static> {
    let trial = "0123456789abcdef0123456789abcdef".parse().unwrap();
    Reporter::new(Box::new(Silent), tracing::Span::none(), trial, None)
}

fn images(pixels: &Tensor) -> Images {
    Images {
        pixels: pixels.shallow_clone(),
        labels: Tensor::zeros([pixels.size()[0]], (Kind::Int64, pixels.device())),
    }
}

/// What `then` makes of a VAE's training with seed 1, after its last step.
fn fitted<T>(settings: &Settings, pixels: &Tensor, then: impl FnOnce(&Training<'_, '_>) -> T) -> T {
    let (images, mut reporter) = (images(pixels), reporter());
    let (subset, waiting) = (Rc::new(images), vec![&mut reporter]);
    let request = Request { subset, seed: 1, resumed: None, waiting };
    let mut training =
        Training::start(settings, vec![request], Device::Cpu.into()).unwrap().unwrap();
    while training.lanes[0].step < settings.iterations {
        training.advance();
    }
    then(&training)
}

fn trained(settings: &Settings, pixels: &Tensor) -> TrainedVae {
    fitted(settings, pixels, |training| training.trained(0).unwrap())
}

/// `count` images in normalised units, `[count, 28, 28]`.
fn normalised(bytes: &[u8], count: i64) -> Tensor {
    let pixels = Tensor::from_slice(&bytes[..count as usize * 784]).to_kind(Kind::Float) / 255.0;
    ((pixels - 0.1307) / 0.3081).view([count, 28, 28, 1])
}

/// The error of reconstructions in nats per image, and the KL divergence of the codes. The error is
/// the cross-entropy from the codes' means, minus the entropy, which no reconstruction can beat.
fn excess(vae: &AnyVae, pixels: &Tensor) -> (f64, f64) {
    let _guard = no_grad_guard();
    let (x, count) = (pixels.flatten(1, -1).sigmoid(), pixels.size()[0] as f64);
    let (mu, logvar) = vae.encode(&x.unsqueeze(0));
    let divergence = (logvar.exp() + mu.square() - 1.0 - &logvar).sum(Kind::Double) * 0.5;
    let logits = vae.shallow_clone().into_decoder().forward(&mu).squeeze_dim(0);
    let bce = |logits: &Tensor| {
        let (logits, x) = (logits.to_kind(Kind::Double), x.to_kind(Kind::Double));
        logits
            .binary_cross_entropy_with_logits::<&Tensor>(&x, None, None, Reduction::Sum)
            .double_value(&[])
    };
    ((bce(&logits) - bce(&pixels.flatten(1, -1))) / count, divergence.double_value(&[]) / count)
}

#[test]
fn the_convolutional_vae_reconstructs_better() {
    device::use_one_thread();
    let digits = load(&Dataset::of(&SYNTHETIC), &LoadOptions::default()).unwrap();
    let (train, test) =
        (digits.train.gather(&Vec::from_iter(0..200)), digits.test.gather(&Vec::from_iter(0..50)));
    let (train, test) = (normalised(&train.images, 200), normalised(&test.images, 50));
    let [vanilla, convolutional] = [VaeFamily::Vanilla, VaeFamily::Convolutional].map(|family| {
        fitted(&settings(family, 120), &train, |training| excess(&training.core.model, &test).0)
    });
    assert!(0.0 < convolutional && convolutional < vanilla, "{convolutional} {vanilla}");
}

#[test]
fn a_convolutional_vae_repeats_from_its_tensors() {
    device::use_one_thread();
    let pixels = Tensor::from_slice(&Stream::new(0, Purpose::SUBSET).normal(20 * 9 * 13))
        .view([20, 9, 13, 1]);
    let settings = settings(VaeFamily::Convolutional, 3);
    let noise =
        Tensor::from_slice(&Stream::new(0, Purpose::PENALTY_NOISE).normal(400)).view([1, 4, 100]);
    let sample = |vae: &TrainedVae| vae.density.decode(&noise, 3.0);
    let (one, other) = (trained(&settings, &pixels), trained(&settings, &pixels));
    assert_eq!(sample(&one).size(), [1, 4, 9 * 13]);
    assert_eq!(sample(&one), sample(&other));
    // With copies of all tensors, running statistics included, an untrained VAE makes the same
    // samples.
    let blank = untrained(&settings, &pixels, Device::Cpu.into());
    assert_ne!(sample(&blank), sample(&one));
    let _guard = no_grad_guard();
    for ((name, mut to), (same, from)) in blank.tensors().into_iter().zip(one.tensors()) {
        assert_eq!(name, same);
        to.copy_(&from);
    }
    assert_eq!(sample(&blank), sample(&one));
    assert_eq!(blank.reconstructions, one.reconstructions);
    assert_eq!(one.reconstructions.size(), [20, 9 * 13]);
}

/// With batches of the whole subset, the last batch is the subset under the weights before the last
/// step.
#[test]
fn latent_statistics_are_of_last_batch_or_subset() {
    device::use_one_thread();
    let pixels = Tensor::from_slice(&Stream::new(0, Purpose::SUBSET).normal(20 * 9 * 13))
        .view([20, 9, 13, 1]);
    let images = pixels.flatten(1, -1).sigmoid().unsqueeze(0);
    let settings = |iterations, latent_statistics| Settings {
        batch_size: 20,
        latent_statistics,
        ..settings(VaeFamily::Vanilla, iterations)
    };
    let of = |statistics| {
        let vae = trained(&settings(3, statistics), &pixels);
        vae.tensors().into_iter().find(|(name, _)| name == "latent.mu").unwrap().1
    };
    let [before, after] = [2, 3].map(|iterations| {
        let encode = |training: &Training<'_, '_>| training.core.model.encode(&images).0;
        let mu = fitted(&settings(iterations, LatentStatistics::LastBatch), &pixels, encode);
        mu.mean_dim([1_i64].as_slice(), false, Kind::Float)
    });
    let distance = |a: &Tensor, b: &Tensor| (a - b).abs().max().double_value(&[]);
    let (batch, subset) = (of(LatentStatistics::LastBatch), of(LatentStatistics::Subset));
    assert!(distance(&batch, &before) < 1e-6 && distance(&subset, &after) < 1e-6);
    assert!(distance(&before, &after) > 1e-4, "{}", distance(&before, &after));
}

#[test]
fn images_too_small_for_the_convolutions_are_refused() {
    let pixels = Tensor::zeros([20, 28, 7, 1], (Kind::Float, Device::Cpu));
    let refused = |family| {
        let (images, mut reporter) = (images(&pixels), reporter());
        let request = Request {
            subset: Rc::new(images),
            seed: 1,
            resumed: None,
            waiting: vec![&mut reporter],
        };
        super::train(&settings(family, 1), vec![request], Device::Cpu.into()).err()
    };
    let error = refused(VaeFamily::Convolutional).unwrap().to_string();
    assert!(
        error.starts_with("images of `28 x 7` pixels are too small for the convolutional VAE"),
        "{error}"
    );
    assert_eq!(refused(VaeFamily::Vanilla), None);
}
