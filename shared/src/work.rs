//! The arithmetic of a trial, counted before it runs: what `--dry-run` prints and what an estimate of the remaining time weighs by.

use crate::trial::{Architecture, TrialSpec, Vae, VaeFamily, VaeSamples};

/// Multiply-adds of one image's forward pass through a classifier of 28x28 images and 10 classes.
fn classifier_macs(architecture: Architecture) -> f64 {
    // Convolutions: output pixels x output channels x 25 or 16 taps x input channels.
    match architecture {
        Architecture::Net | Architecture::NetDropout => {
            24.0 * 24.0 * 10.0 * 25.0 + 8.0 * 8.0 * 20.0 * 250.0 + 320.0 * 50.0 + 50.0 * 10.0
        }
        Architecture::Lenet | Architecture::LenetBn => {
            24.0 * 24.0 * 20.0 * 25.0 + 8.0 * 8.0 * 50.0 * 500.0 + 800.0 * 500.0 + 500.0 * 10.0
        }
    }
}

/// Multiply-adds of one image's way through the encoder and of one code's way through the decoder.
fn vae_macs(vae: &Vae) -> (f64, f64) {
    let (hidden, latent) = (f64::from(vae.hidden), f64::from(vae.latent));
    match vae.family {
        VaeFamily::Vanilla => (hidden * (784.0 + 2.0 * latent), hidden * (latent + 784.0)),
        VaeFamily::Convolutional => {
            // 28 -> 14 -> 7 -> 3 pixels a side and 1 -> h/8 -> h/4 -> h/2 channels, 16 taps each; then 9 * h/2 values.
            let (first, second, third) = (hidden / 8.0, hidden / 4.0, hidden / 2.0);
            let convolutions = 16.0 * (196.0 * first + 49.0 * first * second + 9.0 * second * third);
            (convolutions + 9.0 * third * 2.0 * latent, convolutions + 9.0 * third * latent)
        }
    }
}

/// A backward pass costs two forward passes; a multiply-add is two operations.
const TRAIN_FLOP_PER_MAC: f64 = 6.0;
const FORWARD_FLOP_PER_MAC: f64 = 2.0;

/// Floating-point operations of training the trial's VAE; zero without one. Trials of one subset share it.
pub fn vae_flop(spec: &TrialSpec) -> f64 {
    spec.vae_samples().map_or(0.0, |VaeSamples { vae, .. }| {
        let (encoder, decoder) = vae_macs(&vae);
        f64::from(vae.iterations) * f64::from(vae.batch_size) * TRAIN_FLOP_PER_MAC * (encoder + decoder)
    })
}

/// Floating-point operations of training and testing the trial's classifier, its penalty samples included.
pub fn classifier_flop(spec: &TrialSpec) -> f64 {
    let macs = classifier_macs(spec.architecture);
    let classifier = &spec.classifier;
    let per_step = TRAIN_FLOP_PER_MAC * macs * f64::from(classifier.batch_size + spec.penalty_samples())
        + spec
            .vae_samples()
            .map_or(0.0, |samples| FORWARD_FLOP_PER_MAC * f64::from(spec.penalty_samples()) * vae_macs(&samples.vae).1);
    let evaluations = f64::from(classifier.iterations.div_ceil(classifier.evaluate_every));
    f64::from(classifier.iterations) * per_step
        + evaluations * FORWARD_FLOP_PER_MAC * macs * f64::from(spec.dataset.test_len())
}
