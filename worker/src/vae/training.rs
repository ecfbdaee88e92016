//! The training of a VAE, and the statistics of its latent codes.

use std::time::Instant;

use swfn_shared::{
    metrics::{MetricPoint, VAE_LOSS},
    trial::{LatentStatistics, Vae as Settings, VaeFamily},
};
use tch::{Tensor, no_grad_guard};

use super::{adam::Adam, conv, family::AnyVae, trained::TrainedVae};
use crate::{
    rng::{Purpose, Stream},
    train::{
        batches::Batches,
        report::{LossMeter, REPORT_EVERY, Reporter, TrainError},
        state::{Phase, State},
    },
};

/// Steps whose inputs are gathered at once.
const CHUNK: u32 = 50;

/// Images whose reconstructions are kept, at most.
const RECONSTRUCTIONS: i64 = 20;

/// A VAE as [`train`] returns it, same tensors, same places in memory, but for its numbers: what one that comes from a
/// file is read into.
pub(crate) fn untrained(settings: &Settings, pixels: &Tensor) -> TrainedVae {
    let vae = AnyVae::new(settings, sides(pixels), 0, pixels.device());
    let codes = Tensor::zeros([1, settings.latent.into()], (tch::Kind::Float, pixels.device()));
    TrainedVae::new(vae.into_decoder(), &codes, &codes, Vec::new()).with_reconstructions(first(pixels).zeros_like())
}

/// Trains a VAE on the subset. `pixels`: `[n, H, W]` in normalised units; the VAE's own units are their sigmoid.
///
/// The latent statistics are those of the last training batch as its step saw them, before its update, as published; or
/// those of all images under the final weights. Batch norm, which the convolutional VAE has, is in training mode for
/// the former, in test mode for the latter.
pub(crate) fn train(
    settings: &Settings,
    pixels: &Tensor,
    seed: u64,
    resumed: Option<&State>,
    reporter: &mut Reporter<'_>,
) -> Result<TrainedVae, TrainError> {
    let Fitted { vae, mu, logvar, losses } = fit(settings, pixels, seed, resumed, reporter)?;
    let _guard = no_grad_guard();
    let reconstructions = vae.decode(&vae.encode(&first(pixels).sigmoid()).0);
    Ok(TrainedVae::new(vae.into_decoder(), &mu, &logvar, losses).with_reconstructions(reconstructions))
}

/// A VAE after its last iteration.
struct Fitted {
    vae: AnyVae,
    /// Of the images that the latent statistics are taken of, `[B, latent]`.
    mu: Tensor,
    /// Of the same images, `[B, latent]`.
    logvar: Tensor,
    losses: Vec<MetricPoint>,
}

/// [`train`] with the whole VAE as its result.
fn fit(
    settings: &Settings,
    pixels: &Tensor,
    seed: u64,
    resumed: Option<&State>,
    reporter: &mut Reporter<'_>,
) -> Result<Fitted, TrainError> {
    check(settings.family, pixels)?;
    let device = pixels.device();
    let images = pixels.flatten(1, -1).sigmoid(); // [n, H * W]
    let (batch, latent) = (i64::from(settings.batch_size), i64::from(settings.latent));
    let vae = AnyVae::new(settings, sides(pixels), seed, device);
    let mut optimiser = Adam::new(vae.parameters(), settings.learning_rate.get());
    let mut batches = Batches::new(pixels.size()[0] as usize, batch as usize, seed, Purpose::VaeBatches);
    let mut noise = Stream::new(seed, Purpose::VaeNoise);
    let mut loss = LossMeter::new(VAE_LOSS, device);
    let (mut losses, mut codes) = (Vec::new(), None);
    let (start, mut earlier) = (Instant::now(), 0.0);
    let mut step = 0;
    if let Some(state) = resumed {
        state.restore_named("model", vae.parameters())?;
        state.restore_named("model", vae.buffers())?;
        optimiser.restore(state)?;
        batches.restore("batches", state)?;
        state.restore_stream("noise", &mut noise)?;
        earlier = state.float("vae.seconds")?;
        step = state.step(settings.iterations)?;
        losses = state.points()?;
        reporter.go_on(step.into(), &losses)?;
    }
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
                let (elbo, gradients) = vae.gradients(x, &noise);
                loss.add(&elbo.loss);
                optimiser.step(&gradients);
                codes = Some((elbo.mu.detach(), elbo.logvar.detach()));
                step += 1;
                if step < report {
                    reporter.tick(step.into())?;
                }
            }
        }
        let point = loss.read(step.into())?;
        losses.push(point);
        if step < settings.iterations {
            reporter.report_and_save(step.into(), &[point], || {
                let mut state = State::new(Phase::Vae, step);
                state.set_named("model", vae.parameters());
                state.set_named("model", vae.buffers());
                optimiser.keep(&mut state);
                batches.keep("batches", &mut state);
                state.set_stream("noise", &noise);
                state.set_float("vae.seconds", earlier + start.elapsed().as_secs_f64());
                state
            })?;
        } else {
            reporter.report(step.into(), &[point])?;
        }
    }
    if settings.latent_statistics == LatentStatistics::Subset {
        let _guard = no_grad_guard();
        codes = Some(vae.encode(&images));
    }
    let (mu, logvar) =
        codes.ok_or_else(|| TrainError::Data("a VAE of `0` iterations has no latent statistics".to_owned()))?;
    Ok(Fitted { vae, mu, logvar, losses })
}

/// The images whose reconstructions are kept: of `[n, H, W]` the first, `[k, H * W]`.
fn first(pixels: &Tensor) -> Tensor {
    pixels.narrow(0, 0, RECONSTRUCTIONS.min(pixels.size()[0])).flatten(1, -1)
}

/// Height and width of `[n, H, W]`.
fn sides(pixels: &Tensor) -> (i64, i64) {
    (pixels.size()[1], pixels.size()[2])
}

/// Refuses images that are too small for the convolutions.
fn check(family: VaeFamily, pixels: &Tensor) -> Result<(), TrainError> {
    let (height, width) = sides(pixels);
    match family {
        VaeFamily::Convolutional if height.min(width) < conv::MIN_SIDE => Err(TrainError::Data(format!(
            "images of `{height} x {width}` pixels are too small for the convolutional VAE; \
             hint: at least {side} x {side}, or the vanilla one",
            side = conv::MIN_SIDE,
        ))),
        VaeFamily::Vanilla | VaeFamily::Convolutional => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::ops::ControlFlow;

    use swfn_shared::numbers::LearningRate;
    use tch::{Device, Kind, Reduction};

    use super::*;
    use crate::{
        data::{LoadOptions, Source, load},
        device,
        train::report::{Observer, Stop},
    };

    struct Silent;

    impl Observer for Silent {
        fn points(&mut self, _: u64, _: &[MetricPoint]) -> ControlFlow<Stop> {
            ControlFlow::Continue(())
        }
    }

    fn settings(family: VaeFamily, iterations: u32) -> Settings {
        let learning_rate = LearningRate::new(1e-3).unwrap();
        let latent_statistics = LatentStatistics::LastBatch;
        Settings { family, iterations, batch_size: 20, learning_rate, hidden: 128, latent: 100, latent_statistics }
    }

    fn fitted(family: VaeFamily, pixels: &Tensor, iterations: u32) -> Fitted {
        fit(&settings(family, iterations), pixels, 1, None, &mut Reporter::new(&mut Silent)).unwrap()
    }

    /// `count` images in normalised units, `[count, 28, 28]`.
    fn normalised(bytes: &[u8], count: i64) -> Tensor {
        let pixels = Tensor::from_slice(&bytes[..count as usize * 784]).to_kind(Kind::Float) / 255.0;
        ((pixels - 0.1307) / 0.3081).view([count, 28, 28])
    }

    /// How far images are from their reconstructions, in nats per image: cross-entropy from the codes' means, less the
    /// entropy, which no reconstruction can beat. Also the KL divergence of the codes.
    fn excess(vae: &AnyVae, pixels: &Tensor) -> (f64, f64) {
        let _guard = no_grad_guard();
        let (x, count) = (pixels.flatten(1, -1).sigmoid(), pixels.size()[0] as f64);
        let (mu, logvar) = vae.encode(&x);
        let divergence = (logvar.exp() + mu.square() - 1.0 - &logvar).sum(Kind::Double) * 0.5;
        let logits = vae.decode(&mu);
        let bce = |logits: &Tensor| {
            let (logits, x) = (logits.to_kind(Kind::Double), x.to_kind(Kind::Double));
            logits.binary_cross_entropy_with_logits::<&Tensor>(&x, None, None, Reduction::Sum).double_value(&[])
        };
        ((bce(&logits) - bce(&pixels.flatten(1, -1))) / count, divergence.double_value(&[]) / count)
    }

    #[test]
    fn the_convolutional_vae_reconstructs_no_worse_than_the_vanilla_one() {
        device::use_one_thread();
        let digits = load(&Source::Synthetic { seed: 0 }, &LoadOptions::default()).unwrap();
        let (train, test) = (digits.train.gather(&Vec::from_iter(0..200)), digits.test.gather(&Vec::from_iter(0..100)));
        let (train, test) = (normalised(&train.images, 200), normalised(&test.images, 100));
        let [vanilla, convolutional] = [VaeFamily::Vanilla, VaeFamily::Convolutional]
            .map(|family| excess(&fitted(family, &train, 200).vae, &test).0);
        assert!(0.0 < convolutional && convolutional < vanilla, "{convolutional} {vanilla}");
    }

    #[test]
    fn a_convolutional_vae_is_trained_sampled_and_made_again() {
        device::use_one_thread();
        let pixels = Tensor::from_slice(&Stream::new(0, Purpose::Subset).normal(20 * 9 * 13)).view([20, 9, 13]);
        let settings = settings(VaeFamily::Convolutional, 3);
        let trained = || train(&settings, &pixels, 1, None, &mut Reporter::new(&mut Silent)).unwrap();
        let sample = |vae: &TrainedVae| vae.sample(4, 3.0, &mut Stream::new(0, Purpose::PenaltyNoise));
        let (one, other) = (trained(), trained());
        assert_eq!(sample(&one).size(), [4, 9 * 13]);
        assert_eq!(sample(&one), sample(&other));
        // Copied tensor by tensor, running statistics included, an untrained one gives the same samples.
        let blank = untrained(&settings, &pixels);
        assert_ne!(sample(&blank), sample(&one));
        let _guard = no_grad_guard();
        for ((name, mut to), (same, from)) in blank.tensors().into_iter().zip(one.tensors()) {
            assert_eq!(name, same);
            to.copy_(&from);
        }
        assert_eq!(sample(&blank), sample(&one));
        assert_eq!(blank.reconstructions(), one.reconstructions());
        assert_eq!(one.reconstructions().size(), [20, 9 * 13]);
    }

    /// With batches of the whole subset, the last batch is the subset under the weights before the last step.
    #[test]
    fn latent_statistics_are_of_the_last_batch_before_its_step_or_of_the_subset_after_it() {
        device::use_one_thread();
        let pixels = Tensor::from_slice(&Stream::new(0, Purpose::Subset).normal(20 * 9 * 13)).view([20, 9, 13]);
        let images = pixels.flatten(1, -1).sigmoid();
        let fitted = |iterations, latent_statistics| {
            let settings = Settings { batch_size: 20, latent_statistics, ..settings(VaeFamily::Vanilla, iterations) };
            fit(&settings, &pixels, 1, None, &mut Reporter::new(&mut Silent)).unwrap()
        };
        let means = |(mu, logvar): (Tensor, Tensor)| Tensor::cat(&[mu, logvar], 1).mean_dim(0, false, Kind::Float);
        let of = |fitted: Fitted| means((fitted.mu, fitted.logvar));
        let [before, after] = [2, 3].map(|iterations| {
            let vae = fitted(iterations, LatentStatistics::LastBatch).vae;
            tch::no_grad(|| means(vae.encode(&images)))
        });
        let distance = |a: &Tensor, b: &Tensor| (a - b).abs().max().double_value(&[]);
        let (batch, subset) = (of(fitted(3, LatentStatistics::LastBatch)), of(fitted(3, LatentStatistics::Subset)));
        assert!(distance(&batch, &before) < 1e-6 && distance(&subset, &after) < 1e-6);
        assert!(distance(&before, &after) > 1e-4, "{}", distance(&before, &after));
    }

    #[test]
    fn images_too_small_for_the_convolutions_are_refused() {
        let pixels = Tensor::zeros([20, 28, 7], (Kind::Float, Device::Cpu));
        let refused = |family| fit(&settings(family, 1), &pixels, 1, None, &mut Reporter::new(&mut Silent)).err();
        let error = refused(VaeFamily::Convolutional).unwrap().to_string();
        assert!(error.starts_with("images of `28 x 7` pixels are too small for the convolutional VAE"), "{error}");
        assert_eq!(refused(VaeFamily::Vanilla), None);
    }
}
