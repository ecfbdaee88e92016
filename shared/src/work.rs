//! The arithmetic of a trial, counted before it runs: for `--dry-run` and for the remaining time.

use std::collections::HashMap;

use crate::{
    dataset::{Dataset, Sizes},
    ids::{TrialId, VaeId},
    image::ImageShape,
    layers,
    trial::{Architecture, TrialSpec, Vae, VaeFamily, VaeSamples},
};

/// Multiply-adds of one image's forward pass through a classifier; zero if it does not fit.
fn classifier_macs(architecture: Architecture, dataset: &Dataset) -> f64 {
    let Sizes { image, classes, .. } = dataset.sizes();
    layers::macs(architecture.0.layers, image, classes).unwrap_or(0.0)
}

/// Multiply-adds of one image's way through the encoder and of one code's way through the decoder.
fn vae_macs(vae: &Vae, dataset: &Dataset) -> (f64, f64) {
    let (hidden, latent) = (f64::from(vae.hidden), f64::from(vae.latent));
    let ImageShape { height, width, channels } = dataset.sizes().image;
    let channels = f64::from(channels);
    let pixels = |halvings: u32| f64::from(height >> halvings) * f64::from(width >> halvings);
    match vae.family {
        VaeFamily::Vanilla => {
            let values = pixels(0) * channels;
            (hidden * (values + 2.0 * latent), hidden * (latent + values))
        }
        VaeFamily::Convolutional => {
            // Three halvings of both sides, C -> h/8 -> h/4 -> h/2 channels, 16 taps each. Then h/2
            // values of each pixel.
            let (first, second, third) = (hidden / 8.0, hidden / 4.0, hidden / 2.0);
            let convolutions = pixels(1) * channels * first
                + pixels(2) * first * second
                + pixels(3) * second * third;
            let values = pixels(3) * third;
            (16.0 * convolutions + values * 2.0 * latent, 16.0 * convolutions + values * latent)
        }
    }
}

/// A backward pass costs two forward passes; a multiply-add is two operations.
const TRAIN_FLOP_PER_MAC: f64 = 6.0;
const FORWARD_FLOP_PER_MAC: f64 = 2.0;

/// Floating-point operations of training the VAE, which trials of one subset share, or zero.
pub fn vae_flop(spec: &TrialSpec) -> f64 {
    spec.vae_samples().map_or(0.0, |VaeSamples { vae, .. }| {
        let (encoder, decoder) = vae_macs(&vae, &spec.dataset);
        let images = f64::from(vae.iterations) * f64::from(vae.batch_size);
        images * TRAIN_FLOP_PER_MAC * (encoder + decoder)
    })
}

/// Floating-point operations of training and testing the classifier, with its penalty samples.
pub fn classifier_flop(spec: &TrialSpec) -> f64 {
    let macs = classifier_macs(spec.architecture, &spec.dataset);
    let (batch, samples) =
        (f64::from(spec.classifier.batch_size), f64::from(spec.penalty_samples()));
    let decoding = spec.vae_samples().map_or(0.0, |VaeSamples { vae, .. }| {
        FORWARD_FLOP_PER_MAC * samples * vae_macs(&vae, &spec.dataset).1
    });
    let per_step = TRAIN_FLOP_PER_MAC * macs * (batch + samples) + decoding;
    f64::from(spec.classifier.iterations) * per_step + evaluation_flop(spec)
}

/// Number of evaluations of a trial's classifier.
pub fn evaluations(spec: &TrialSpec) -> u32 {
    spec.classifier.iterations.div_ceil(spec.classifier.evaluate_every)
}

/// Floating-point operations of all evaluations, which are a part of [`classifier_flop`].
pub fn evaluation_flop(spec: &TrialSpec) -> f64 {
    let images = f64::from(spec.dataset.sizes().test_images.saturating_add(spec.validation));
    let macs = classifier_macs(spec.architecture, &spec.dataset);
    f64::from(evaluations(spec)) * FORWARD_FLOP_PER_MAC * macs * images
}

/// Floating-point operations of each trial; trials that share a VAE share its operations.
pub fn flop_by_trial<'s>(
    trials: impl Iterator<Item = (TrialId, &'s TrialSpec)> + Clone,
) -> HashMap<TrialId, f64> {
    let mut sharing: HashMap<VaeId, f64> = HashMap::new();
    for vae in trials.clone().filter_map(|(_, spec)| spec.vae()) {
        *sharing.entry(vae).or_default() += 1.0;
    }
    let flop = |spec: &TrialSpec| {
        let vae = spec.vae().map_or(0.0, |vae| vae_flop(spec) / sharing[&vae]);
        classifier_flop(spec) + vae
    };
    trials.map(|(id, spec)| (id, flop(spec))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{catalogue::MNIST, dataset::IdxDataset, ids::DataDigest, trial::LatentStatistics};

    #[test]
    fn the_arithmetic_follows_the_size_of_the_images() {
        let own = |height, width, classes| {
            let digest = DataDigest::of(["", "", "", ""]);
            let image = ImageShape::grey(height, width);
            Dataset::Idx(IdxDataset {
                digest,
                sizes: Sizes { image, classes, train_images: 1, test_images: 1 },
            })
        };
        // Counted by hand for 28 x 28 pixels, as published.
        assert_eq!(
            classifier_macs(Architecture::NET, &Dataset::of(&MNIST)),
            144_000.0 + 320_000.0 + 16_000.0 + 500.0
        );
        assert_eq!(
            classifier_macs(Architecture::LENET, &Dataset::of(&MNIST)),
            288_000.0 + 1_600_000.0 + 400_000.0 + 5000.0
        );
        assert_eq!(classifier_macs(Architecture::LENET, &own(28, 28, 10)), 2_293_000.0);
        // 64 -> 60 -> 30 -> 26 -> 13; 16 -> 12 -> 6 -> 2 -> 1.
        assert_eq!(
            classifier_macs(Architecture::NET, &own(64, 16, 3)),
            180_000.0 + 260_000.0 + 13_000.0 + 150.0
        );
        let vae = |family| Vae {
            family,
            iterations: 1,
            batch_size: 1,
            learning_rate: 1.0,
            hidden: 8,
            latent: 2,
            latent_statistics: LatentStatistics::LastBatch,
        };
        assert_eq!(
            vae_macs(&vae(VaeFamily::Vanilla), &own(64, 16, 3)),
            (8.0 * 1028.0, 8.0 * 1026.0)
        );
        let convolutions = 16.0 * (256.0 + 64.0 * 2.0 + 16.0 * 8.0);
        let expected = (convolutions + 64.0 * 4.0, convolutions + 64.0 * 2.0);
        assert_eq!(vae_macs(&vae(VaeFamily::Convolutional), &own(64, 16, 3)), expected);
    }
}
