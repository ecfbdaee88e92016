//! The training of a VAE, and the statistics of its latent codes.

use swfn_shared::{metrics::VAE_LOSS, trial::Vae as Settings};
use tch::Tensor;

use super::{adam::Adam, model::Vae, trained::TrainedVae};
use crate::{
    rng::{Purpose, Stream},
    train::{
        batches::Batches,
        report::{LossMeter, REPORT_EVERY, Reporter, TrainError},
    },
};

/// Steps whose inputs are gathered at once.
const CHUNK: u32 = 50;

/// Trains a VAE on the subset. `pixels`: `[n, H, W]` in normalised units; the VAE's own units are their sigmoid.
///
/// The latent statistics are those of the last training batch as its step saw them, before its update, as published.
pub(crate) fn train(
    settings: &Settings,
    pixels: &Tensor,
    seed: u64,
    reporter: &mut Reporter<'_>,
) -> Result<TrainedVae, TrainError> {
    let device = pixels.device();
    let images = pixels.flatten(1, -1).sigmoid(); // [n, H * W]
    let (batch, latent) = (i64::from(settings.batch_size), i64::from(settings.latent));
    let vae = Vae::new(images.size()[1], settings.hidden.into(), latent, seed, device);
    let mut optimiser = Adam::new(vae.parameters(), settings.learning_rate.get());
    let mut batches = Batches::new(pixels.size()[0] as usize, batch as usize, seed, Purpose::VaeBatches);
    let mut noise = Stream::new(seed, Purpose::VaeNoise);
    let mut loss = LossMeter::new(VAE_LOSS, device);
    let (mut losses, mut codes) = (Vec::new(), None);
    let mut step = 0;
    while step < settings.iterations {
        let report = settings.iterations.min(step + REPORT_EVERY);
        while step < report {
            let steps = CHUNK.min(report - step);
            let mut numbers = Vec::new();
            (0..steps).for_each(|_| batches.next_into(&mut numbers));
            let x = images.index_select(0, &Tensor::from_slice(&numbers).to_device(device)); // [steps * B, H * W]
            let noise = Tensor::from_slice(&noise.normal(numbers.len() * latent as usize));
            let noise = noise.view([-1, latent]).to_device(device); // [steps * B, latent]
            for (x, noise) in x.split(batch, 0).iter().zip(noise.split(batch, 0)) {
                let elbo = vae.forward(x, &noise);
                loss.add(&elbo.loss);
                optimiser.minimise(&elbo.loss);
                codes = Some((elbo.mu.detach(), elbo.logvar.detach()));
                step += 1;
                reporter.tick(step.into())?;
            }
        }
        let point = loss.read(step.into())?;
        losses.push(point);
        reporter.report(step.into(), &[point])?;
    }
    let (mu, logvar) =
        codes.ok_or_else(|| TrainError::Data("a VAE of `0` iterations has no latent statistics".to_owned()))?;
    Ok(TrainedVae::new(vae.decoder, &mu, &logvar, losses))
}
