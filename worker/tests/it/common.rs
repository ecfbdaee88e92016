//! Fixtures of the trainer's tests: few images, short trials, and observers.

use std::{cell::RefCell, collections::VecDeque, ops::ControlFlow, rc::Rc, sync::LazyLock};

use swfn_shared::{
    artifacts::{Artifact, Artifacts},
    axes::{self, Value},
    capacity::Capacity,
    catalogue::SYNTHETIC,
    dataset::Dataset,
    ids::ShapeId,
    metrics::{MetricPoint, TEST_ACCURACY, VALIDATION_ACCURACY},
    trial::{
        Architecture, BatchNormScale, Classifier, Density, Epochs, LatentStatistics, Penalty,
        Precision, SampleBatchNorm, SampleUnits, Sampling, TrialSpec, Vae, VaeFamily, VaeSamples,
    },
};
use swfn_worker::{
    compute::Backend,
    data::{LoadOptions, Splits, load},
    train::{
        jobs::{Job, Jobs},
        objective::Gradient,
        terms,
        trainer::{Options, Trainer},
    },
    trial::report::{Observer, Outcome, Stop, TrainError},
};
use tch::Tensor;
use tracing::Span;

pub(crate) const DATASET: Dataset = Dataset::of(&SYNTHETIC);

/// Synthetic digits, of which the first 200 are the test images.
pub(crate) fn digits() -> Splits {
    static DIGITS: LazyLock<Splits> = LazyLock::new(|| {
        let mut digits = load(&Dataset::of(&SYNTHETIC), &LoadOptions::default()).unwrap();
        digits.test = digits.test.gather(&Vec::from_iter(0..200));
        digits
    });
    DIGITS.clone()
}

pub(crate) fn spec(architecture: Architecture, lambda: f64) -> TrialSpec {
    TrialSpec {
        dataset: DATASET,
        subset_size: 60,
        sampling: Sampling::Uniform,
        validation: 0,
        seed: 1,
        architecture,
        learning_rate: 0.01,
        classifier: Classifier {
            iterations: 25,
            batch_size: 10,
            momentum: 0.5,
            dropout: 0.5,
            batch_norm_scale: BatchNormScale::Uniform,
            evaluate_every: 10,
            precision: Precision::Float32,
            epochs: Epochs::Continuous,
        },
        penalty: (lambda > 0.0).then_some(Penalty {
            lambda,
            samples: 6,
            density: Density::Vae,
            units: SampleUnits::Vae,
            batch_norm: SampleBatchNorm::Train,
            vae: Some(VaeSamples {
                spread: 3.0,
                vae: Vae {
                    family: VaeFamily::Vanilla,
                    iterations: 30,
                    batch_size: 20,
                    learning_rate: 1e-3,
                    hidden: 16,
                    latent: 4,
                    latent_statistics: LatentStatistics::LastBatch,
                },
            }),
        }),
        ..TrialSpec::PUBLISHED
    }
}

/// The reports of a trial, and its result.
#[derive(Debug, Default, Clone)]
pub(crate) struct Recording {
    pub(crate) points: Vec<MetricPoint>,
    pub(crate) result: Option<Result<Outcome, TrainError>>,
    /// Trials under way at each call of an observer.
    pub(crate) beside: Vec<usize>,
}

pub(crate) trait Run {
    /// Trains one trial to its end, without files.
    fn run(&mut self, spec: &TrialSpec, observer: &mut dyn Observer)
    -> Result<Outcome, TrainError>;
}

impl Run for Trainer {
    fn run(
        &mut self,
        spec: &TrialSpec,
        observer: &mut dyn Observer,
    ) -> Result<Outcome, TrainError> {
        self.run_for(spec, Artifacts::default(), observer).map(|(outcome, _)| outcome)
    }
}

/// Trials that are there from the start.
struct Batch {
    waiting: VecDeque<(u64, TrialSpec)>,
    recorded: Rc<RefCell<Vec<Recording>>>,
    running: Rc<RefCell<usize>>,
    /// Trials to return, and the steps at which to do so.
    cancel: Vec<(u64, u64)>,
    rooms: Vec<Capacity>,
}

struct Watch {
    ticket: usize,
    cancel_at: Option<u64>,
    recorded: Rc<RefCell<Vec<Recording>>>,
    running: Rc<RefCell<usize>>,
}

impl Observer for Watch {
    fn points(&mut self, step: u64, points: &[MetricPoint]) -> ControlFlow<Stop> {
        let mut recorded = self.recorded.borrow_mut();
        recorded[self.ticket].points.extend(points);
        recorded[self.ticket].beside.push(*self.running.borrow());
        if self.cancel_at.is_some_and(|at| step >= at) {
            ControlFlow::Break(Stop::GiveBack)
        } else {
            ControlFlow::Continue(())
        }
    }
}

impl<'o> Jobs<'o> for Batch {
    fn room(&mut self, room: Capacity) {
        self.rooms.push(room);
    }

    fn next(&mut self, shape: Option<ShapeId>) -> Option<Job<'o>> {
        let fits = |(_, spec): &(u64, TrialSpec)| shape.is_none_or(|shape| spec.shape() == shape);
        let index = self.waiting.iter().position(fits)?;
        let (ticket, spec) = self.waiting.remove(index)?;
        *self.running.borrow_mut() += 1;
        let cancel_at =
            self.cancel.iter().find(|(known, _)| *known == ticket).map(|(_, step)| *step);
        let (recorded, running) = (Rc::clone(&self.recorded), Rc::clone(&self.running));
        let observer = Box::new(Watch { ticket: ticket as usize, cancel_at, recorded, running });
        Some(Job { ticket, spec, wanted: Artifacts::default(), observer, span: Span::none() })
    }

    fn ended(&mut self, ticket: u64, result: Result<(Outcome, Vec<Artifact>), TrainError>) {
        *self.running.borrow_mut() -= 1;
        let recorded = &mut self.recorded.borrow_mut()[ticket as usize];
        assert!(recorded.result.is_none(), "a trial ends once");
        recorded.result = Some(result.map(|(outcome, _)| outcome));
    }
}

pub(crate) fn trainer(backend: Backend, lanes: usize) -> Trainer {
    trainer_with(backend, Options { lanes: Some(lanes), ..Options::default() })
}

pub(crate) fn trainer_with(backend: impl Into<Backend>, options: Options) -> Trainer {
    let mut trainer = Trainer::new(backend, options);
    trainer.load(DATASET, digits()).unwrap();
    trainer
}

pub(crate) fn run(
    trainer: &mut Trainer,
    specs: &[TrialSpec],
    cancel: Vec<(u64, u64)>,
) -> (Vec<Recording>, Vec<Capacity>) {
    let recorded = Rc::new(RefCell::new(vec![Recording::default(); specs.len()]));
    let waiting = (0..).zip(specs.iter().copied()).collect();
    let mut batch = Batch {
        waiting,
        recorded: Rc::clone(&recorded),
        running: Rc::default(),
        cancel,
        rooms: Vec::new(),
    };
    trainer.run_all(&mut batch);
    assert!(batch.waiting.is_empty());
    let recorded = recorded.borrow().clone();
    (recorded, batch.rooms)
}

/// Asserts equal points with close values, and close results. Sums round differently beside other
/// lanes, and ReLU and maxima may then choose differently, hence the short horizon. `tolerance` is
/// relative, for losses.
pub(crate) fn assert_close(one: &Recording, other: &Recording, tolerance: f64, what: &str) {
    assert_eq!(one.points.len(), other.points.len(), "{what}");
    for (one, other) in one.points.iter().zip(&other.points) {
        assert_eq!((one.metric, one.step), (other.metric, other.step), "{what}");
        // One of 200 test or validation images may lie on a border, and more with a larger
        // tolerance.
        let is_share = [TEST_ACCURACY, VALIDATION_ACCURACY].contains(&one.metric);
        let allowed =
            if is_share { 0.0051 + 2.0 * tolerance } else { tolerance * other.value.abs() };
        assert!((one.value - other.value).abs() <= allowed, "{what}: {one:?} {other:?}");
    }
    match (one.result.clone().unwrap(), other.result.clone().unwrap()) {
        (Ok(one), Ok(other)) => {
            let difference = (one.final_test_loss - other.final_test_loss).abs();
            assert!(difference <= tolerance * other.final_test_loss, "{what}: {one:?} {other:?}");
        }
        (one, other) => panic!("{what}: {one:?} {other:?}"),
    }
}

/// The k-th of trials that differ in all that lanes may differ in.
pub(crate) fn varied(base: &TrialSpec, k: u32) -> TrialSpec {
    let mut spec = TrialSpec {
        seed: u64::from(k) + 1,
        subset_size: 40 + 7 * k,
        learning_rate: 0.01 + 0.002 * f64::from(k),
        ..base.with(axes::WEIGHT_DECAY, Value::Real(f64::from(k) * 0.01))
    };
    spec.classifier.iterations = 20 + 3 * k;
    if let Some(penalty) = &mut spec.penalty {
        penalty.lambda = 0.01 * f64::from(k + 1);
    }
    spec
}

/// Trials with all architectures, switches and VAEs, each at least once.
pub(crate) fn bases() -> Vec<TrialSpec> {
    let penalised = |architecture: Architecture, change: &dyn Fn(&mut TrialSpec)| {
        let mut base = spec(architecture, 0.1);
        change(&mut base);
        base
    };
    let density = |density| {
        move |spec: &mut TrialSpec| {
            let penalty = spec.penalty.as_mut().unwrap();
            (penalty.density, penalty.vae) = (density, None);
        }
    };
    let conv = |spec: &mut TrialSpec| {
        let penalty = spec.penalty.as_mut().unwrap();
        (penalty.density, penalty.units) = (Density::ConvVae, SampleUnits::Normalised);
        let vae = &mut penalty.vae.as_mut().unwrap().vae;
        (vae.family, vae.latent_statistics) = (VaeFamily::Convolutional, LatentStatistics::Subset);
    };
    let mut all: Vec<_> =
        Architecture::ALL.iter().map(|architecture| spec(*architecture, 0.0)).collect();
    all.extend(Architecture::ALL.iter().map(|architecture| spec(*architecture, 0.1)));
    all.extend([
        penalised(Architecture::LENET, &conv),
        penalised(Architecture::NET_DROPOUT, &density(Density::Data)),
        penalised(Architecture::NET, &density(Density::UniformNoise)),
        penalised(Architecture::LENET_BN, &density(Density::GaussianNoise)),
        penalised(Architecture::LENET_BN, &|spec| {
            spec.penalty.as_mut().unwrap().batch_norm = SampleBatchNorm::TrainNoUpdate;
            spec.classifier.batch_norm_scale = BatchNormScale::Ones;
        }),
        penalised(Architecture::LENET_BN, &|spec| {
            spec.penalty.as_mut().unwrap().batch_norm = SampleBatchNorm::Eval
        }),
    ]);
    all
}

/// The value of the term with this metric, `[K]`.
pub(crate) fn value_of<'g>(gradient: &'g Gradient, metric: &str) -> Option<&'g Tensor> {
    let has_metric = |(index, _): &&(usize, Tensor)| terms::ALL[*index].metric() == Some(metric);
    gradient.values.iter().find(has_metric).map(|(_, value)| value)
}
