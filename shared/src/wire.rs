//! Wire types become domain types here, and nowhere else; what does not fit is refused with the name of the field.

use std::ops::RangeInclusive;

use swfn_proto::v1;

use crate::{
    axes::{self, Value},
    dataset::{CLASSES, Dataset, IDX, IdxDataset, SIDES},
    ids::LeaseId,
    numbers::{Dropout, Lambda, LearningRate, Momentum, Spread},
    quote::quote,
    trial::{
        Architecture, BatchNormScale, Classifier, Density, Epochs, LatentStatistics, MAX_PENALTY_SAMPLES, MAX_WIDTH,
        Penalty, Precision, SampleBatchNorm, SampleUnits, Sampling, TrialSpec, Vae, VaeFamily, VaeSamples,
    },
};

mod reports;

pub use reports::artifact_part;

/// The version that both sides must speak.
pub const PROTOCOL: u32 = 5;

/// Lanes of one worker that are counted; trials for so many fit into one message.
pub const MAX_LANES: u32 = 4096;

/// Leases or VAEs that one message can name: more than a worker can have, which holds those of its lanes and those whose reports wait.
pub const MAX_NAMED: usize = 2 * MAX_LANES as usize;

/// Points of one report; a worker sends what is more in several.
pub const MAX_POINTS: usize = 2_048;

/// Bytes of a log's end that are sent and kept.
pub const MAX_LOG_BYTES: usize = 8 << 10;

/// Bytes of one message of the coordinator: room for a grant of [`MAX_LANES`] trials.
pub const MAX_MESSAGE_BYTES: usize = 4 << 20;

/// Bytes of one message of a worker: room for [`MAX_NAMED`] leases with their steps.
pub const MAX_REPORT_BYTES: usize = 512 << 10;

/// What whoever started a worker or its device process writes to its standard input when it is to stop in order.
pub const STOP_LINE: &str = "stop";

/// The header in which the dashboard tells a worker that was sent to it where workers join.
pub const WORKERS_HEADER: &str = "swfn-workers";

/// A message that means nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// A field that must be there is not.
    #[error("field `{0}` is missing")]
    Missing(&'static str),
    /// A field is there and makes no sense.
    #[error("field `{field}`: {problem}")]
    Wrong {
        /// Its name.
        field: &'static str,
        /// What is wrong with it.
        problem: String,
    },
}

fn wrong(field: &'static str, problem: impl ToString) -> WireError {
    WireError::Wrong { field, problem: problem.to_string() }
}

fn need<T>(value: Option<T>, field: &'static str) -> Result<T, WireError> {
    value.ok_or(WireError::Missing(field))
}

fn within(value: u32, range: &RangeInclusive<u32>, field: &'static str) -> Result<u32, WireError> {
    let (from, to) = (range.start(), range.end());
    if range.contains(&value) { Ok(value) } else { Err(wrong(field, format!("`{value}` is not in {from} to {to}"))) }
}

fn above_zero(value: u32, field: &'static str) -> Result<u32, WireError> {
    if value == 0 { Err(wrong(field, "`0` is not above zero")) } else { Ok(value) }
}

impl From<LeaseId> for v1::LeaseId {
    fn from(id: LeaseId) -> Self {
        Self { trial: id.trial.to_string(), attempt: id.attempt }
    }
}

impl TryFrom<v1::LeaseId> for LeaseId {
    type Error = WireError;

    fn try_from(wire: v1::LeaseId) -> Result<Self, WireError> {
        let trial = wire.trial.parse().map_err(|error| wrong("lease.trial", error))?;
        Ok(Self { trial, attempt: above_zero(wire.attempt, "lease.attempt")? })
    }
}

/// The lease that a message names.
pub fn lease(wire: Option<v1::LeaseId>) -> Result<LeaseId, WireError> {
    need(wire, "lease")?.try_into()
}

impl From<&TrialSpec> for v1::TrialSpec {
    fn from(spec: &TrialSpec) -> Self {
        let classifier = &spec.classifier;
        Self {
            dataset: Some(spec.dataset.into()),
            subset_size: spec.subset_size,
            seed: spec.seed,
            architecture: spec.architecture.name().to_owned(),
            weight_decay: spec.weight_decay(),
            learning_rate: spec.learning_rate.get(),
            classifier: Some(v1::Classifier {
                iterations: classifier.iterations,
                batch_size: classifier.batch_size,
                momentum: classifier.momentum.get(),
                dropout: classifier.dropout.get(),
                evaluate_every: classifier.evaluate_every,
                batch_norm_scale: classifier.batch_norm_scale.name().to_owned(),
                precision: classifier.precision.name().to_owned(),
                restart_every: classifier.epochs.restart_every(),
            }),
            penalty: spec.penalty.map(|penalty| v1::Penalty {
                lambda: penalty.lambda.get(),
                samples: penalty.samples,
                spread: penalty.vae.map_or(0.0, |samples| samples.spread.get()),
                vae: penalty.vae.map(|VaeSamples { vae, .. }| v1::Vae {
                    iterations: vae.iterations,
                    batch_size: vae.batch_size,
                    learning_rate: vae.learning_rate.get(),
                    hidden: vae.hidden,
                    latent: vae.latent,
                    latent_statistics: vae.latent_statistics.name().to_owned(),
                    family: vae.family.name().to_owned(),
                }),
                density: penalty.density.name().to_owned(),
                units: penalty.units.name().to_owned(),
                batch_norm: penalty.batch_norm.name().to_owned(),
            }),
            sampling: spec.sampling.name().to_owned(),
            validation: spec.validation,
        }
    }
}

impl TryFrom<v1::TrialSpec> for TrialSpec {
    type Error = WireError;

    fn try_from(wire: v1::TrialSpec) -> Result<Self, WireError> {
        let classifier = need(wire.classifier, "spec.classifier")?;
        let spec = Self {
            dataset: dataset(need(wire.dataset, "spec.dataset")?)?,
            subset_size: above_zero(wire.subset_size, "spec.subset_size")?,
            sampling: named(Sampling::by_name, &wire.sampling, "spec.sampling")?,
            validation: wire.validation,
            seed: wire.seed,
            architecture: named(Architecture::by_name, &wire.architecture, "spec.architecture")?,
            learning_rate: LearningRate::new(wire.learning_rate).map_err(|error| wrong("spec.learning_rate", error))?,
            classifier: Classifier {
                iterations: above_zero(classifier.iterations, "classifier.iterations")?,
                batch_size: above_zero(classifier.batch_size, "classifier.batch_size")?,
                momentum: Momentum::new(classifier.momentum).map_err(|error| wrong("classifier.momentum", error))?,
                dropout: Dropout::new(classifier.dropout).map_err(|error| wrong("classifier.dropout", error))?,
                batch_norm_scale: named(
                    BatchNormScale::by_name,
                    &classifier.batch_norm_scale,
                    "classifier.batch_norm_scale",
                )?,
                evaluate_every: above_zero(classifier.evaluate_every, "classifier.evaluate_every")?,
                precision: named(Precision::by_name, &classifier.precision, "classifier.precision")?,
                epochs: match classifier.restart_every {
                    None => Epochs::Continuous,
                    Some(every) => Epochs::Restart { every: above_zero(every, "classifier.restart_every")? },
                },
            },
            penalty: wire.penalty.map(penalty).transpose()?,
            ..Self::PUBLISHED
        };
        let decay = axes::WEIGHT_DECAY.check(Value::Real(wire.weight_decay));
        let spec = spec.with(axes::WEIGHT_DECAY, decay.map_err(|error| wrong("spec.weight_decay", error))?);
        fits_together(&spec)?;
        Ok(spec)
    }
}

/// What no field can know by itself, and what grid files are held to as well.
fn fits_together(spec: &TrialSpec) -> Result<(), WireError> {
    let (images, vae) = (spec.subset_size, spec.vae_samples().map(|samples| samples.vae));
    let all = spec.dataset.train_len();
    within(images, &(1..=all), "spec.subset_size")?;
    within(spec.validation, &(0..=all - images), "spec.validation")?;
    within(spec.classifier.batch_size, &(1..=images), "classifier.batch_size")?;
    within(vae.map_or(1, |vae| vae.batch_size), &(1..=images), "vae.batch_size")?;
    if spec.architecture.has_batch_norm()
        && (spec.classifier.batch_size == 1 || spec.penalty.is_some_and(|penalty| penalty.samples == 1))
    {
        return Err(wrong("spec.architecture", "batch norm has no variance of `1` image"));
    }
    Ok(())
}

impl From<Dataset> for v1::Dataset {
    fn from(dataset: Dataset) -> Self {
        let name = dataset.name().to_owned();
        match dataset {
            Dataset::Mnist | Dataset::FashionMnist | Dataset::Kmnist => Self { name, generator_seed: None, idx: None },
            Dataset::Synthetic { generator_seed, .. } => Self { name, generator_seed: Some(generator_seed), idx: None },
            Dataset::Idx(own) => {
                let idx = v1::IdxDataset {
                    digest: own.digest.to_string(),
                    height: own.height,
                    width: own.width,
                    classes: own.classes,
                    train_images: own.train_images,
                    test_images: own.test_images,
                };
                Self { name, generator_seed: None, idx: Some(idx) }
            }
        }
    }
}

fn dataset(wire: v1::Dataset) -> Result<Dataset, WireError> {
    if wire.name == IDX {
        return idx(need(wire.idx, "dataset.idx")?).map(Dataset::Idx);
    }
    let named: Dataset = wire.name.parse().map_err(|error| wrong("dataset.name", error))?;
    match named {
        Dataset::Synthetic { .. } => need(wire.generator_seed, "dataset.generator_seed").map(Dataset::synthetic),
        Dataset::Mnist | Dataset::FashionMnist | Dataset::Kmnist | Dataset::Idx(_) => Ok(named),
    }
}

fn idx(wire: v1::IdxDataset) -> Result<IdxDataset, WireError> {
    Ok(IdxDataset {
        digest: wire.digest.parse().map_err(|error| wrong("idx.digest", error))?,
        height: within(wire.height, &SIDES, "idx.height")?,
        width: within(wire.width, &SIDES, "idx.width")?,
        classes: within(wire.classes, &CLASSES, "idx.classes")?,
        train_images: above_zero(wire.train_images, "idx.train_images")?,
        test_images: above_zero(wire.test_images, "idx.test_images")?,
    })
}

fn named<T>(by_name: fn(&str) -> Option<T>, name: &str, field: &'static str) -> Result<T, WireError> {
    by_name(name).ok_or_else(|| wrong(field, format!("{} is unknown", quote(name))))
}

fn penalty(wire: v1::Penalty) -> Result<Penalty, WireError> {
    let lambda = Lambda::new(wire.lambda).map_err(|error| wrong("penalty.lambda", error))?;
    if lambda.get() == 0.0 {
        return Err(wrong("penalty.lambda", "`0` goes without a penalty"));
    }
    let density = named(Density::by_name, &wire.density, "penalty.density")?;
    let spread = Spread::new(wire.spread).map_err(|error| wrong("penalty.spread", error))?;
    let vae = match density {
        Density::Vae | Density::ConvVae => Some(VaeSamples { vae: vae(need(wire.vae, "penalty.vae")?)?, spread }),
        Density::Data | Density::UniformNoise | Density::GaussianNoise => None,
    };
    Ok(Penalty {
        lambda,
        samples: within(wire.samples, &(1..=MAX_PENALTY_SAMPLES), "penalty.samples")?,
        density,
        vae,
        units: named(SampleUnits::by_name, &wire.units, "penalty.units")?,
        batch_norm: named(SampleBatchNorm::by_name, &wire.batch_norm, "penalty.batch_norm")?,
    })
}

fn vae(wire: v1::Vae) -> Result<Vae, WireError> {
    Ok(Vae {
        family: named(VaeFamily::by_name, &wire.family, "vae.family")?,
        iterations: above_zero(wire.iterations, "vae.iterations")?,
        batch_size: above_zero(wire.batch_size, "vae.batch_size")?,
        learning_rate: LearningRate::new(wire.learning_rate).map_err(|error| wrong("vae.learning_rate", error))?,
        hidden: within(wire.hidden, &(1..=MAX_WIDTH), "vae.hidden")?,
        latent: within(wire.latent, &(1..=MAX_WIDTH), "vae.latent")?,
        latent_statistics: named(LatentStatistics::by_name, &wire.latent_statistics, "vae.latent_statistics")?,
    })
}

#[cfg(test)]
#[path = "wire_tests.rs"]
mod tests;
