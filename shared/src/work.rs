//! The arithmetic of a trial, counted before it runs: what `--dry-run` prints and what an estimate of the remaining time weighs by.

use crate::trial::{Architecture, TrialSpec, Vae, VaeSamples};

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

/// Multiply-adds of one code's way through the decoder.
fn decoder_macs(vae: &Vae) -> f64 {
    f64::from(vae.hidden) * (f64::from(vae.latent) + 784.0)
}

/// A backward pass costs two forward passes; a multiply-add is two operations.
const TRAIN_FLOP_PER_MAC: f64 = 6.0;
const FORWARD_FLOP_PER_MAC: f64 = 2.0;

/// Floating-point operations of training the trial's VAE; zero without one. Trials of one subset share it.
pub fn vae_flop(spec: &TrialSpec) -> f64 {
    spec.vae_samples().map_or(0.0, |VaeSamples { vae, .. }| {
        let encoder = f64::from(vae.hidden) * (784.0 + 2.0 * f64::from(vae.latent));
        f64::from(vae.iterations) * f64::from(vae.batch_size) * TRAIN_FLOP_PER_MAC * (encoder + decoder_macs(&vae))
    })
}

/// Floating-point operations of training and testing the trial's classifier, its penalty samples included.
pub fn classifier_flop(spec: &TrialSpec) -> f64 {
    let macs = classifier_macs(spec.architecture);
    let classifier = &spec.classifier;
    let per_step = TRAIN_FLOP_PER_MAC * macs * f64::from(classifier.batch_size + spec.penalty_samples())
        + spec.vae_samples().map_or(0.0, |samples| {
            FORWARD_FLOP_PER_MAC * f64::from(spec.penalty_samples()) * decoder_macs(&samples.vae)
        });
    let evaluations = f64::from(classifier.iterations.div_ceil(classifier.evaluate_every));
    f64::from(classifier.iterations) * per_step
        + evaluations * FORWARD_FLOP_PER_MAC * macs * f64::from(spec.dataset.test_len())
}
