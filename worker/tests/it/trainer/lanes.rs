//! Trials beside others: each as if it were alone.

use std::time::Duration;

use swfn_shared::trial::{Architecture, TrialSpec};
use swfn_worker::{
    compute::{AdamRates, Backend, Compute, Kernels, Normed, SgdRates, Torch},
    layers::{BatchNorm, NormMode},
    noise::At,
    train::trainer::Options,
    trial::{checkpoint::Checkpoints, report::TrainError},
};
use tch::{Device, Tensor};

use super::Recorder;
use crate::common::{
    Recording, Run as _, assert_close, bases, run, spec, trainer, trainer_with, varied,
};

/// Our kernels, and the operations of GPUs.
fn places() -> [Backend; 2] {
    [Backend::from(Device::Cpu), Backend { device: Device::Cpu, compute: &Torch }]
}

/// Tolerance for sums in another order, a few steps later.
const TOLERANCE: f64 = 2e-4;

fn assert_same(one: &Recording, other: &Recording, what: &str) {
    assert_close(one, other, TOLERANCE, what);
}

fn check_lanes(backend: Backend, trials: u32, widths: &[usize]) {
    for base in bases() {
        let specs: Vec<_> = (0..trials).map(|k| varied(&base, k)).collect();
        let (alone, _) = run(&mut trainer(backend, 1), &specs, Vec::new());
        for &lanes in widths {
            let (beside, _) = run(&mut trainer(backend, lanes), &specs, Vec::new());
            for ((alone, beside), spec) in alone.iter().zip(&beside).zip(&specs) {
                assert_same(
                    beside,
                    alone,
                    &format!("{lanes} lanes, {:?}, {spec:?}", backend.compute),
                );
            }
            assert!(beside.iter().any(|recorded| recorded.beside.contains(&lanes)), "side by side");
        }
    }
}

#[test]
fn lanes_equal_single_trials() {
    check_lanes(places()[0], 2, &[2]);
}

#[test]
#[ignore = "make test-all: more trials, and more of them side by side"]
fn more_lanes_equal_single_trials() {
    places().into_iter().for_each(|backend| check_lanes(backend, 5, &[2, 5]));
}

#[test]
fn each_lane_sees_its_own_validation_images() {
    let base = TrialSpec { validation: 200, ..spec(Architecture::NET, 0.1) };
    let specs: Vec<_> = (0..5).map(|k| varied(&base, k)).collect();
    for backend in places() {
        let (alone, _) = run(&mut trainer(backend, 1), &specs, Vec::new());
        let (beside, _) = run(&mut trainer(backend, 3), &specs, Vec::new());
        for (alone, beside) in alone.iter().zip(&beside) {
            assert_same(beside, alone, &format!("{:?}", backend.compute));
            let of = |recorded: &Recording| {
                recorded.result.clone().unwrap().unwrap().validation_accuracy.unwrap()
            };
            assert!((of(alone) - of(beside)).abs() < 0.0051, "{alone:?} {beside:?}");
        }
    }
}

#[test]
#[ignore = "make test-all: that they agree with the kernels, two lanes wide, is tested always"]
fn lanes_of_gpu_operations_equal_single_trials() {
    check_lanes(places()[1], 2, &[2]);
}

#[test]
fn kernels_and_operations_of_gpus_agree() {
    for base in bases() {
        let specs: Vec<_> = (0..2).map(|k| varied(&base, k)).collect();
        let [ours, torch] =
            places().map(|backend| run(&mut trainer(backend, 2), &specs, Vec::new()).0);
        for (ours, torch) in ours.iter().zip(&torch) {
            assert_same(ours, torch, &format!("{base:?}"));
        }
    }
}

#[test]
fn failing_lanes_leave_the_others_alone() {
    for backend in places() {
        let base = spec(Architecture::LENET_BN, 0.1);
        let mut specs: Vec<_> = (0..5).map(|k| varied(&base, k)).collect();
        specs[1].learning_rate = 1e6;
        specs[3].subset_size = 60_001;
        let (alone, _) = run(&mut trainer(backend, 1), &specs, Vec::new());
        // The third is given back at its first report after the VAE's.
        let (beside, _) = run(&mut trainer(backend, 5), &specs, vec![(2, 40)]);
        let result = |k: usize| beside[k].result.clone().unwrap();
        assert!(matches!(result(1), Err(TrainError::Diverged { .. })), "{:?}", result(1));
        assert_eq!(
            result(1).unwrap_err().to_string(),
            alone[1].result.clone().unwrap().unwrap_err().to_string()
        );
        assert_eq!(result(2), Err(TrainError::Cancelled));
        assert!(matches!(result(3), Err(TrainError::Data(_))), "{:?}", result(3));
        for k in [0, 4] {
            assert_same(&beside[k], &alone[k], &format!("{k}, {:?}", backend.compute));
        }
    }
}

#[test]
fn lanes_that_become_free_are_taken_at_once() {
    let base = spec(Architecture::NET, 0.0);
    let lengths = [400, 100, 200, 600, 300, 100, 500, 200, 400, 300, 600, 100];
    let trial = |(&iterations, seed): (&u32, u64)| {
        let mut spec = TrialSpec { seed, ..base };
        spec.classifier.iterations = iterations;
        spec.classifier.evaluate_every = 1000;
        spec
    };
    let specs: Vec<_> = lengths.iter().zip(1..).map(trial).collect();
    let (recorded, rooms) = run(&mut trainer(Device::Cpu.into(), 3), &specs, Vec::new());
    assert!(recorded.iter().all(|recorded| matches!(recorded.result, Some(Ok(_)))));
    // While the last one had not begun, all three lanes were in use at each report.
    for recorded in &recorded[..specs.len() - 3] {
        assert!(recorded.beside.iter().all(|beside| *beside == 3), "{:?}", recorded.beside);
    }
    // More are asked for before the lanes are free, and never of another shape while some are busy.
    assert_eq!((rooms[0].lanes, rooms[0].shape), (3, None));
    assert_eq!((rooms[1].lanes, rooms[1].shape), (2, Some(specs[0].shape())), "one has come");
    assert_eq!(
        (rooms[3].lanes, rooms[4].lanes),
        (0, 1),
        "all are taken; after 100 iterations, one is to end soon"
    );
    assert!(rooms.iter().all(|room| room.lanes <= 3));
}

#[test]
fn a_cancelled_trial_keeps_a_shared_vae_going() {
    let base = spec(Architecture::NET, 0.1);
    let mut other = base;
    other.penalty.as_mut().unwrap().lambda = 0.2;
    let specs = [base, other];
    let (alone, _) = run(&mut trainer(Device::Cpu.into(), 1), &specs, Vec::new());
    // The first is given back at the VAE's first report.
    let mut trainer = trainer(Device::Cpu.into(), 2);
    let (beside, _) = run(&mut trainer, &specs, vec![(0, 1)]);
    assert_eq!(beside[0].result, Some(Err(TrainError::Cancelled)));
    assert_same(&beside[1], &alone[1], "the one that stays");
    assert_eq!(trainer.vaes(), [base.vae().unwrap()]);
}

#[test]
fn a_trial_goes_on_among_others() {
    let folder = tempfile::tempdir().unwrap();
    let saving = |lanes| {
        let hour = Duration::from_secs(3600);
        let checkpoints = Some(Checkpoints::open(folder.path(), Device::Cpu, hour).unwrap());
        let options = Options { lanes: Some(lanes), checkpoints, ..Options::default() };
        trainer_with(Device::Cpu, options)
    };
    let mut base = spec(Architecture::LENET_BN, 0.1);
    base.penalty.as_mut().unwrap().vae.as_mut().unwrap().vae.iterations = 130;
    let specs: Vec<_> = (0..3).map(|k| varied(&base, k)).collect();
    let (alone, _) = run(&mut trainer(Device::Cpu.into(), 1), &specs, Vec::new());
    // One in the middle of its VAE, another one in the middle of its classifier.
    for (spec, cancel_at) in [(&specs[0], 100), (&specs[2], 140)] {
        let mut recorder = Recorder { cancel_at: Some(cancel_at), ..Recorder::default() };
        let mut trainer = saving(1);
        assert_eq!(trainer.run(spec, &mut recorder), Err(TrainError::Cancelled));
    }
    let (beside, _) = run(&mut saving(3), &specs, Vec::new());
    for (k, (beside, alone)) in beside.iter().zip(&alone).enumerate() {
        assert_same(beside, alone, &format!("{k}"));
    }
}

/// Kernels on a device with memory for two lanes.
#[derive(Debug)]
struct Small;

impl Compute for Small {
    fn has_conv_pool(&self) -> bool {
        Kernels.has_conv_pool()
    }

    fn linear(&self, x: &Tensor, weight: &Tensor, bias: &Tensor) -> Tensor {
        Kernels.linear(x, weight, bias)
    }

    fn product(&self, a: &Tensor, b: &Tensor) -> Tensor {
        Kernels.product(a, b)
    }

    fn transposed_product(&self, a: &Tensor, b: &Tensor) -> Tensor {
        Kernels.transposed_product(a, b)
    }

    fn batch_norm(&self, norm: &BatchNorm, x: &Tensor, mode: NormMode) -> Normed {
        Kernels.batch_norm(norm, x, mode)
    }

    fn batch_norm_gradients(
        &self,
        norm: &BatchNorm,
        normed: &Normed,
        of_output: &Tensor,
    ) -> [Tensor; 3] {
        Kernels.batch_norm_gradients(norm, normed, of_output)
    }

    fn cross_entropy(&self, logits: &Tensor, x: &Tensor, share: f64) -> (Tensor, Tensor) {
        Kernels.cross_entropy(logits, x, share)
    }

    fn sgd(&self, rates: &SgdRates, changed: [&mut Tensor; 2], gradient: &Tensor) {
        let lanes = gradient.size()[0];
        assert!(lanes <= 2, "CUDA out of memory. Tried to allocate 2.00 GiB");
        Kernels.sgd(rates, changed, gradient);
    }

    fn adam(&self, rates: &AdamRates, changed: [&mut Tensor; 3], gradient: &Tensor) {
        Kernels.adam(rates, changed, gradient);
    }

    fn images_at_once(&self, lanes: usize) -> usize {
        Kernels.images_at_once(lanes)
    }

    fn inputs_at_once(&self, lanes: usize) -> usize {
        Kernels.inputs_at_once(lanes)
    }

    fn noise(&self, device: Device) -> At {
        Kernels.noise(device)
    }
}

#[test]
fn trials_without_memory_get_fewer_lanes() {
    let base = spec(Architecture::NET, 0.1);
    let specs: Vec<_> = (0..5).map(|k| varied(&base, k)).collect();
    let (alone, _) = run(&mut trainer(Device::Cpu.into(), 1), &specs, Vec::new());
    let small = Backend { device: Device::Cpu, compute: &Small };
    let mut trainer = trainer(small, 5);
    let (beside, _) = run(&mut trainer, &specs, Vec::new());
    for (beside, alone) in beside.iter().zip(&alone) {
        // Earlier points are reported again.
        let from = beside.points.len() - alone.points.len();
        let last = Recording { points: beside.points[from..].to_vec(), ..beside.clone() };
        assert_same(&last, alone, "with fewer lanes");
    }
    // The trainer remembers the limit, so the first attempt fits.
    let (again, rooms) = run(&mut trainer, &specs, Vec::new());
    assert!(again.iter().all(|recorded| recorded.beside.iter().all(|beside| *beside <= 2)));
    assert_eq!(rooms[0].lanes, 5, "nobody knows the shape yet");
    assert!(rooms[1..].iter().all(|room| room.lanes <= 5));
}
