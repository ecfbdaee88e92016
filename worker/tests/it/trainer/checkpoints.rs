//! Interrupted trials resume from their checkpoints, and end with the same bits.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use swfn_shared::{
    metrics::VAE_LOSS,
    trial::{Architecture, Classifier, Density, Epochs, TrialSpec, VaeFamily},
};
use swfn_worker::{
    train::trainer::{Options, Trainer},
    trial::{checkpoint::Checkpoints, report::TrainError},
};
use tch::Device;

use super::{Recorder, finals, recorded, run, spec, trainer, trainer_with};
use crate::common::Run as _;

/// A trainer that finds nothing but the checkpoints in that folder.
fn resuming(folder: &Path, every: Duration) -> Trainer {
    let checkpoints = Checkpoints::open(folder, Device::Cpu, every).unwrap();
    trainer_with(Device::Cpu, Options { checkpoints: Some(checkpoints), ..Options::default() })
}

/// VAE: reports at 100, 200, 230. Classifier: 330, 350 with an evaluation, 450, 470 with one, 480.
fn long(architecture: Architecture) -> TrialSpec {
    let mut trial = spec(architecture, 0.1);
    trial.penalty.as_mut().unwrap().vae.as_mut().unwrap().vae.iterations = 230;
    trial.classifier = Classifier { iterations: 250, evaluate_every: 120, ..trial.classifier };
    trial
}

/// Trains until the trial is cancelled at that step.
fn interrupt(trainer: &mut Trainer, trial: &TrialSpec, cancel_at: u64) -> Recorder {
    let mut recorder = Recorder { cancel_at: Some(cancel_at), ..Recorder::default() };
    assert_eq!(trainer.run(trial, &mut recorder), Err(TrainError::Cancelled));
    recorder
}

fn only_file(folder: &Path) -> PathBuf {
    let files: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    let [file] = files.as_slice() else { panic!("{files:?}") };
    file.clone()
}

/// Trials with each classifier's own state: batch norm, dropout beside a convolutional VAE,
/// validation images. They have all kinds of epochs.
fn interrupted() -> [TrialSpec; 3] {
    let mut convolutional = long(Architecture::NET_DROPOUT);
    let penalty = convolutional.penalty.as_mut().unwrap();
    penalty.density = Density::ConvVae;
    penalty.vae.as_mut().unwrap().vae.family = VaeFamily::Convolutional;
    convolutional.classifier.epochs = Epochs::Restart { every: 70 };
    let mut validated = TrialSpec { validation: 30, ..long(Architecture::NET) };
    validated.classifier.epochs = Epochs::Restart { every: validated.classifier.evaluate_every };
    [long(Architecture::LENET_BN), convolutional, validated]
}

/// Saved at each report.
const ALWAYS: Duration = Duration::ZERO;
/// Saved at the cancellation alone.
const AT_THE_END: Duration = Duration::from_secs(3600);

fn goes_on_to_the_same_bits(trial: &TrialSpec, every: Duration) {
    let undisturbed = recorded(&mut trainer(), trial);
    let folder = tempfile::tempdir().unwrap();
    // A cancelled trial is saved at the next report from which it can resume.
    let mut stood = 0;
    for (cancel_at, saved) in [(100, 100), (200, 200), (330, 330), (350, 350), (450, 450)] {
        let recorder = interrupt(&mut resuming(folder.path(), every), trial, cancel_at);
        assert!(recorder.calls[0] >= stood, "{cancel_at}: {:?}", recorder.calls);
        stood = saved;
    }
    let mut last = resuming(folder.path(), every);
    let (outcome, recorder) = run(&mut last, trial);
    assert_eq!(recorder.calls[0], 450, "{every:?}");
    assert!(outcome.vae_seconds > 0.0);
    assert_eq!(last.vaes(), [trial.vae().unwrap()]);
    // The result may get lost on its way. The checkpoint reproduces it until it is removed.
    let again = recorded(&mut last, trial);
    let checkpoints = Checkpoints::open(folder.path(), Device::Cpu, every).unwrap();
    checkpoints.remove(trial.id());
    assert!(fs::read_dir(folder.path()).unwrap().next().is_none());
    let finals = finals(&outcome).map(|value| ("outcome", 0, value.to_bits()));
    let points = recorder.points.iter().map(|p| (p.metric, p.step, p.value.to_bits()));
    assert_eq!(points.chain(finals).collect::<Vec<_>>(), undisturbed, "{every:?}");
    assert_eq!(again, undisturbed, "{every:?}");
}

#[test]
fn an_interrupted_trial_ends_with_the_same_bits() {
    for (trial, every) in interrupted().iter().zip([ALWAYS, AT_THE_END, AT_THE_END]) {
        goes_on_to_the_same_bits(trial, every);
    }
}

#[test]
#[ignore = "make test-all: the same, saved at the other times"]
fn it_does_whenever_it_was_saved() {
    for (trial, every) in interrupted().iter().zip([AT_THE_END, ALWAYS, ALWAYS]) {
        goes_on_to_the_same_bits(trial, every);
    }
}

#[test]
fn an_abandoned_trial_is_not_saved() {
    let trial = long(Architecture::NET_DROPOUT);
    let folder = tempfile::tempdir().unwrap();
    let mut trainer = resuming(folder.path(), Duration::from_secs(3600));
    let mut recorder = Recorder { cancel_at: Some(100), abandon: true, ..Recorder::default() };
    assert_eq!(trainer.run(&trial, &mut recorder), Err(TrainError::Cancelled));
    // On a slow machine there may be earlier calls without points.
    assert_eq!(recorder.calls.last(), Some(&100));
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    // After the last block nothing can be saved, so the trial ends with all its points.
    let mut recorder = Recorder { cancel_at: Some(480), ..Recorder::default() };
    assert!(trainer.run(&trial, &mut recorder).is_ok());
    let points = recorder.points.iter().map(|point| (point.metric, point.step)).collect::<Vec<_>>();
    let (_, whole) = run(&mut self::trainer(), &trial);
    assert_eq!(
        points,
        whole.points.iter().map(|point| (point.metric, point.step)).collect::<Vec<_>>()
    );
}

#[test]
fn wrong_checkpoints_are_not_used() {
    let trial = long(Architecture::NET_DROPOUT);
    let other = TrialSpec { seed: 2, ..trial };
    let undisturbed = [&trial, &other].map(|trial| recorded(&mut trainer(), trial));
    let folder = tempfile::tempdir().unwrap();
    let trainer = || resuming(folder.path(), Duration::from_secs(3600));
    interrupt(&mut trainer(), &trial, 330);
    let file = only_file(folder.path());
    let content = fs::read(&file).unwrap();
    let mut damaged = content.clone();
    damaged[content.len() / 2] ^= 1;
    fs::write(&file, damaged).unwrap();
    // From the start.
    assert_eq!(recorded(&mut trainer(), &trial), undisturbed[0]);
    assert!(!file.exists());
    let name = file.to_str().unwrap().replace(&trial.id().to_string(), &other.id().to_string());
    fs::write(&name, content).unwrap();
    assert_eq!(recorded(&mut trainer(), &other), undisturbed[1]);
    assert!(!Path::new(&name).exists());
}

#[test]
fn a_resumed_trial_that_diverges_starts_anew() {
    let mut trial = long(Architecture::NET);
    trial.learning_rate = 1e30;
    let folder = tempfile::tempdir().unwrap();
    interrupt(&mut resuming(folder.path(), AT_THE_END), &trial, 200);
    only_file(folder.path());
    let mut recorder = Recorder::default();
    let ended = resuming(folder.path(), AT_THE_END).run(&trial, &mut recorder);
    assert!(matches!(ended, Err(TrainError::Diverged { .. })), "{ended:?}");
    assert_eq!(recorder.steps(VAE_LOSS), [100, 200, 230, 100, 200, 230]);
    assert!(fs::read_dir(folder.path()).unwrap().next().is_none());
}
