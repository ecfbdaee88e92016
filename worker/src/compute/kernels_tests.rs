//! The kernels against torch, at every level that the processor has.

use swfn_kernels::{
    Level,
    conv_pool::{ConvPool, Gradients, Passed},
    cross_entropy::cross_entropy,
    optimisers, products,
};
use tch::{Kind, Tensor};

use crate::rng::{Purpose, Stream};

/// Largest error, relative to the largest value of the tensor, beside torch in double precision.
const TOLERANCE: f64 = 1e-6;

/// The same where sums are longer than those of the published networks, or without FMA.
const WIDE_TOLERANCE: f64 = 2e-6;

/// Inputs of a forward and a backward pass.
struct Case {
    sizes: ConvPool,
    input: Vec<f32>,
    filters: Vec<f32>,
    bias: Vec<f32>,
    gradient: Vec<f32>,
}

/// Output, and gradients of filters, bias and input.
type Passes = [Vec<f32>; 4];

impl Case {
    fn new(sizes: ConvPool, mut draw: impl FnMut(usize) -> Vec<f32>) -> Self {
        Self {
            sizes,
            input: draw(sizes.input_len()),
            filters: draw(sizes.filters_len()),
            bias: draw(sizes.outputs),
            gradient: draw(sizes.output_len()),
        }
    }

    fn ours(&self, level: Level) -> Passes {
        let Self { sizes, input, filters, bias, gradient } = self;
        // Earlier values must not matter.
        let old = |len: usize| vec![f32::NAN; len];
        let (mut output, mut choice) = (old(sizes.output_len()), vec![9; sizes.output_len()]);
        sizes.forward(level, input, filters, bias, &mut output, &mut choice);
        let from = Passed { input, filters, output: &output, choice: &choice };
        let [mut of_filters, mut of_bias, mut of_input] =
            [filters, bias, input].map(|x| old(x.len()));
        let to =
            Gradients { filters: &mut of_filters, bias: &mut of_bias, input: Some(&mut of_input) };
        sizes.backward(level, from, gradient, to);
        let (mut same_filters, mut same_bias) = (old(filters.len()), old(bias.len()));
        let to = Gradients { filters: &mut same_filters, bias: &mut same_bias, input: None };
        sizes.backward(level, from, gradient, to);
        assert!(
            bits(&same_filters) == bits(&of_filters) && bits(&same_bias) == bits(&of_bias),
            "input's gradient or not"
        );
        [output, of_filters, of_bias, of_input]
    }

    /// Torch's, in double precision.
    fn torch(&self) -> [Tensor; 4] {
        let ConvPool { images, height, width, inputs, outputs, relu } = self.sizes;
        let (rows, columns) = self.sizes.pooled();
        let tensor = |values: &[f32], size: [usize; 4]| {
            let tensor =
                Tensor::from_slice(values).to_kind(Kind::Double).view(size.map(|side| side as i64));
            tensor.permute([0, 3, 1, 2]).contiguous()
        };
        let input = tensor(&self.input, [images, height, width, inputs]).set_requires_grad(true);
        let filters = tensor(&self.filters, [outputs, 5, 5, inputs]).set_requires_grad(true);
        let bias = Tensor::from_slice(&self.bias).to_kind(Kind::Double).set_requires_grad(true);
        let gradient = tensor(&self.gradient, [images, rows, columns, outputs]);
        let x = input.conv2d(&filters, Some(&bias), [1, 1], [0, 0], [1, 1], 1);
        let x = x.max_pool2d([2, 2], [2, 2], [0, 0], [1, 1], false);
        let output = if relu { x.relu() } else { x };
        let gradients =
            Tensor::run_backward(&[&output * gradient], &[filters, bias, input], false, false);
        let last = |x: &Tensor| x.detach().permute([0, 2, 3, 1]).flatten(0, -1);
        [last(&output), last(&gradients[0]), gradients[1].shallow_clone(), last(&gradients[2])]
    }
}

fn sizes(
    images: usize,
    (height, width): (usize, usize),
    (inputs, outputs): (usize, usize),
    relu: bool,
) -> ConvPool {
    ConvPool { images, height, width, inputs, outputs, relu }
}

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|value| value.to_bits()).collect()
}

/// The largest difference, relative to the largest value.
fn error(ours: &[f32], expected: &Tensor) -> f64 {
    let ours = Tensor::from_slice(ours).to_kind(Kind::Double);
    let largest = |x: Tensor| x.abs().max().double_value(&[]);
    largest(ours - expected) / largest(expected.shallow_clone())
}

#[test]
fn both_passes_equal_torch_for_any_size() {
    let mut stream = Stream::new(0, Purpose::SUBSET);
    let published = [(28, (1, 10)), (12, (10, 20)), (28, (1, 20)), (12, (20, 50))];
    let published =
        published.map(|(side, channels)| sizes(3, (side, side), channels, channels.1 < 50));
    let mut pick = Stream::new(1, Purpose::SUBSET);
    let mut up_to = |low: i64, high: i64| (low + pick.below(high - low + 1, 1)[0]) as usize;
    let random = (0..24).map(|number| {
        let sides = (up_to(6, 28), up_to(6, 28));
        let channels = (up_to(1, 20), up_to(1, 70));
        sizes(up_to(1, 3), sides, channels, number % 2 == 0)
    });
    for sizes in published.into_iter().chain(random) {
        let case = Case::new(sizes, |count| stream.normal(count));
        let expected = case.torch();
        for level in Level::all() {
            let exact = level != Level::PORTABLE && published.contains(&sizes);
            let tolerance = if exact { TOLERANCE } else { WIDE_TOLERANCE };
            for ((ours, expected), what) in
                case.ours(level).iter().zip(&expected).zip(["output", "filters", "bias", "input"])
            {
                let error = error(ours, expected);
                assert!(error < tolerance, "{what} of {sizes:?} at {level:?}: off by {error:e}");
            }
        }
    }
}

/// With small whole numbers nothing is rounded, many maxima are ties and many outputs zero.
#[test]
fn ties_and_zeros_are_those_of_torch() {
    let mut stream = Stream::new(2, Purpose::SUBSET);
    for (channels, relu) in [((1, 10), true), ((3, 17), true), ((1, 20), false), ((4, 50), false)] {
        let case = Case::new(sizes(2, (16, 19), channels, relu), |count| {
            stream.below(3, count).iter().map(|&number| (number - 1) as f32).collect()
        });
        for level in Level::all() {
            for (ours, expected) in case.ours(level).iter().zip(&case.torch()) {
                assert_eq!(error(ours, expected), 0.0, "{channels:?} at {level:?}");
            }
        }
    }
}

#[test]
fn nan_is_passed_on() {
    let mut stream = Stream::new(3, Purpose::SUBSET);
    let mut case = Case::new(sizes(1, (16, 16), (2, 12), true), |count| stream.normal(count));
    // It is in the window of a convolution's pixel that is not the first of its maximum.
    case.input[(15 * 16 + 15) * 2] = f32::NAN;
    for level in Level::all() {
        let [output, ..] = case.ours(level);
        let wrong = output.iter().map(|value| value.is_nan()).collect::<Vec<_>>();
        assert!(
            wrong[35 * 12..].iter().all(|&wrong| wrong) && !wrong[..35 * 12].contains(&true),
            "{level:?}"
        );
    }
}

#[test]
fn convolutions_are_the_same_with_and_without_avx512() {
    let mut stream = Stream::new(4, Purpose::SUBSET);
    let case = Case::new(sizes(2, (20, 24), (20, 50), false), |count| stream.normal(count));
    let passes: Vec<_> = Level::all().into_iter().skip(1).map(|level| case.ours(level)).collect();
    assert!(passes.windows(2).all(|pair| pair[0] == pair[1]));
}

#[test]
fn products_equal_torch_for_any_size() {
    let mut stream = Stream::new(6, Purpose::SUBSET);
    let mut pick = Stream::new(7, Purpose::SUBSET);
    for _ in 0..30 {
        let [rows, inputs, outputs] = [40, 200, 60].map(|most| 1 + pick.below(most, 1)[0]);
        let mut draw = |rows, columns| {
            Tensor::from_slice(&stream.normal((rows * columns) as usize)).view([rows, columns])
        };
        let (x, w, gradient) = (draw(rows, inputs), draw(outputs, inputs), draw(rows, outputs));
        let bias = draw(1, outputs);
        let floats = |x: &Tensor| Vec::<f32>::try_from(x.flatten(0, -1)).unwrap();
        let double = |x: &Tensor| x.to_kind(Kind::Double);
        let expected = [
            double(&x).matmul(&double(&w).tr()) + double(&bias),
            double(&gradient).matmul(&double(&w)),
            double(&gradient).tr().matmul(&double(&x)),
        ];
        let [x, w, gradient, bias] = [&x, &w, &gradient, &bias].map(floats);
        for level in Level::all() {
            let [mut y, mut of_x, mut of_w] =
                expected.each_ref().map(|x| vec![f32::NAN; x.numel()]);
            products::forward(level, &x, &w, &bias, &mut y);
            products::product(level, &gradient, false, &w, rows as usize, &mut of_x);
            products::product(level, &gradient, true, &x, outputs as usize, &mut of_w);
            for (ours, expected) in [y, of_x, of_w].iter().zip(&expected) {
                let error = error(ours, &expected.flatten(0, -1));
                assert!(
                    error < TOLERANCE,
                    "{rows} {inputs} {outputs} at {level:?}: off by {error:e}"
                );
            }
        }
    }
}

#[test]
fn optimisers_equal_torch() {
    let mut stream = Stream::new(5, Purpose::SUBSET);
    let mut draw = || Tensor::from_slice(&stream.normal(1003));
    let (weights, first, gradient) = (draw(), draw(), draw());
    let second = draw().square();
    let floats = |x: &Tensor| Vec::<f32>::try_from(x).unwrap();
    let double = |x: &Tensor| x.to_kind(Kind::Double);
    let (w, m, v, g) = (double(&weights), double(&first), double(&second), double(&gradient));

    let (mut ours, mut velocity) = (floats(&weights), floats(&first));
    let rates = [0.25, 0.5, 0.125];
    optimisers::sgd(Level::best(), rates, &mut ours, &mut velocity, &floats(&gradient));
    let expected = &m * 0.5 + &g * 0.25 + &w * 0.125;
    assert!(error(&velocity, &expected) < TOLERANCE && error(&ours, &(&w - expected)) < TOLERANCE);

    let (mut ours, mut momentum, mut square) = (floats(&weights), floats(&first), floats(&second));
    let (rates, gradient) = ([0.25, 0.5, 0.75, 0.125], floats(&gradient));
    optimisers::adam(Level::best(), rates, &mut ours, &mut momentum, &mut square, &gradient);
    let (m, v) = (m * 0.5 + &g, v * 0.75 + g.square());
    assert!(error(&momentum, &m) < TOLERANCE && error(&square, &v) < TOLERANCE);
    assert!(error(&ours, &(w - m / (v.sqrt() + 0.125) * 0.25)) < TOLERANCE);
}

#[test]
fn cross_entropy_equals_torch_for_any_logit() {
    let mut logits = Stream::new(3, Purpose::SUBSET).uniform(-20.0, 20.0, 1001);
    logits.extend([0.0, -0.0, 1e-30, -1e-30, 88.5, -88.5, 1000.0, -1000.0]);
    let x = Stream::new(4, Purpose::SUBSET).uniform(0.0, 1.0, logits.len());
    let expected = |i: usize| {
        let (l, x) = (f64::from(logits[i]), f64::from(x[i]));
        (l.max(0.0) + (-l.abs()).exp().ln_1p() - x * l, 1.0 / (1.0 + (-l).exp()) - x)
    };
    for level in Level::all() {
        let mut gradients = vec![f32::NAN; logits.len()];
        let sum = cross_entropy(level, &logits, &x, 0.5, &mut gradients);
        let total: f64 = (0..logits.len()).map(|i| expected(i).0).sum();
        assert!((sum - total).abs() < 1e-6 * total, "{level:?}: {sum} {total}");
        for i in 0..logits.len() {
            let (loss, gradient) = expected(i);
            let one = cross_entropy(level, &logits[i..=i], &x[i..=i], 1.0, &mut [0.0]);
            // Where logit and pixel agree, the loss is a small difference of large terms.
            assert!(
                (one - loss).abs() < 3e-7 * (1.0 + f64::from(logits[i].abs())),
                "{level:?} {}: {one} {loss}",
                logits[i]
            );
            assert!(
                (2.0 * f64::from(gradients[i]) - gradient).abs() < 3e-7,
                "{level:?} {}",
                logits[i]
            );
        }
        assert!(cross_entropy(level, &[f32::NAN], &[0.5], 1.0, &mut [0.0]).is_nan());
    }
}
