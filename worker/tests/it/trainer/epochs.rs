//! When epochs begin, and that evaluations change nothing that is trained.

use swfn_shared::{
    metrics,
    trial::{Architecture, Classifier, Density, Epochs, TrialSpec, VaeFamily},
};

use super::{run, spec, trainer, weights};

#[test]
fn evaluations_do_not_change_the_weights() {
    let mut convolutional = spec(Architecture::LENET, 0.1);
    let penalty = convolutional.penalty.as_mut().unwrap();
    penalty.density = Density::ConvVae;
    penalty.vae.as_mut().unwrap().vae.family = VaeFamily::Convolutional;
    let bases =
        [spec(Architecture::NET_DROPOUT, 0.1), spec(Architecture::LENET_BN, 0.0), convolutional];
    for base in bases {
        let with = |evaluate_every, epochs| {
            let classifier =
                Classifier { iterations: 50, evaluate_every, epochs, ..base.classifier };
            weights(&TrialSpec { classifier, ..base })
        };
        // An epoch has six steps.
        let restart = Epochs::Restart { every: 20 };
        for epochs in [Epochs::Continuous, restart] {
            let rare = with(1000, epochs);
            assert!(
                with(7, epochs) == rare && with(20, epochs) == rare,
                "{} {epochs:?}",
                base.architecture
            );
        }
        assert!(with(1000, Epochs::Continuous) != with(1000, restart), "{}", base.architecture);
    }
}

#[test]
fn epochs_begin_anew_where_they_are_told_to() {
    let losses = |epochs| {
        let trial = spec(Architecture::NET, 0.0);
        let classifier =
            Classifier { iterations: 4, evaluate_every: 1, epochs, ..trial.classifier };
        let (_, recorder) =
            run(&mut trainer(), &TrialSpec { subset_size: 20, classifier, ..trial });
        let of_training =
            recorder.points.iter().filter(|point| point.metric == metrics::TRAIN_LOSS);
        of_training.map(|point| point.value).collect::<Vec<_>>()
    };
    // An epoch has two batches.
    let continuous = losses(Epochs::Continuous);
    assert_eq!(losses(Epochs::Restart { every: 2 }), continuous, "there an epoch ends anyway");
    let restarted = losses(Epochs::Restart { every: 1 });
    assert_eq!(restarted[0], continuous[0]);
    assert_ne!(restarted[1], continuous[1]);
}
