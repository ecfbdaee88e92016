//! Processor time per step of each part of a trial, on one thread of the CPU, at the published
//! sizes. `cargo bench --bench steps -- 'lenet'` compares with the last run, and `make bench` with
//! PyTorch and JAX.
//!
//! `step/CASE` is a step of training, where `fn` means the function norm with 20 samples, and
//! `fn 100` with 100.
//! `evaluation/ARCHITECTURE` is a pass of 1,000 images through the network. `sgemm` is torch's
//! product of two matrices of 1024 x 1024, for scale.

mod clock;
mod trial;

use std::{hint::black_box, time::Duration};

use criterion::{Criterion, SamplingMode, Throughput};
use tch::{Device, Kind, Tensor};

use trial::{Desk, TEST_IMAGES};

const SIZE: i64 = 1024;

fn main() {
    tch::set_num_threads(1);
    let mut criterion = Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(100))
        .measurement_time(Duration::from_millis(1200))
        .configure_from_args();
    let desk = Desk::new();
    steps(&mut criterion, &desk);
    evaluations(&mut criterion, &desk);
    sgemm(&mut criterion);
    criterion.final_summary();
}

fn steps(criterion: &mut Criterion, desk: &Desk) {
    let mut group = criterion.benchmark_group("step");
    group.sampling_mode(SamplingMode::Flat).throughput(Throughput::Elements(1));
    for architecture in ["net", "lenet", "lenet+bn"] {
        for (name, samples) in [("", 0), (" fn", 20), (" fn 100", 100)] {
            group.bench_function(format!("{architecture}{name}"), |bencher| {
                bencher.iter_custom(|count| desk.classifier(architecture, samples, count));
            });
        }
    }
    let mut seeds = 1..;
    group.bench_function("vae", |bencher| {
        bencher.iter_custom(|count| desk.vae(seeds.next().unwrap_or_default(), count));
    });
}

fn evaluations(criterion: &mut Criterion, desk: &Desk) {
    let mut group = criterion.benchmark_group("evaluation");
    group.sampling_mode(SamplingMode::Flat).throughput(Throughput::Elements(TEST_IMAGES as u64));
    for architecture in ["net", "lenet", "lenet+bn"] {
        group.bench_function(architecture, |bencher| {
            bencher.iter_custom(|count| desk.evaluation(architecture, count));
        });
    }
}

fn sgemm(criterion: &mut Criterion) {
    let x = Tensor::randn([SIZE, SIZE], (Kind::Float, Device::Cpu));
    let mut group = criterion.benchmark_group("sgemm");
    group.throughput(Throughput::Elements(2 * SIZE.pow(3) as u64));
    group.bench_function("1024", |bencher| {
        bencher.iter_custom(|count| {
            let start = clock::now();
            (0..count).for_each(|_| drop(black_box(black_box(&x).matmul(&x))));
            clock::now() - start
        });
    });
}
