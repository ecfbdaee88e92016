//! The sections `[classifier]`, `[vae]`, `[penalty]`, `[artifacts]` and `[run]`. Defaults are the published values.

use super::{
    error::Problem,
    reader::{Item, Table},
};
use crate::{
    artifacts::Artifacts,
    numbers::{Dropout, LearningRate, Momentum, NumberError, Spread},
    trial::{
        BatchNormScale, Classifier, Epochs, LatentStatistics, MAX_WIDTH, Precision, SampleBatchNorm, SampleUnits, Vae,
        VaeFamily, VaeSamples,
    },
};

/// The shortest lease: four heartbeats.
pub const MIN_LEASE_SECONDS: u32 = 4;

/// How the coordinator treats the trials: `[run]`. Nothing here changes a result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RunSettings {
    /// Failures of its own after which a trial is quarantined.
    pub max_failures: u32,
    /// Lost leases (worker killed, connection gone) after which a trial is quarantined.
    pub max_losses: u32,
    /// Seconds after which a lease that nothing renews expires.
    pub lease_seconds: u32,
    /// Seconds after which a lease whose step stands still expires, renewed or not.
    pub stall_seconds: u32,
    /// Minutes that a trial may take at most; by what others took, if it is not said.
    pub trial_minutes: Option<u32>,
    /// Trials that are trained a second time, on another worker, and must come to the same.
    pub verify: u32,
}

/// `unsaid`: the epochs where the file does not say, from the steps between two evaluations.
pub(super) fn read_classifier(mut table: Table<'_>, unsaid: fn(u32) -> Epochs) -> Classifier {
    let mut classifier = Classifier {
        iterations: 10_000,
        batch_size: 10,
        momentum: bounded(Momentum::new(0.5)),
        dropout: bounded(Dropout::new(0.5)),
        batch_norm_scale: BatchNormScale::Uniform,
        evaluate_every: 1_000,
        precision: Precision::Float32,
        epochs: Epochs::Continuous,
    };
    classifier.iterations = table.get("iterations", classifier.iterations, |item| item.count("10000"));
    classifier.batch_size = table.get("batch_size", classifier.batch_size, |item| item.count("10"));
    classifier.momentum = table.get("momentum", classifier.momentum, |item| real(item, "0.5", Momentum::new));
    classifier.dropout = table.get("dropout", classifier.dropout, |item| real(item, "0.5", Dropout::new));
    let iterations = classifier.iterations;
    classifier.evaluate_every =
        table.get("evaluate_every", classifier.evaluate_every, |item| match item.count("1000")? {
            every if every <= iterations => Ok(every),
            every => {
                let problem = format!("evaluate_every `{every}` is beyond the {iterations} iterations");
                Err(item.problem(problem, format!("at most {iterations}, which is one evaluation at the end")))
            }
        });
    classifier.batch_norm_scale = table.get("batch_norm_scale", classifier.batch_norm_scale, |item| {
        item.choice(BatchNormScale::ALL, BatchNormScale::name)
    });
    classifier.precision =
        table.get("precision", classifier.precision, |item| item.choice(Precision::ALL, Precision::name));
    let epochs = read_epochs(table.take("epochs"), table.take("restart_every"), classifier.evaluate_every);
    let epochs = table.findings.keep(epochs).flatten();
    classifier.epochs = epochs.unwrap_or_else(|| unsaid(classifier.evaluate_every));
    table.finish();
    classifier
}

/// None where the file does not say.
fn read_epochs(
    epochs: Option<Item<'_>>,
    every: Option<Item<'_>>,
    evaluate_every: u32,
) -> Result<Option<Epochs>, Problem> {
    let names = [Epochs::CONTINUOUS, Epochs::RESTART];
    let restart = match &epochs {
        Some(item) => Some(item.choice(&names, |name| name)? == Epochs::RESTART),
        None => None,
    };
    match (restart, epochs, every) {
        (Some(true), _, Some(every)) => Ok(Some(Epochs::Restart { every: every.count("1000")? })),
        (Some(true), Some(epochs), None) => Err(epochs.problem(
            "epochs `restart` lack their length",
            format!("add `restart_every = {evaluate_every}` for a fresh epoch after each evaluation"),
        )),
        (_, _, Some(every)) => Err(every.problem(
            format!("restart_every {} is of no use: epochs do not restart", every.shown()),
            "add `epochs = \"restart\"`, or remove restart_every",
        )),
        (restart, _, None) => Ok(restart.map(|_| Epochs::Continuous)),
    }
}

pub(super) fn read_vae(mut table: Table<'_>) -> VaeSamples {
    let mut vae = Vae {
        family: VaeFamily::Vanilla,
        iterations: 10_000,
        batch_size: 20,
        learning_rate: bounded(LearningRate::new(1e-3)),
        hidden: 128,
        latent: 100,
        latent_statistics: LatentStatistics::LastBatch,
    };
    let mut spread = bounded(Spread::new(3.0));
    vae.iterations = table.get("iterations", vae.iterations, |item| item.count("10000"));
    vae.batch_size = table.get("batch_size", vae.batch_size, |item| item.count("20"));
    vae.learning_rate = table.get("learning_rate", vae.learning_rate, |item| real(item, "1e-3", LearningRate::new));
    vae.hidden = table.get("hidden", vae.hidden, |item| width(item, "128"));
    vae.latent = table.get("latent", vae.latent, |item| width(item, "100"));
    vae.latent_statistics = table.get("latent_statistics", vae.latent_statistics, |item| {
        item.choice(LatentStatistics::ALL, LatentStatistics::name)
    });
    spread = table.get("spread", spread, |item| real(item, "3.0", Spread::new));
    table.finish();
    VaeSamples { vae, spread }
}

/// How the classifier sees the samples of the function norm: `[penalty]`.
pub(super) fn read_penalty(mut table: Table<'_>) -> (SampleUnits, SampleBatchNorm) {
    let (mut units, mut batch_norm) = (SampleUnits::Vae, SampleBatchNorm::Train);
    units = table.get("units", units, |item| item.choice(SampleUnits::ALL, SampleUnits::name));
    batch_norm = table.get("batch_norm", batch_norm, |item| item.choice(SampleBatchNorm::ALL, SampleBatchNorm::name));
    table.finish();
    (units, batch_norm)
}

pub(super) fn read_artifacts(mut table: Table<'_>) -> Artifacts {
    let artifacts = Artifacts {
        weights: table.get("weights", false, Item::boolean),
        vae_sheet: table.get("vae_sheet", false, Item::boolean),
        confusion: table.get("confusion", false, Item::boolean),
    };
    table.finish();
    artifacts
}

pub(super) fn read_run(mut table: Table<'_>) -> RunSettings {
    let mut run = RunSettings {
        max_failures: 3,
        max_losses: 10,
        lease_seconds: 60,
        stall_seconds: 900,
        trial_minutes: None,
        verify: 0,
    };
    run.max_failures = table.get("max_failures", run.max_failures, |item| item.count("3"));
    run.max_losses = table.get("max_losses", run.max_losses, |item| item.count("10"));
    let at_least = |item: &Item<'_>, least: u32, why: &str| match item.count("900")? {
        seconds if seconds >= least => Ok(seconds),
        seconds => Err(item.problem(format!("{} `{seconds}` is below {least}", item.key), why)),
    };
    let beats = "workers report once a second at most, and some beats may get lost";
    run.lease_seconds = table.get("lease_seconds", run.lease_seconds, |item| at_least(item, MIN_LEASE_SECONDS, beats));
    let lease = run.lease_seconds;
    run.stall_seconds = table.get("stall_seconds", run.stall_seconds.max(lease), |item| {
        at_least(item, lease, "a lease cannot stand still before it could expire: at least lease_seconds")
    });
    run.trial_minutes = table.get("trial_minutes", run.trial_minutes, |item| item.count("90").map(Some));
    run.verify = table.get("verify", run.verify, |item| item.integer("5"));
    table.finish();
    run
}

/// A layer's width.
fn width(item: &Item<'_>, example: &str) -> Result<u32, Problem> {
    match item.count(example)? {
        width if width <= MAX_WIDTH => Ok(width),
        width => {
            Err(item.problem(format!("{} `{width}` is above {MAX_WIDTH}", item.key), format!("{example} as published")))
        }
    }
}

fn real<T>(item: &Item<'_>, example: &str, new: impl Fn(f64) -> Result<T, NumberError>) -> Result<T, Problem> {
    new(item.number(example)?)
        .map_err(|error| item.problem(error.to_string(), format!("write for example `{} = {example}`", item.key)))
}

fn bounded<T>(number: Result<T, NumberError>) -> T {
    number.expect("defaults are in bounds")
}
