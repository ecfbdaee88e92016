//! Tests that need a GPU: lanes, kernels and random numbers against those of the CPU, memory,
//! precision, and (`bench`) speed. `deploy/gpu-check.sh` runs them, one at a time.
//!
//! SWFN_GPU_TEST_DEVICE names the device, `cuda:0` by default. `cpu` tries the tests themselves
//! with the operations of GPUs. It skips and reports whatever a CPU cannot show.

mod bench;

use std::fs;

use swfn_shared::trial::{Architecture, Classifier, Precision, TrialSpec};
use swfn_worker::{
    compute::{Backend, Torch},
    device,
    noise::{self, At, Noise},
    rng::Purpose,
    train::trainer::{Options, Trainer},
    trial::report::TrainError,
};
use tch::{Device, Kind, Tensor};

use crate::{
    common::{DATASET, assert_close, bases, digits, run, spec, trainer, varied},
    libtorch::{precision, tensor_bytes},
};

/// Tolerance of losses after a short horizon, relative: libraries sum in other orders for other
/// sizes. Batch norm divides by the deviation of a few similar samples, which enlarges the
/// difference. 5e-3 was seen on an H100.
fn tolerance(trial: &TrialSpec) -> f64 {
    if trial.architecture == Architecture::LENET_BN { 2e-2 } else { 1e-3 }
}

fn backend() -> Backend {
    let name = std::env::var("SWFN_GPU_TEST_DEVICE").unwrap_or_else(|_| "cuda:0".to_owned());
    let device = device::open(&name).unwrap_or_else(|error| panic!("{error}"));
    device::use_one_thread();
    match device {
        Device::Cpu => Backend { device, compute: &Torch },
        gpu => Backend::from(gpu),
    }
}

/// Whether a CPU replaces the GPU, so that the check is skipped.
fn left_out(backend: Backend, what: &str) -> bool {
    let cpu = backend.device == Device::Cpu;
    if cpu {
        eprintln!("left out on a CPU: {what}");
    }
    cpu
}

#[test]
#[ignore = "needs a GPU: deploy/gpu-check.sh"]
fn a_few_lanes_equal_single_trials() {
    let backend = backend();
    for base in bases() {
        let specs: Vec<_> = (0..5).map(|k| varied(&base, k)).collect();
        let (alone, _) = run(&mut trainer(backend, 1), &specs, Vec::new());
        for lanes in [2, 5] {
            let (beside, _) = run(&mut trainer(backend, lanes), &specs, Vec::new());
            for ((alone, beside), spec) in alone.iter().zip(&beside).zip(&specs) {
                assert_close(beside, alone, tolerance(spec), &format!("{lanes} lanes, {spec:?}"));
            }
        }
    }
}

#[test]
#[ignore = "needs a GPU: deploy/gpu-check.sh"]
fn many_lanes_equal_single_trials() {
    const LANES: u32 = 64;
    let backend = backend();
    for base in bases() {
        let lane = |k: u32| TrialSpec { seed: u64::from(k) + 1, ..varied(&base, k % 5) };
        let specs: Vec<_> = (0..LANES).map(lane).collect();
        let (beside, _) = run(&mut trainer(backend, LANES as usize), &specs, Vec::new());
        for k in [0, 20, 43, LANES as usize - 1] {
            let (alone, _) = run(&mut trainer(backend, 1), &[specs[k]], Vec::new());
            assert_close(&beside[k], &alone[0], tolerance(&base), &format!("{:?}", specs[k]));
        }
    }
}

#[test]
#[ignore = "needs a GPU: deploy/gpu-check.sh"]
fn gpu_and_kernels_of_the_cpu_agree() {
    let backend = backend();
    for base in bases() {
        let specs: Vec<_> = (0..2).map(|k| varied(&base, k)).collect();
        let [cpu, gpu] = [Device::Cpu.into(), backend]
            .map(|backend| run(&mut trainer(backend, 2), &specs, Vec::new()).0);
        for (cpu, gpu) in cpu.iter().zip(&gpu) {
            assert_close(gpu, cpu, tolerance(&base), &format!("{base:?}"));
        }
    }
}

#[test]
#[ignore = "needs a GPU: deploy/gpu-check.sh"]
fn random_numbers_are_those_of_the_cpu() {
    type Make = fn(&mut [&mut Noise], At) -> Tensor;
    let make: [(Make, f64); 3] = [
        (|streams, at| noise::uniform(streams, 3, 10_001, at), 0.0),
        (|streams, at| noise::dropout(streams, &[0.0, 0.3, 0.75], 3, 10_001, at), 0.0),
        // Logarithm, sine and cosine round differently; a number is 6.6 at most.
        (|streams, at| noise::normal(streams, 3, 10_001, at), 5e-6),
    ];
    let backend = backend();
    for (index, (make, tolerance)) in make.into_iter().enumerate() {
        let [cpu, gpu] = [At::Loop, At::Torch(backend.device)].map(|at| {
            let mut streams =
                [(3, Purpose::DROPOUT), (3, Purpose::PENALTY_NOISE), (4, Purpose::VAE_NOISE)]
                    .map(|(s, p)| Noise::new(s, p));
            // The counter's 32nd bit turns over on the way.
            streams[1].go_to(u64::from(u32::MAX) - 1000);
            let numbers = make(&mut streams.each_mut(), at);
            (numbers.to_device(Device::Cpu), streams.map(|stream| stream.position()))
        });
        assert_eq!(cpu.1, gpu.1);
        let difference = (cpu.0 - gpu.0).abs().max().double_value(&[]);
        assert!(difference <= tolerance, "law {index}: {difference}");
    }
}

/// Bytes of tensors on a GPU; on a CPU those of the whole process.
fn bytes_in_use(device: Device) -> u64 {
    let of_process = || {
        let status = fs::read_to_string("/proc/self/status").unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() << 10
    };
    match device {
        Device::Cpu => of_process(),
        gpu => tensor_bytes(gpu).expect("torch counts the bytes of GPUs"),
    }
}

#[test]
#[ignore = "needs a GPU: deploy/gpu-check.sh"]
fn a_hundred_trials_leave_no_memory_behind() {
    let backend = backend();
    // Tensors on a GPU are counted; a process keeps freed memory for later, of trials of all sizes.
    let allowed = if backend.device == Device::Cpu { 64 << 20 } else { 1 << 20 };
    let mut trainer = trainer(backend, 4);
    let mut used = Vec::new();
    for round in 0..25_u32 {
        // Four trials at a time. VAEs are kept: there are four of them, from the first round on.
        let architecture = Architecture::ALL[round as usize % Architecture::ALL.len()];
        let specs: Vec<_> = (0..4).map(|k| varied(&spec(architecture, 0.1), k)).collect();
        let (recorded, _) = run(&mut trainer, &specs, Vec::new());
        assert!(recorded.iter().all(|recorded| matches!(recorded.result, Some(Ok(_)))));
        used.push(bytes_in_use(backend.device));
    }
    let (early, late) = (used[4], used[24]);
    eprintln!("memory after 20 trials: {early} bytes, after 100: {late}");
    assert!(late.saturating_sub(early) < allowed, "{used:?}");
    assert!(early > 0, "the test images, at least");
}

#[test]
#[ignore = "needs a GPU: deploy/gpu-check.sh"]
fn lanes_are_calibrated_and_the_result_is_kept() {
    let backend = backend();
    if left_out(backend, "calibration") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let trainer = || {
        let width_folder = Some(folder.path().to_owned());
        let mut trainer = Trainer::new(backend, Options { width_folder, ..Options::default() });
        trainer.load(DATASET, digits()).unwrap();
        trainer
    };
    let specs: Vec<_> = (0..4).map(|k| varied(&spec(Architecture::LENET, 0.1), k)).collect();
    let found = || {
        let (recorded, rooms) = run(&mut trainer(), &specs, Vec::new());
        assert!(recorded.iter().all(|recorded| matches!(recorded.result, Some(Ok(_)))));
        assert!(recorded.iter().any(|recorded| recorded.beside.contains(&4)), "side by side");
        rooms.iter().filter(|room| room.shape.is_some()).map(|room| room.lanes).max().unwrap()
    };
    let lanes = found();
    assert!(lanes > 1, "{lanes} lanes");
    let files: Vec<_> =
        fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
    let [file] = files.as_slice() else { panic!("{files:?}") };
    let text = fs::read_to_string(file).unwrap();
    eprintln!("{text}");
    // The next process uses the file and does not measure.
    let kept = serde_json::from_str::<serde_json::Value>(&text).unwrap()["lanes"].as_u64().unwrap();
    fs::write(file, text.replace(&format!("\"lanes\": {kept}"), "\"lanes\": 3")).unwrap();
    let (_, rooms) = run(&mut trainer(), &specs[..1], Vec::new());
    assert!(rooms.iter().all(|room| room.lanes <= 3), "{rooms:?}");
}

#[test]
#[ignore = "needs a GPU: deploy/gpu-check.sh"]
fn the_device_survives_running_out_of_memory() {
    let backend = backend();
    // 4 PiB.
    let error = Tensor::f_zeros([1 << 50], (Kind::Float, backend.device)).unwrap_err();
    let error = TrainError::from(error);
    assert!(error.is_out_of_memory(), "{error}");
    assert_eq!(device::try_out(backend.device), Ok(()));
}

#[test]
#[ignore = "needs a GPU: deploy/gpu-check.sh"]
fn tf32_rounds_only_where_it_is_wanted() {
    let backend = backend();
    let numbers = |seed, purpose| {
        noise::normal(&mut [&mut Noise::new(seed, purpose)], 1, 512 * 512, At::Loop)
    };
    let [a, b] = [(1, Purpose::DROPOUT), (2, Purpose::VAE_NOISE)]
        .map(|(seed, purpose)| numbers(seed, purpose));
    let [a, b] = [a, b].map(|x| x.to_device(backend.device));
    let matrices = |a: &Tensor, b: &Tensor| a.view([4, 256, 256]).bmm(&b.view([4, 256, 256]));
    // 256 channels of 32 x 32 pixels, 64 filters.
    let convolution = |a: &Tensor, b: &Tensor| {
        let filters = b.flatten(0, -1).narrow(0, 0, 64 * 256 * 9).view([64, 256, 3, 3]);
        a.view([1, 256, 32, 32]).conv2d::<&Tensor>(&filters, None, [1, 1], [1, 1], [1, 1], 1)
    };
    type Work<'a> = &'a dyn Fn(&Tensor, &Tensor) -> Tensor;
    for (what, work) in [("matrices", &matrices as Work<'_>), ("convolution", &convolution)] {
        let exact = work(&a.to_kind(Kind::Double), &b.to_kind(Kind::Double));
        let [full, rounded] = [Precision::Float32, Precision::Tf32].map(|precision| {
            device::set_precision(precision);
            let difference = work(&a, &b).to_kind(Kind::Double) - &exact;
            difference.square().mean(Kind::Double).sqrt().double_value(&[])
                / exact.std(true).double_value(&[])
        });
        device::set_precision(Precision::Float32);
        eprintln!(
            "{what}: error relative to the size of results {full:.1e} exact, {rounded:.1e} with tf32"
        );
        // Some algorithms of convolution are less exact than a plain sum, but more exact than ten
        // bits.
        assert!(full < 2e-5, "{what}: {full}");
        if !left_out(backend, "tf32") && std::env::var_os("NVIDIA_TF32_OVERRIDE").is_none() {
            assert!(
                rounded > 5e-5 && rounded < 2e-3,
                "{what}: {rounded}; GPUs before Ampere have no tf32"
            );
        }
    }
}

#[test]
#[ignore = "needs a GPU: deploy/gpu-check.sh"]
fn a_trial_sets_its_precision() {
    let backend = backend();
    let exact = TrialSpec { penalty: None, ..spec(Architecture::LENET, 0.0) };
    let classifier = Classifier { precision: Precision::Tf32, ..exact.classifier };
    let rounded = TrialSpec { classifier, ..exact };
    for trial in [exact, rounded, exact] {
        run(&mut trainer(backend, 1), &[trial], Vec::new());
        assert_eq!(precision(), Some(trial.classifier.precision));
    }
    device::set_precision(Precision::Float32);
}
