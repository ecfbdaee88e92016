//! The table of axes, in the order of the canonical JSON.
//!
//! A new row goes to the end, so that the text of trials without it stays as it is.

use super::{Access, Field as _, Kind, Lanes, Role, Row, Section, Value, Written};
use crate::{
    numbers::Bounds,
    trial::{
        Architecture, BatchNormScale, Density, Epochs, LatentStatistics, MAX_PENALTY_SAMPLES,
        MAX_WIDTH, Penalty, Precision, SampleBatchNorm, SampleUnits, Sampling, TrialSpec,
        VaeFamily,
    },
};

/// The row of a field: its key, its section, its place in the JSON, and how to read and set it. A
/// trial that lacks a part, such as the function norm, has no value and takes none.
macro_rules! field {
    ($field:ident) => {
        field!(Data: [] [] $field)
    };
    (classifier.$field:ident) => {
        field!(Classifier: [] [classifier] $field)
    };
    (penalty.$field:ident) => {
        field!(Penalty: [penalty] [] $field)
    };
    (samples.$field:ident) => {
        field!(Vae: [penalty vae] [] $field)
    };
    (vae.$field:ident) => {
        field!(Vae: [penalty vae] [vae] $field)
    };
    // Parts that a trial may lack, and a part of those.
    ($section:ident: [$($option:ident)*] [$($part:ident)?] $field:ident) => {
        Row {
            name: stringify!($field),
            section: Section::$section,
            path: concat!(
                $(stringify!($option), ".",)* $(stringify!($part), ".",)? stringify!($field)
            ),
            access: Access::Field {
                get: |spec| Some(spec $(.$option.as_ref()?)* $(.$part)? .$field.value()),
                set: |spec, value| spec $(.$option.as_mut()?)* $(.$part)? .$field.assign(value),
            },
            ..SETTING
        }
    };
}

/// Everything that a trial may vary.
pub const AXES: &[Row] = &[
    Row {
        required: true,
        title: "data set",
        purpose: "The images. `synthetic` also takes a `seed`; `idx` takes what `swfn-worker inspect` prints.",
        kind: Kind::Dataset,
        example: "\"mnist\"",
        ..field!(dataset)
    },
    Row {
        required: true,
        section: Section::Grid { nesting: 20 },
        title: "training images",
        label: "n = {}",
        purpose: "Training images, drawn without replacement; trials of one size and seed share them.",
        example: "[100, 300]",
        role: Role::Size,
        lanes: Lanes::Differ,
        ..field!(subset_size)
    },
    Row {
        title: "drawing of subsets",
        label: "sampling {}",
        purpose: "How a subset is drawn: `balanced` has as many images of each class as of any other.",
        kind: Kind::Choice(Sampling::NAMES),
        lanes: Lanes::Differ,
        ..field!(sampling)
    },
    Row {
        title: "validation images",
        label: "{} validation images",
        purpose: "Training images outside the subset that each evaluation measures as well; training ignores them.",
        kind: Kind::Whole { min: 0, max: u32::MAX as u64 },
        example: "1000",
        written: Written::Unless(Value::Whole(0)),
        ..field!(validation)
    },
    Row {
        required: true,
        section: Section::Grid { nesting: 10 },
        title: "seed",
        label: "seed {}",
        purpose: "Seed of every random stream: subset, VAE, initial weights, order of batches, dropout, samples.",
        // Seeds fit the signed integers of TOML and SQLite.
        kind: Kind::Whole { min: 0, max: i64::MAX as u64 },
        example: "{ count = 10 }",
        advice: "choose a smaller seed",
        role: Role::Seed,
        lanes: Lanes::Differ,
        ..field!(seed)
    },
    Row {
        required: true,
        section: Section::Grid { nesting: 30 },
        title: "network",
        purpose: "The network, with dropout or batch norm where its name says so.",
        kind: Kind::Choice(Architecture::NAMES),
        example: "[\"net\", \"lenet\"]",
        role: Role::Network,
        ..field!(architecture)
    },
    Row {
        name: "weight_decay",
        section: Section::Grid { nesting: 40 },
        path: "weight_decay",
        title: "weight decay",
        label: "wd {}",
        purpose: "Coefficient of the squared L2 norm of the weights, as in `torch.optim.SGD`.",
        example: "[0, 5e-4]",
        role: Role::Regulariser { order: 50 },
        written: Written::Always,
        ..WEIGHT
    },
    Row {
        section: Section::Grid { nesting: 50 },
        title: "learning rate",
        label: "lr {}",
        purpose: "Step size of the SGD that trains the network.",
        kind: Kind::Real(Bounds::ABOVE_ZERO),
        example: "[0.01]",
        lanes: Lanes::Differ,
        ..field!(learning_rate)
    },
    Row {
        title: "steps of training",
        label: "iterations {}",
        purpose: "Steps of SGD.",
        lanes: Lanes::Differ,
        ..field!(classifier.iterations)
    },
    Row {
        title: "batch size",
        label: "batch size {}",
        purpose: "Images per step; the last partial batch of an epoch is dropped.",
        ..field!(classifier.batch_size)
    },
    Row {
        title: "momentum",
        label: "momentum {}",
        purpose: "Share of the previous step that a step of SGD keeps.",
        kind: Kind::Real(Bounds::BELOW_ONE),
        ..field!(classifier.momentum)
    },
    Row {
        title: "dropout rate",
        label: "dropout {}",
        purpose: "Probability that a dropout layer zeroes an activation.",
        kind: Kind::Real(Bounds::BELOW_ONE),
        matters: |spec| spec.architecture.has_dropout(),
        ..field!(classifier.dropout)
    },
    Row {
        title: "initial scale of batch norm",
        label: "batch norm scale {}",
        purpose: "Initial scale of batch norm: `uniform` in (0, 1), as published, or `ones`.",
        kind: Kind::Choice(BatchNormScale::NAMES),
        matters: |spec| spec.architecture.has_batch_norm(),
        ..field!(classifier.batch_norm_scale)
    },
    Row {
        title: "steps between evaluations",
        label: "evaluate every {}",
        purpose: "Steps between two passes over the test images. They change nothing that is trained.",
        ..field!(classifier.evaluate_every)
    },
    Row {
        title: "precision",
        label: "precision {}",
        purpose: "How exactly GPUs multiply: as `float32`, or faster with factors of 10 bits, as `tf32`.",
        kind: Kind::Choice(Precision::NAMES),
        ..field!(classifier.precision)
    },
    Row {
        title: "epochs",
        label: "{} epochs",
        purpose: "When the images are shuffled again: `continuous`, when all have been seen, or `restart`.",
        kind: Kind::Choice(Epochs::NAMES),
        // Epochs once always restarted at each evaluation. Such trials keep their ids.
        written: Written::If {
            written: |spec| spec.classifier.epochs != restart_at_evaluations(spec),
            absent: |spec| spec.classifier.epochs = restart_at_evaluations(spec),
        },
        access: Access::Field {
            get: |spec| Some(Value::Name(spec.classifier.epochs.name())),
            set: |spec, value| {
                let restart = value.name() == Epochs::RESTART;
                spec.classifier.epochs =
                    if restart { restart_at_evaluations(spec) } else { Epochs::Continuous };
                Some(())
            },
        },
        name: "epochs",
        section: Section::Classifier,
        path: "classifier.epochs",
        ..SETTING
    },
    Row {
        title: "steps of an epoch",
        label: "restart every {}",
        purpose: "Steps after which an epoch restarts, even within it; only with `epochs = \"restart\"`.",
        example: "1000",
        written: Written::If {
            written: |spec| spec.classifier.epochs != restart_at_evaluations(spec),
            absent: |_| (),
        },
        access: Access::Field {
            get: |spec| Some(spec.classifier.epochs.restart_every()?.value()),
            set: |spec, value| {
                let Epochs::Restart { every } = &mut spec.classifier.epochs else { return None };
                every.assign(value)
            },
        },
        name: "restart_every",
        section: Section::Classifier,
        path: "classifier.restart_every",
        ..SETTING
    },
    Row {
        required: true,
        section: Section::Grid { nesting: 80 },
        title: "function norm",
        label: "fn {}",
        purpose: "Weight of the function norm in the objective; zero switches the norm off.",
        role: Role::Regulariser { order: 100 },
        lanes: Lanes::DifferAboveZero,
        access: Access::Field {
            get: |spec| Some(Value::Real(spec.lambda())),
            set: |spec, value| {
                let (lambda, penalty) =
                    (value.number(), spec.penalty.unwrap_or(Penalty::PUBLISHED));
                spec.penalty = (lambda > 0.0).then_some(Penalty { lambda, ..penalty });
                Some(())
            },
        },
        name: "lambda",
        path: "penalty.lambda",
        ..WEIGHT
    },
    Row {
        name: "penalty_samples",
        section: Section::Grid { nesting: 70 },
        title: "samples of the function norm",
        label: "{} samples",
        purpose: "Samples of the function norm per step, drawn afresh in each.",
        kind: Kind::Whole { min: 1, max: MAX_PENALTY_SAMPLES as u64 },
        example: "[20]",
        advice: "20 as published; lambda = 0 switches the function norm off",
        ..field!(penalty.samples)
    },
    Row {
        section: Section::Grid { nesting: 60 },
        title: "density",
        label: "on {}",
        purpose: "What the function norm is sampled from: VAEs of the subset, its images, or noise.",
        kind: Kind::Choice(Density::NAMES),
        example: "[\"vae\"]",
        access: Access::Field {
            get: |spec| Some(spec.penalty.as_ref()?.density.value()),
            set: |spec, value| {
                spec.penalty.as_mut()?.sample_from(Density::by_name(value.name())?);
                Some(())
            },
        },
        ..field!(penalty.density)
    },
    Row {
        section: Section::Derived,
        title: "layers of the VAE",
        label: "VAE family {}",
        purpose: "The layers of the VAE, which follow from the density.",
        kind: Kind::Choice(VaeFamily::NAMES),
        access: Access::Field {
            get: |spec| Some(spec.vae_samples()?.vae.family.value()),
            set: |_, _| None,
        },
        ..field!(vae.family)
    },
    Row {
        title: "steps of training the VAE",
        label: "VAE iterations {}",
        purpose: "Steps of Adam.",
        ..field!(vae.iterations)
    },
    Row {
        title: "batch size of the VAE",
        label: "VAE batch size {}",
        purpose: "Images per step; the last partial batch of an epoch is dropped.",
        ..field!(vae.batch_size)
    },
    Row {
        title: "learning rate of the VAE",
        label: "VAE learning rate {}",
        purpose: "Step size of Adam.",
        kind: Kind::Real(Bounds::ABOVE_ZERO),
        ..field!(vae.learning_rate)
    },
    Row {
        title: "width of the VAE",
        label: "VAE hidden {}",
        purpose: "Width of the hidden layers; a convolutional VAE has half as many channels in its innermost layer.",
        kind: WIDTH,
        advice: "128 as published",
        ..field!(vae.hidden)
    },
    Row {
        title: "latent dimensions",
        label: "VAE latent {}",
        purpose: "Dimensions of the latent code.",
        kind: WIDTH,
        advice: "100 as published",
        ..field!(vae.latent)
    },
    Row {
        title: "latent codes that samples spread around",
        label: "VAE latent statistics {}",
        purpose: "Latent codes that samples spread around: those of the last training batch, as published, or all.",
        kind: Kind::Choice(LatentStatistics::NAMES),
        ..field!(vae.latent_statistics)
    },
    Row {
        title: "spread of the latent code",
        label: "spread {}",
        purpose: "Factor on the standard deviation of the latent code from which samples are decoded.",
        kind: Kind::Real(Bounds::FROM_ZERO),
        ..field!(samples.spread)
    },
    Row {
        title: "units of the samples",
        label: "units {}",
        purpose: "Units in which the network sees samples: the VAE's own, in 0 to 1, or those of the images.",
        kind: Kind::Choice(SampleUnits::NAMES),
        ..field!(penalty.units)
    },
    Row {
        title: "batch norm of the samples",
        label: "batch norm {}",
        purpose: "How batch norm treats samples: as a training batch, without the running statistics, or as in tests.",
        kind: Kind::Choice(SampleBatchNorm::NAMES),
        matters: |spec| spec.architecture.has_batch_norm(),
        ..field!(penalty.batch_norm)
    },
    Row {
        name: "label_smoothing",
        path: "label_smoothing",
        title: "label smoothing",
        label: "ls {}",
        purpose: "Share of each label that is spread evenly over all classes (Szegedy et al. 2016).",
        kind: Kind::Real(Bounds::up_to(0.9)),
        ..WEIGHT
    },
];

/// The usual values of a row.
const SETTING: Row = Row {
    name: "",
    section: Section::Data,
    path: "",
    title: "",
    label: "{}",
    purpose: "",
    kind: Kind::Whole { min: 1, max: u32::MAX as u64 },
    required: false,
    example: "",
    advice: "",
    role: Role::Setting,
    lanes: Lanes::Equal,
    written: Written::Always,
    matters: |_| true,
    access: Access::Open,
};

/// The weight of a regulariser that only needs a term in the worker. It is off unless named.
const WEIGHT: Row = Row {
    section: Section::Grid { nesting: 45 },
    kind: Kind::Real(Bounds::FROM_ZERO),
    example: "[0, 0.1]",
    role: Role::Regulariser { order: 40 },
    lanes: Lanes::Differ,
    written: Written::Unless(Value::Real(0.0)),
    ..SETTING
};

const WIDTH: Kind = Kind::Whole { min: 1, max: MAX_WIDTH as u64 };

fn restart_at_evaluations(spec: &TrialSpec) -> Epochs {
    Epochs::Restart { every: spec.classifier.evaluate_every }
}
