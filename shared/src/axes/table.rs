//! The table itself, in the order of the canonical JSON. New rows come last, so that what is before them stays as it is.

use super::{Access, Kind, Lanes, Role, Row, Section, Value, Written};
use crate::{
    numbers::{Bounds, Dropout, Lambda, LearningRate, Momentum, Spread},
    trial::{
        Architecture, BatchNormScale, Density, Epochs, LatentStatistics, MAX_PENALTY_SAMPLES,
        MAX_WIDTH, Penalty, Precision, SampleBatchNorm, SampleUnits, Sampling, TrialSpec,
        VaeFamily, VaeSamples,
    },
};

/// Everything that a trial may vary.
pub const AXES: &[Row] = &[
    Row {
        name: "dataset",
        section: Section::Data,
        place: "dataset",
        title: "data set",
        label: "{}",
        purpose: "Where the images come from. Synthetic digits take a `seed`, `idx` what `swfn-worker inspect` prints.",
        kind: Kind::Dataset,
        example: "\"mnist\"",
        access: field(|spec| Some(Value::Name(spec.dataset.name())), |_, _| ()),
        ..SETTING
    },
    Row {
        name: "subset_size",
        section: Section::Grid { nesting: 20 },
        place: "subset_size",
        title: "training images",
        label: "n = {}",
        purpose: "Training images, drawn without replacement; trials of one size and seed have the same ones.",
        kind: COUNT,
        example: "[100, 300]",
        role: Role::Size,
        lanes: Lanes::Differ,
        access: field(
            |spec| Some(Value::Whole(spec.subset_size.into())),
            |spec, value| spec.subset_size = value.count(),
        ),
        ..SETTING
    },
    Row {
        name: "sampling",
        section: Section::Data,
        place: "sampling",
        title: "drawing of subsets",
        label: "sampling {}",
        purpose: "How a subset is drawn: `balanced` has as many images of each class as of any other.",
        kind: Kind::Choice(Sampling::NAMES),
        default: Some(Value::Name("uniform")),
        example: "\"uniform\"",
        lanes: Lanes::Differ,
        access: field(
            |spec| Some(Value::Name(spec.sampling.name())),
            |spec, value| spec.sampling = Sampling::by_name(value.name()).unwrap_or(spec.sampling),
        ),
        ..SETTING
    },
    Row {
        name: "validation",
        section: Section::Data,
        place: "validation",
        title: "validation images",
        label: "{} validation images",
        purpose: "Training images outside the subset on which each evaluation is made as well; they change nothing else.",
        kind: Kind::Whole { min: 0, max: u32::MAX as u64 },
        default: Some(Value::Whole(0)),
        example: "1000",
        written: Written::Unless(Value::Whole(0)),
        access: field(
            |spec| Some(Value::Whole(spec.validation.into())),
            |spec, value| spec.validation = value.count(),
        ),
        ..SETTING
    },
    Row {
        name: "seed",
        section: Section::Grid { nesting: 10 },
        place: "seed",
        title: "seed",
        label: "seed {}",
        purpose: "Seed of every random stream: subset, VAE, initial weights, order of batches, dropout, samples.",
        // Seeds fit the signed integers of TOML and SQLite.
        kind: Kind::Whole { min: 0, max: i64::MAX as u64 },
        example: "{ count = 10 }",
        advice: "choose a smaller seed",
        role: Role::Seed,
        lanes: Lanes::Differ,
        access: field(
            |spec| Some(Value::Whole(spec.seed)),
            |spec, value| {
                if let Value::Whole(seed) = value {
                    spec.seed = seed;
                }
            },
        ),
        ..SETTING
    },
    Row {
        name: "architecture",
        section: Section::Grid { nesting: 30 },
        place: "architecture",
        title: "network",
        label: "{}",
        purpose: "The network, with dropout or batch norm where its name says so.",
        kind: Kind::Choice(Architecture::NAMES),
        example: "[\"net\", \"lenet\"]",
        role: Role::Network,
        access: field(
            |spec| Some(Value::Name(spec.architecture.name())),
            |spec, value| {
                spec.architecture = Architecture::by_name(value.name()).unwrap_or(spec.architecture)
            },
        ),
        ..SETTING
    },
    Row {
        name: "weight_decay",
        section: Section::Grid { nesting: 40 },
        place: "weight_decay",
        title: "weight decay",
        label: "wd {}",
        purpose: "Coefficient of the squared L2 norm of the weights, as in `torch.optim.SGD`.",
        example: "[0, 5e-4]",
        role: Role::Regulariser { order: 50 },
        written: Written::Always,
        ..WEIGHT
    },
    Row {
        name: "learning_rate",
        section: Section::Grid { nesting: 50 },
        place: "learning_rate",
        title: "learning rate",
        label: "lr {}",
        purpose: "Step size of the SGD that trains the network.",
        kind: Kind::Real(LearningRate::BOUNDS),
        default: Some(Value::Real(0.01)),
        example: "[0.01]",
        lanes: Lanes::Differ,
        access: field(
            |spec| Some(Value::Real(spec.learning_rate.get())),
            |spec, value| spec.learning_rate = LearningRate::checked(value.number()),
        ),
        ..SETTING
    },
    Row {
        name: "iterations",
        place: "classifier.iterations",
        title: "steps of training",
        label: "iterations {}",
        purpose: "Steps of SGD.",
        kind: COUNT,
        default: Some(Value::Whole(10_000)),
        example: "10000",
        lanes: Lanes::Differ,
        access: field(
            |spec| Some(Value::Whole(spec.classifier.iterations.into())),
            |spec, value| spec.classifier.iterations = value.count(),
        ),
        ..CLASSIFIER
    },
    Row {
        name: "batch_size",
        place: "classifier.batch_size",
        title: "batch size",
        label: "batch size {}",
        purpose: "Images per step; the last partial batch of an epoch is dropped.",
        kind: COUNT,
        default: Some(Value::Whole(10)),
        example: "10",
        access: field(
            |spec| Some(Value::Whole(spec.classifier.batch_size.into())),
            |spec, value| spec.classifier.batch_size = value.count(),
        ),
        ..CLASSIFIER
    },
    Row {
        name: "momentum",
        place: "classifier.momentum",
        title: "momentum",
        label: "momentum {}",
        purpose: "Share of the previous step that a step of SGD keeps.",
        kind: Kind::Real(Momentum::BOUNDS),
        default: Some(Value::Real(0.5)),
        example: "0.5",
        access: field(
            |spec| Some(Value::Real(spec.classifier.momentum.get())),
            |spec, value| spec.classifier.momentum = Momentum::checked(value.number()),
        ),
        ..CLASSIFIER
    },
    Row {
        name: "dropout",
        place: "classifier.dropout",
        title: "dropout rate",
        label: "dropout {}",
        purpose: "Probability that a dropout layer zeroes an activation.",
        kind: Kind::Real(Dropout::BOUNDS),
        default: Some(Value::Real(0.5)),
        example: "0.5",
        matters: |spec| spec.architecture.has_dropout(),
        access: field(
            |spec| Some(Value::Real(spec.classifier.dropout.get())),
            |spec, value| spec.classifier.dropout = Dropout::checked(value.number()),
        ),
        ..CLASSIFIER
    },
    Row {
        name: "batch_norm_scale",
        place: "classifier.batch_norm_scale",
        title: "initial scale of batch norm",
        label: "batch norm scale {}",
        purpose: "Initial scale of batch norm: `uniform` in (0, 1), as published, or `ones`.",
        kind: Kind::Choice(BatchNormScale::NAMES),
        default: Some(Value::Name("uniform")),
        example: "\"uniform\"",
        matters: |spec| spec.architecture.has_batch_norm(),
        access: field(
            |spec| Some(Value::Name(spec.classifier.batch_norm_scale.name())),
            |spec, value| {
                let classifier = &mut spec.classifier;
                classifier.batch_norm_scale =
                    BatchNormScale::by_name(value.name()).unwrap_or(classifier.batch_norm_scale);
            },
        ),
        ..CLASSIFIER
    },
    Row {
        name: "evaluate_every",
        place: "classifier.evaluate_every",
        title: "steps between evaluations",
        label: "evaluate every {}",
        purpose: "Steps between two passes over the test images. They change nothing that is trained.",
        kind: COUNT,
        default: Some(Value::Whole(1_000)),
        example: "1000",
        access: field(
            |spec| Some(Value::Whole(spec.classifier.evaluate_every.into())),
            |spec, value| spec.classifier.evaluate_every = value.count(),
        ),
        ..CLASSIFIER
    },
    Row {
        name: "precision",
        place: "classifier.precision",
        title: "precision",
        label: "precision {}",
        purpose: "How exactly GPUs multiply: as `float32`, or faster with factors of 10 bits, as `tf32`.",
        kind: Kind::Choice(Precision::NAMES),
        default: Some(Value::Name("float32")),
        example: "\"float32\"",
        access: field(
            |spec| Some(Value::Name(spec.classifier.precision.name())),
            |spec, value| {
                let classifier = &mut spec.classifier;
                classifier.precision =
                    Precision::by_name(value.name()).unwrap_or(classifier.precision);
            },
        ),
        ..CLASSIFIER
    },
    Row {
        name: "epochs",
        place: "classifier.epochs",
        title: "epochs",
        label: "{} epochs",
        purpose: "When the images are shuffled again: `continuous`, when all have been seen, or `restart`.",
        kind: Kind::Choice(Epochs::NAMES),
        default: Some(Value::Name(Epochs::CONTINUOUS)),
        example: "\"continuous\"",
        // All trials had epochs that restart at each evaluation before they could be chosen, and keep their ids.
        written: Written::If {
            written: |spec| spec.classifier.epochs != restart_at_evaluations(spec),
            absent: |spec| spec.classifier.epochs = restart_at_evaluations(spec),
        },
        access: field(
            |spec| Some(Value::Name(spec.classifier.epochs.name())),
            |spec, value| {
                let restart = value.name() == Epochs::RESTART;
                spec.classifier.epochs =
                    if restart { restart_at_evaluations(spec) } else { Epochs::Continuous };
            },
        ),
        ..CLASSIFIER
    },
    Row {
        name: "restart_every",
        place: "classifier.restart_every",
        title: "steps of an epoch",
        label: "restart every {}",
        purpose: "Steps after which epochs restart, wherever they stand; only with `epochs = \"restart\"`.",
        kind: COUNT,
        example: "1000",
        written: Written::If {
            written: |spec| spec.classifier.epochs != restart_at_evaluations(spec),
            absent: |_| (),
        },
        access: field(
            |spec| spec.classifier.epochs.restart_every().map(|every| Value::Whole(every.into())),
            |spec, value| {
                if let Epochs::Restart { every } = &mut spec.classifier.epochs {
                    *every = value.count();
                }
            },
        ),
        ..CLASSIFIER
    },
    Row {
        name: "lambda",
        section: Section::Grid { nesting: 80 },
        place: "penalty.lambda",
        title: "function norm",
        label: "fn {}",
        purpose: "Weight of the function norm in the objective; zero switches the norm off.",
        kind: Kind::Real(Lambda::BOUNDS),
        default: None,
        example: "[0, 0.1]",
        role: Role::Regulariser { order: 100 },
        lanes: Lanes::DifferAboveZero,
        written: Written::Unless(Value::Real(0.0)),
        access: field(
            |spec| Some(Value::Real(spec.lambda())),
            |spec, value| {
                let lambda = Lambda::checked(value.number());
                spec.penalty = (lambda.get() > 0.0)
                    .then(|| Penalty { lambda, ..spec.penalty.unwrap_or(Penalty::PUBLISHED) });
            },
        ),
        ..WEIGHT
    },
    Row {
        name: "penalty_samples",
        section: Section::Grid { nesting: 70 },
        place: "penalty.samples",
        title: "samples of the function norm",
        label: "{} samples",
        purpose: "Samples of the function norm per step, drawn afresh in each.",
        kind: Kind::Whole { min: 1, max: MAX_PENALTY_SAMPLES as u64 },
        default: Some(Value::Whole(20)),
        example: "[20]",
        advice: "20 as published; lambda = 0 switches the function norm off",
        access: field(
            |spec| spec.penalty.map(|penalty| Value::Whole(penalty.samples.into())),
            |spec, value| with(&mut spec.penalty, |penalty| penalty.samples = value.count()),
        ),
        ..SETTING
    },
    Row {
        name: "density",
        section: Section::Grid { nesting: 60 },
        place: "penalty.density",
        title: "density",
        label: "on {}",
        purpose: "What the function norm is sampled from: VAEs of the subset, its images, or noise.",
        kind: Kind::Choice(Density::NAMES),
        default: Some(Value::Name("vae")),
        example: "[\"vae\"]",
        access: field(
            |spec| spec.penalty.map(|penalty| Value::Name(penalty.density.name())),
            |spec, value| {
                with(&mut spec.penalty, |penalty| {
                    penalty.sample_from(Density::by_name(value.name()).unwrap_or(penalty.density));
                });
            },
        ),
        ..SETTING
    },
    Row {
        name: "family",
        section: Section::Derived,
        place: "penalty.vae.vae.family",
        title: "layers of the VAE",
        label: "VAE family {}",
        purpose: "The layers of the VAE; the density says which.",
        kind: Kind::Choice(VaeFamily::NAMES),
        access: field(
            |spec| spec.vae_samples().map(|samples| Value::Name(samples.vae.family.name())),
            |_, _| (),
        ),
        ..SETTING
    },
    Row {
        name: "iterations",
        place: "penalty.vae.vae.iterations",
        title: "steps of training the VAE",
        label: "VAE iterations {}",
        purpose: "Steps of Adam.",
        kind: COUNT,
        default: Some(Value::Whole(10_000)),
        example: "10000",
        access: field(
            |spec| vae(spec, |samples| Value::Whole(samples.vae.iterations.into())),
            |spec, value| with_vae(spec, |samples| samples.vae.iterations = value.count()),
        ),
        ..VAE
    },
    Row {
        name: "batch_size",
        place: "penalty.vae.vae.batch_size",
        title: "batch size of the VAE",
        label: "VAE batch size {}",
        purpose: "Images per step; the last partial batch of an epoch is dropped.",
        kind: COUNT,
        default: Some(Value::Whole(20)),
        example: "20",
        access: field(
            |spec| vae(spec, |samples| Value::Whole(samples.vae.batch_size.into())),
            |spec, value| with_vae(spec, |samples| samples.vae.batch_size = value.count()),
        ),
        ..VAE
    },
    Row {
        name: "learning_rate",
        place: "penalty.vae.vae.learning_rate",
        title: "learning rate of the VAE",
        label: "VAE learning rate {}",
        purpose: "Step size of Adam.",
        kind: Kind::Real(LearningRate::BOUNDS),
        default: Some(Value::Real(1e-3)),
        example: "1e-3",
        access: field(
            |spec| vae(spec, |samples| Value::Real(samples.vae.learning_rate.get())),
            |spec, value| {
                with_vae(spec, |samples| {
                    samples.vae.learning_rate = LearningRate::checked(value.number())
                });
            },
        ),
        ..VAE
    },
    Row {
        name: "hidden",
        place: "penalty.vae.vae.hidden",
        title: "width of the VAE",
        label: "VAE hidden {}",
        purpose: "Width of the hidden layers; a convolutional VAE has half as many channels in its innermost layer.",
        kind: Kind::Whole { min: 1, max: MAX_WIDTH as u64 },
        default: Some(Value::Whole(128)),
        example: "128",
        advice: "128 as published",
        access: field(
            |spec| vae(spec, |samples| Value::Whole(samples.vae.hidden.into())),
            |spec, value| with_vae(spec, |samples| samples.vae.hidden = value.count()),
        ),
        ..VAE
    },
    Row {
        name: "latent",
        place: "penalty.vae.vae.latent",
        title: "latent dimensions",
        label: "VAE latent {}",
        purpose: "Dimensions of the latent code.",
        kind: Kind::Whole { min: 1, max: MAX_WIDTH as u64 },
        default: Some(Value::Whole(100)),
        example: "100",
        advice: "100 as published",
        access: field(
            |spec| vae(spec, |samples| Value::Whole(samples.vae.latent.into())),
            |spec, value| with_vae(spec, |samples| samples.vae.latent = value.count()),
        ),
        ..VAE
    },
    Row {
        name: "latent_statistics",
        place: "penalty.vae.vae.latent_statistics",
        title: "latent codes that are sampled around",
        label: "VAE latent statistics {}",
        purpose: "Which latent codes samples spread around: those of the last training batch, as published, or all.",
        kind: Kind::Choice(LatentStatistics::NAMES),
        default: Some(Value::Name("last-batch")),
        example: "\"last-batch\"",
        access: field(
            |spec| vae(spec, |samples| Value::Name(samples.vae.latent_statistics.name())),
            |spec, value| {
                with_vae(spec, |VaeSamples { vae, .. }| {
                    vae.latent_statistics =
                        LatentStatistics::by_name(value.name()).unwrap_or(vae.latent_statistics);
                });
            },
        ),
        ..VAE
    },
    Row {
        name: "spread",
        place: "penalty.vae.spread",
        title: "spread of the latent code",
        label: "spread {}",
        purpose: "Factor on the standard deviation of the latent code from which samples are decoded.",
        kind: Kind::Real(Spread::BOUNDS),
        default: Some(Value::Real(3.0)),
        example: "3.0",
        access: field(
            |spec| vae(spec, |samples| Value::Real(samples.spread.get())),
            |spec, value| {
                with_vae(spec, |samples| samples.spread = Spread::checked(value.number()))
            },
        ),
        ..VAE
    },
    Row {
        name: "units",
        place: "penalty.units",
        title: "units of the samples",
        label: "units {}",
        purpose: "Units in which the network sees samples: the VAE's own, in 0 to 1, or those of the images.",
        kind: Kind::Choice(SampleUnits::NAMES),
        default: Some(Value::Name("vae")),
        example: "\"vae\"",
        access: field(
            |spec| spec.penalty.map(|penalty| Value::Name(penalty.units.name())),
            |spec, value| {
                with(&mut spec.penalty, |penalty| {
                    penalty.units = SampleUnits::by_name(value.name()).unwrap_or(penalty.units);
                });
            },
        ),
        ..PENALTY
    },
    Row {
        name: "batch_norm",
        place: "penalty.batch_norm",
        title: "batch norm of the samples",
        label: "batch norm {}",
        purpose: "How batch norm treats samples: as a training batch, without the running statistics, or as in tests.",
        kind: Kind::Choice(SampleBatchNorm::NAMES),
        default: Some(Value::Name("train")),
        example: "\"train\"",
        matters: |spec| spec.architecture.has_batch_norm(),
        access: field(
            |spec| spec.penalty.map(|penalty| Value::Name(penalty.batch_norm.name())),
            |spec, value| {
                with(&mut spec.penalty, |penalty| {
                    penalty.batch_norm =
                        SampleBatchNorm::by_name(value.name()).unwrap_or(penalty.batch_norm);
                });
            },
        ),
        ..PENALTY
    },
    Row {
        name: "label_smoothing",
        place: "label_smoothing",
        title: "label smoothing",
        label: "ls {}",
        purpose: "Share of each label that is spread evenly over all classes (Szegedy et al. 2016).",
        kind: Kind::Real(Bounds::up_to(0.9)),
        ..WEIGHT
    },
];

/// What most rows have in common.
const SETTING: Row = Row {
    name: "",
    section: Section::Data,
    place: "",
    title: "",
    label: "{}",
    purpose: "",
    kind: COUNT,
    default: None,
    example: "",
    advice: "",
    role: Role::Setting,
    lanes: Lanes::Equal,
    written: Written::Always,
    matters: |_| true,
    access: Access::Open,
};

/// The weight of a regulariser that only the worker's term has to know: off unless a grid names it.
const WEIGHT: Row = Row {
    section: Section::Grid { nesting: 45 },
    kind: Kind::Real(Bounds::FROM_ZERO),
    default: Some(Value::Real(0.0)),
    example: "[0, 0.1]",
    role: Role::Regulariser { order: 40 },
    lanes: Lanes::Differ,
    written: Written::Unless(Value::Real(0.0)),
    ..SETTING
};

const CLASSIFIER: Row = Row { section: Section::Classifier, ..SETTING };
const VAE: Row = Row { section: Section::Vae, ..SETTING };
const PENALTY: Row = Row { section: Section::Penalty, ..SETTING };

/// A whole number from 1.
const COUNT: Kind = Kind::Whole { min: 1, max: u32::MAX as u64 };

const fn field(get: fn(&TrialSpec) -> Option<Value>, set: fn(&mut TrialSpec, Value)) -> Access {
    Access::Field { get, set }
}

fn restart_at_evaluations(spec: &TrialSpec) -> Epochs {
    Epochs::Restart { every: spec.classifier.evaluate_every }
}

fn with(penalty: &mut Option<Penalty>, change: impl FnOnce(&mut Penalty)) {
    if let Some(penalty) = penalty {
        change(penalty);
    }
}

fn vae(spec: &TrialSpec, value: fn(VaeSamples) -> Value) -> Option<Value> {
    spec.vae_samples().map(value)
}

fn with_vae(spec: &mut TrialSpec, change: impl FnOnce(&mut VaeSamples)) {
    if let Some(samples) = spec.penalty.as_mut().and_then(|penalty| penalty.vae.as_mut()) {
        change(samples);
    }
}
