//! Whole trials on few images: their reports, repetition, independence and failures.

mod checkpoints;
mod epochs;
mod lanes;

use std::{fs, ops::ControlFlow, path::Path};

use swfn_shared::{
    artifacts::Artifacts,
    axes::{self, Value},
    catalogue::KMNIST,
    dataset::Dataset,
    metrics::{self, MetricPoint},
    trial::{
        Architecture, Classifier, Density, Epochs, LatentStatistics, Penalty, Precision,
        SampleBatchNorm, SampleUnits, Sampling, TrialSpec, VaeFamily,
    },
};
use swfn_worker::{
    train::trainer::{Options, Trainer},
    trial::report::{Observer, Outcome, Stop, TrainError},
    vae::{
        disk::{DEFAULT_LIMIT, DiskCache},
        family::Either,
        model::Vae,
        trained::{Densities, TrainedVae},
    },
};
use tch::{Device, Kind, Tensor};

use crate::common::{Run as _, digits, spec, trainer_with};

fn trainer() -> Trainer {
    trainer_with(Device::Cpu, Options::default())
}

/// The file of a trial's final weights.
pub(crate) fn weights_file(trial: &TrialSpec) -> Vec<u8> {
    let wanted = Artifacts { weights: true, ..Artifacts::default() };
    let (_, files) = trainer().run_for(trial, wanted, &mut Recorder::default()).unwrap();
    let [file] = &files[..] else { panic!("{} files", files.len()) };
    file.content.clone()
}

/// The numbers of that file. Its header names the trial, whose id differs.
pub(crate) fn weights(trial: &TrialSpec) -> Vec<u8> {
    let file = weights_file(trial);
    let header = u64::from_le_bytes(file[..8].try_into().unwrap()) as usize;
    file[8 + header..].to_vec()
}

/// Records all calls, and cancels at a step, to return the trial or to abandon it.
#[derive(Default)]
struct Recorder {
    calls: Vec<u64>,
    points: Vec<MetricPoint>,
    cancel_at: Option<u64>,
    abandon: bool,
}

impl Observer for Recorder {
    fn points(&mut self, step: u64, points: &[MetricPoint]) -> ControlFlow<Stop> {
        self.calls.push(step);
        self.points.extend(points);
        let stop = if self.abandon { Stop::Abandon } else { Stop::GiveBack };
        if self.cancel_at.is_some_and(|at| step >= at) {
            ControlFlow::Break(stop)
        } else {
            ControlFlow::Continue(())
        }
    }
}

impl Recorder {
    fn steps(&self, metric: &str) -> Vec<u64> {
        self.points.iter().filter(|p| p.metric == metric).map(|p| p.step).collect()
    }

    fn first(&self, metric: &str) -> f64 {
        self.points.iter().find(|p| p.metric == metric).unwrap().value
    }
}

fn run(trainer: &mut Trainer, spec: &TrialSpec) -> (Outcome, Recorder) {
    let mut recorder = Recorder::default();
    (trainer.run(spec, &mut recorder).unwrap(), recorder)
}

/// All reports of a trial as bits, without wall times.
fn recorded(trainer: &mut Trainer, spec: &TrialSpec) -> Vec<(&'static str, u64, u64)> {
    let (outcome, recorder) = run(trainer, spec);
    let finals = finals(&outcome).map(|value| ("outcome", 0, value.to_bits()));
    recorder.points.iter().map(|p| (p.metric, p.step, p.value.to_bits())).chain(finals).collect()
}

/// All numbers of an outcome but wall times, with -1 for missing ones.
fn finals(outcome: &Outcome) -> [f64; 5] {
    let Outcome { validation_accuracy, validated_test_accuracy, .. } = *outcome;
    let [validation, validated] =
        [validation_accuracy, validated_test_accuracy].map(|share| share.unwrap_or(-1.0));
    [
        outcome.final_test_accuracy,
        outcome.best_test_accuracy,
        outcome.final_test_loss,
        validation,
        validated,
    ]
}

#[test]
fn a_trial_reports_each_block_and_the_end() {
    let (outcome, recorder) = run(&mut trainer(), &spec(Architecture::NET, 0.1));
    assert_eq!(recorder.steps(metrics::VAE_LOSS), [30]);
    for metric in [
        metrics::TRAIN_LOSS,
        metrics::TRAIN_FUNCTION_NORM,
        metrics::TEST_LOSS,
        metrics::TEST_ACCURACY,
    ] {
        assert_eq!(recorder.steps(metric), [10, 20, 25], "{metric}");
    }
    assert!(recorder.calls.is_sorted());
    assert_eq!(recorder.calls.last(), Some(&spec(Architecture::NET, 0.1).steps()));
    let last = recorder.points.iter().rfind(|p| p.metric == metrics::TEST_ACCURACY).unwrap();
    assert_eq!(outcome.final_test_accuracy, last.value);
    assert!(
        outcome.best_test_accuracy >= last.value
            && outcome.vae_seconds > 0.0
            && outcome.classifier_seconds > 0.0
    );
}

#[test]
fn validation_images_only_choose_an_evaluation() {
    let mut plain = spec(Architecture::NET, 0.1);
    plain.classifier = Classifier { iterations: 200, evaluate_every: 20, ..plain.classifier };
    let (without, silent) = run(&mut trainer(), &plain);
    assert_eq!((without.validation_accuracy, without.validated_test_accuracy), (None, None));
    let (with, recorder) = run(&mut trainer(), &TrialSpec { validation: 50, ..plain });
    let recorded =
        |metric: &str| recorder.points.iter().filter(|p| p.metric == metric).collect::<Vec<_>>();
    let (validation, test) =
        (recorded(metrics::VALIDATION_ACCURACY), recorded(metrics::TEST_ACCURACY));
    assert_eq!(
        (validation.len(), test.len(), recorded(metrics::VALIDATION_LOSS).len()),
        (10, 10, 10)
    );
    // The first of the highest.
    let best = validation.iter().rev().max_by(|a, b| a.value.total_cmp(&b.value)).unwrap();
    let at_best = test.iter().find(|point| point.step == best.step).unwrap();
    assert_eq!(
        (with.validation_accuracy, with.validated_test_accuracy),
        (Some(best.value), Some(at_best.value))
    );
    assert!(
        best.value > 0.3 && (best.value * 50.0 - (best.value * 50.0).round()).abs() < 1e-9,
        "{best:?}"
    );
    let others: Vec<_> =
        recorder.points.iter().filter(|p| !p.metric.starts_with("validation/")).copied().collect();
    assert_eq!(others, silent.points);
    assert_eq!(finals(&with)[..3], finals(&without)[..3]);
}

#[test]
fn long_blocks_are_reported_in_parts() {
    let mut spec = spec(Architecture::NET, 0.0);
    spec.classifier.iterations = 230;
    spec.classifier.evaluate_every = 1000;
    let (_, recorder) = run(&mut trainer(), &spec);
    assert_eq!(recorder.steps(metrics::TRAIN_LOSS), [100, 200, 230]);
    assert_eq!(recorder.steps(metrics::TEST_LOSS), [230]);
}

#[test]
fn digits_are_learnt() {
    for &architecture in Architecture::ALL {
        let mut trial = TrialSpec { subset_size: 200, ..spec(architecture, 0.01) };
        trial.classifier.iterations = 300;
        trial.classifier.evaluate_every = 300;
        let (outcome, recorder) = run(&mut trainer(), &trial);
        assert!(outcome.final_test_accuracy > 0.7, "{architecture}: {outcome:?}");
        let last = recorder.points.iter().rfind(|p| p.metric == metrics::TRAIN_LOSS).unwrap();
        assert!(last.value < 0.5 * recorder.first(metrics::TRAIN_LOSS), "{architecture}: {last:?}");
    }
}

#[test]
fn a_trial_repeats_bit_for_bit() {
    for &architecture in Architecture::ALL {
        let trial = spec(architecture, 0.1);
        let alone = recorded(&mut trainer(), &trial);
        let mut busy = trainer();
        // The trainer has seen another subset, another VAE, a failure, and this VAE with another
        // architecture.
        run(&mut busy, &TrialSpec { seed: 2, ..trial });
        let wild = TrialSpec { learning_rate: 1e6, ..spec(Architecture::LENET, 0.0) };
        assert!(busy.run(&wild, &mut Recorder::default()).is_err());
        run(&mut busy, &TrialSpec { architecture: Architecture::NET, ..trial });
        assert_eq!(
            busy.vaes(),
            [trial.vae().unwrap(), TrialSpec { seed: 2, ..trial }.vae().unwrap()]
        );
        assert_eq!(recorded(&mut busy, &trial), alone, "{architecture}");
        assert_ne!(recorded(&mut busy, &TrialSpec { seed: 2, ..trial }), alone, "{architecture}");
    }
}

#[test]
fn a_vae_from_disk_only_saves_time() {
    let folder = tempfile::tempdir().unwrap();
    let trainer = |folder: &Path| {
        let disk = DiskCache::open(folder, Device::Cpu, DEFAULT_LIMIT).unwrap();
        trainer_with(Device::Cpu, Options { vaes: Some(disk), ..Options::default() })
    };
    for architecture in [Architecture::NET, Architecture::LENET_BN] {
        let mut trial = spec(architecture, 0.1);
        // More than one report of the VAE, the last one in the middle of a hundred.
        trial.penalty.as_mut().unwrap().vae.as_mut().unwrap().vae.iterations = 230;
        let alone = recorded(&mut self::trainer(), &trial);
        // The first trains the VAE, the others find it.
        for process in 0..2 {
            assert_eq!(
                recorded(&mut trainer(folder.path()), &trial),
                alone,
                "{architecture} {process}"
            );
        }
        let mut trainer = trainer(folder.path());
        let (outcome, recorder) = run(&mut trainer, &trial);
        assert_eq!(
            (outcome.vae_seconds, recorder.steps(metrics::VAE_LOSS)),
            (0.0, vec![100, 200, 230])
        );
        assert_eq!(recorder.calls.first(), Some(&230));
        assert_eq!(trainer.vaes(), [trial.vae().unwrap()]);
    }
    // There is one VAE for all architectures. A damaged file is replaced after another training.
    let files: Vec<_> =
        fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
    let [file] = files.as_slice() else { panic!("{files:?}") };
    let content = fs::read(file).unwrap();
    fs::write(file, &content[..content.len() - 1]).unwrap();
    let mut trial = spec(Architecture::NET, 0.1);
    trial.penalty.as_mut().unwrap().vae.as_mut().unwrap().vae.iterations = 230;
    assert_eq!(
        recorded(&mut trainer(folder.path()), &trial),
        recorded(&mut self::trainer(), &trial)
    );
    assert_eq!(fs::read(file).unwrap(), content);
    // Where nothing can be written, VAEs are trained.
    assert_eq!(
        recorded(&mut trainer(Path::new("/proc/self")), &trial),
        recorded(&mut self::trainer(), &trial)
    );
}

#[test]
fn a_vae_that_makes_trials_diverge_is_retrained() {
    let trial = spec(Architecture::NET, 0.1);
    let (vae, settings) = (trial.vae().unwrap(), trial.vae_samples().unwrap().vae);
    let (alone, _) = run(&mut trainer(), &trial);
    let folder = tempfile::tempdir().unwrap();
    let cache = || DiskCache::open(folder.path(), Device::Cpu, DEFAULT_LIMIT).unwrap();
    let caching =
        || trainer_with(Device::Cpu, Options { vaes: Some(cache()), ..Options::default() });
    run(&mut caching(), &trial);
    let file = fs::read_dir(folder.path()).unwrap().next().unwrap().unwrap().path();
    let sound = fs::read(&file).unwrap();
    // Finite numbers, and the right shapes.
    let code = Tensor::full([1, 1, i64::from(settings.latent)], 1e38, (Kind::Float, Device::Cpu));
    let decoder = || {
        let decoder =
            Vae::new(784, settings.hidden.into(), settings.latent.into(), &[0], Device::Cpu.into())
                .decoder;
        Either::Vanilla(decoder)
    };
    let images = |count: i64| Tensor::zeros([count, 784], (Kind::Float, Device::Cpu));
    let wrong = |count| TrainedVae::new(Densities::new(decoder(), &code, &code), images(count));
    let count = (1..100).find(|count| {
        cache().get(vae, settings.iterations, || wrong(*count)).is_some() || {
            fs::write(&file, &sound).unwrap();
            false
        }
    });
    cache().put(vae, &wrong(count.unwrap()));
    assert_ne!(fs::read(&file).unwrap(), sound);
    let (outcome, _) = run(&mut caching(), &trial);
    assert_eq!(finals(&outcome), finals(&alone));
    assert_eq!(fs::read(&file).unwrap(), sound);
}

#[test]
fn cpus_do_not_mind_the_precision() {
    let exact = spec(Architecture::LENET_BN, 0.1);
    let classifier = Classifier { precision: Precision::Tf32, ..exact.classifier };
    let rounded = TrialSpec { classifier, ..exact };
    assert_ne!(exact.shape(), rounded.shape());
    assert_eq!(recorded(&mut trainer(), &exact), recorded(&mut trainer(), &rounded));
}

#[test]
fn trials_of_one_seed_are_paired() {
    let first_loss = |trial: TrialSpec| {
        let classifier = Classifier { iterations: 1, evaluate_every: 1, ..trial.classifier };
        run(&mut trainer(), &TrialSpec { classifier, ..trial }).1.first(metrics::TRAIN_LOSS)
    };
    for &architecture in Architecture::ALL {
        let plain = spec(architecture, 0.0);
        let loss = first_loss(plain);
        let others = [spec(architecture, 0.1), plain.with(axes::WEIGHT_DECAY, Value::Real(0.1))];
        for other in others {
            // The first batch goes through the same weights; with samples beside it, sums may round
            // differently.
            assert!((first_loss(other) - loss).abs() < 1e-5 * loss, "{architecture}");
        }
        assert!(
            (first_loss(TrialSpec { seed: 2, ..plain }) - loss).abs() > 1e-3 * loss,
            "{architecture}"
        );
    }
}

#[test]
fn without_function_norm_there_is_no_vae() {
    let mut trainer = trainer();
    let (outcome, recorder) = run(&mut trainer, &spec(Architecture::LENET, 0.0));
    assert!(trainer.vaes().is_empty());
    assert!(
        recorder.steps(metrics::VAE_LOSS).is_empty()
            && recorder.steps(metrics::TRAIN_FUNCTION_NORM).is_empty()
    );
    assert_eq!(outcome.vae_seconds, 0.0);
    assert_eq!(recorder.calls.last(), Some(&25));
}

#[test]
fn every_setting_of_the_samples_matters() {
    let mut trainer = trainer();
    let published = spec(Architecture::LENET_BN, 0.1);
    let with = |change: fn(&mut Penalty)| {
        let mut penalty = published.penalty.unwrap();
        change(&mut penalty);
        TrialSpec { penalty: Some(penalty), ..published }
    };
    let variants = [
        published,
        with(|p| p.units = SampleUnits::Normalised),
        with(|p| p.batch_norm = SampleBatchNorm::TrainNoUpdate),
        with(|p| p.batch_norm = SampleBatchNorm::Eval),
        with(|p| p.vae.as_mut().unwrap().vae.latent_statistics = LatentStatistics::Subset),
        with(|p| {
            p.density = Density::ConvVae;
            p.vae.as_mut().unwrap().vae.family = VaeFamily::Convolutional;
        }),
        with(|p| (p.density, p.vae) = (Density::Data, None)),
        with(|p| (p.density, p.vae) = (Density::UniformNoise, None)),
        with(|p| (p.density, p.vae) = (Density::GaussianNoise, None)),
        TrialSpec { sampling: Sampling::Balanced, ..published },
    ];
    let mut losses: Vec<u64> = Vec::new();
    for (index, variant) in variants.iter().enumerate() {
        let (outcome, recorder) = run(&mut trainer, variant);
        assert_eq!(
            recorder.steps(metrics::VAE_LOSS).is_empty(),
            variant.vae().is_none(),
            "{index}"
        );
        assert_eq!(recorder.steps(metrics::TRAIN_FUNCTION_NORM), [10, 20, 25], "{index}");
        losses.push(outcome.final_test_loss.to_bits());
    }
    let distinct: std::collections::HashSet<_> = losses.iter().collect();
    assert_eq!(distinct.len(), variants.len(), "{losses:?}");
    assert_eq!(
        trainer.vaes().len(),
        4,
        "published, subset's statistics, convolutional, balanced subset"
    );
}

#[test]
fn a_trial_with_an_infinite_loss_diverges() {
    let spec = TrialSpec { learning_rate: 1e6, ..spec(Architecture::LENET, 0.0) };
    let error = trainer().run(&spec, &mut Recorder::default()).unwrap_err();
    assert!(
        matches!(error, TrainError::Diverged { metric: metrics::TRAIN_LOSS, step: 10, .. }),
        "{error:?}"
    );
    assert!(error.to_string().starts_with("diverged: train/loss is `"), "{error}");
}

#[test]
fn the_trainer_survives_cancelled_trials() {
    let mut trainer = trainer();
    let trial = spec(Architecture::NET, 0.1);
    // At the end of the VAE's training, at the first block's losses or its evaluation.
    for cancel_at in [30, 40] {
        let mut recorder = Recorder { cancel_at: Some(cancel_at), ..Recorder::default() };
        assert_eq!(trainer.run(&trial, &mut recorder), Err(TrainError::Cancelled));
        assert_eq!(recorder.calls.last(), Some(&cancel_at));
    }
    assert_eq!(recorded(&mut trainer, &trial), recorded(&mut self::trainer(), &trial));
}

#[test]
fn trials_must_fit_their_data() {
    let good = spec(Architecture::LENET_BN, 0.1);
    let with = |change: fn(&mut TrialSpec)| {
        let mut spec = good;
        change(&mut spec);
        spec
    };
    let cases = [
        (
            with(|s| s.subset_size = 60_001),
            "a subset of `60001` images was asked for, but there are `60000`",
        ),
        (with(|s| s.dataset = Dataset::of(&KMNIST)), "data set `kmnist` is not loaded"),
        (
            with(|s| s.classifier.batch_size = 61),
            "batch_size `61` is more than the subset of 60 images",
        ),
        (with(|s| s.classifier.evaluate_every = 0), "evaluate_every `0` is not above zero"),
        (
            with(|s| s.classifier.epochs = Epochs::Restart { every: 0 }),
            "restart_every `0` is not above zero",
        ),
        (with(|s| s.classifier.batch_size = 1), "batch norm has no variance of `1` image"),
    ];
    let mut trainer = trainer();
    for (spec, message) in cases {
        let error = trainer.run(&spec, &mut Recorder::default()).unwrap_err();
        assert!(
            matches!(error, TrainError::Data(_)) && error.to_string().starts_with(message),
            "{error}"
        );
    }
}

#[test]
fn an_error_of_torch_fails_only_the_trial() {
    let mut trainer = trainer();
    let mut broken = digits();
    broken.test.labels.fill(12);
    trainer.load(Dataset::of(&KMNIST), broken).unwrap();
    let trial = spec(Architecture::NET, 0.0);
    let error = trainer
        .run(&TrialSpec { dataset: Dataset::of(&KMNIST), ..trial }, &mut Recorder::default())
        .unwrap_err();
    assert!(
        matches!(&error, TrainError::Torch(message) if message.contains("index 12 is out of bounds")),
        "{error}"
    );
    assert_eq!(recorded(&mut trainer, &trial), recorded(&mut self::trainer(), &trial));
}
