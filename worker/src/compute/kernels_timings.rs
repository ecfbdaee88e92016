//! Microseconds of each kernel at the published sizes, for people and for `make bench`.
//!
//! A line has kernel, size, vectors, microseconds and, for products, billions of operations a
//! second. It is a test, so that it needs no program of its own.

use std::{fmt::Display, time::Instant};

use swfn_kernels::{
    Level,
    conv_pool::{ConvPool, Gradients, Passed},
    optimisers::{adam, sgd},
    philox::{self, Law},
    products,
};

use crate::rng::{Purpose, Stream};

/// Number of runs, whose median counts.
const RUNS: usize = 101;

fn line(kernel: &str, size: impl Display, level: Level, flop: f64, work: &mut dyn FnMut()) {
    let mut times = Vec::from_iter((0..RUNS).map(|_| {
        let start = Instant::now();
        work();
        start.elapsed().as_secs_f64() * 1e6
    }));
    times.sort_by(f64::total_cmp);
    let micros = times[RUNS / 2];
    let rate = if flop > 0.0 { format!("{:.1}", flop / micros / 1e3) } else { "-".to_owned() };
    println!(
        "{kernel:<18} {:<18} {:<9} {micros:>8.1} {rate:>8}",
        size.to_string(),
        format!("{level:?}")
    );
}

#[test]
#[ignore = "prints timings: make kernels"]
fn timings() {
    let mut stream = Stream::new(0, Purpose::SUBSET);
    let mut draw = |count: usize| stream.normal(count);
    println!("\n{:<18} {:<18} {:<9} {:>8} {:>8}", "kernel", "size", "vectors", "us", "GFLOP/s");
    // A batch and the samples of the function norm.
    let images = 30;
    for (side, inputs, outputs, relu) in
        [(28, 1, 10, true), (12, 10, 20, true), (28, 1, 20, false), (12, 20, 50, false)]
    {
        let sizes = ConvPool { images, height: side, width: side, inputs, outputs, relu };
        let [input, filters, bias] =
            [sizes.input_len(), sizes.filters_len(), outputs].map(&mut draw);
        let gradient = draw(sizes.output_len());
        let (mut output, mut choice) = (vec![0.0; sizes.output_len()], vec![0; sizes.output_len()]);
        let (rows, columns) = sizes.pooled();
        let flop = 2.0 * (images * rows * columns * 4 * outputs * 25 * inputs) as f64;
        let name = format!("{images}x{side}x{side}x{inputs}->{outputs}");
        for level in Level::all() {
            line("conv-pool", &name, level, flop, &mut || {
                sizes.forward(level, &input, &filters, &bias, &mut output, &mut choice);
            });
            let from =
                Passed { input: &input, filters: &filters, output: &output, choice: &choice };
            let [mut f, mut b, mut i] = [&filters, &bias, &input].map(Vec::clone);
            // The input of the first layer needs no gradient. No rate, as only maxima are
            // multiplied.
            line("conv-pool-backward", &name, level, 0.0, &mut || {
                let input = (inputs > 1).then_some(&mut i[..]);
                sizes.backward(
                    level,
                    from,
                    &gradient,
                    Gradients { filters: &mut f, bias: &mut b, input },
                );
            });
        }
    }
    // The first of `net`, the largest of `lenet`, the first of the VAE.
    for (rows, inputs, outputs) in [(images, 320, 50), (images, 800, 500), (20, 784, 128)] {
        let [x, w, bias, y] =
            [rows * inputs, outputs * inputs, outputs, rows * outputs].map(&mut draw);
        let flop = 2.0 * (rows * inputs * outputs) as f64;
        let name = format!("{rows}x{inputs}->{outputs}");
        let [mut to_y, mut to_x, mut to_w] = [&y, &x, &w].map(Vec::clone);
        for level in Level::all() {
            line("linear", &name, level, flop, &mut || {
                products::forward(level, &x, &w, &bias, &mut to_y)
            });
            line("linear-of-input", &name, level, flop, &mut || {
                products::product(level, &y, false, &w, rows, &mut to_x);
            });
            line("linear-of-weight", &name, level, flop, &mut || {
                products::product(level, &y, true, &x, outputs, &mut to_w);
            });
        }
    }
    let weights = 100_000;
    let [mut w, mut m, mut g] = [weights; 3].map(&mut draw);
    let mut v = vec![1.0; weights];
    g.iter_mut().for_each(|g| *g *= 1e-6);
    let best = Level::best();
    line("sgd", weights, best, 0.0, &mut || sgd(best, [0.01, 0.5, 0.0], &mut w, &mut m, &g));
    let rates = [1e-3, 0.9, 0.999, 1e-8];
    line("adam", weights, best, 0.0, &mut || adam(best, rates, &mut w, &mut m, &mut v, &g));
    let numbers = 8192;
    let mut out = vec![0.0; numbers];
    for (name, law) in [("uniform", Law::Uniform), ("normal", Law::Normal)] {
        for level in Level::all() {
            line(name, numbers, level, 0.0, &mut || philox::fill(level, [5, 7], 0, law, &mut out));
        }
    }
}
