//! Random numbers in bulk, for trials that train side by side, each from its own streams.
//!
//! They come from a counter, so that a device can make many at once: the kernels by a loop in the
//! CPU's memory, a GPU by torch's operations. Both make the same numbers; only logarithm, sine and
//! cosine of normal ones round differently. The random words are those of `swfn_kernels::philox`.

use swfn_kernels::{
    Level,
    philox::{self, Law, MULTIPLIERS, ROUNDS, UNIT, WORDS},
};
use tch::{Device, Kind, Tensor, no_grad_guard};

use crate::{
    memory::with_slices,
    rng::{self, Purpose},
};

/// The low half of 64 bits.
const LOW: i64 = 0xFFFF_FFFF;

/// A stream of random numbers, in blocks of four: Philox4x32-10 under the first eight bytes of
/// SHA-256("swfn noise", length of the purpose's name, name, seed).
#[derive(Debug, Clone)]
pub struct Noise {
    key: [u32; 2],
    block: u64,
}

impl Noise {
    /// The stream of that seed and purpose, from its start.
    pub fn new(seed: u64, purpose: Purpose) -> Self {
        let digest = rng::key("swfn noise", seed, purpose);
        let word = |start: usize| std::array::from_fn(|i| digest[start + i]);
        Self { key: [0, 4].map(|start| u32::from_le_bytes(word(start))), block: 0 }
    }

    /// Number of blocks that were drawn.
    pub fn position(&self) -> u64 {
        self.block
    }

    /// Continues after that many blocks.
    pub fn go_to(&mut self, position: u64) {
        self.block = position;
    }
}

/// Where and how numbers are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum At {
    /// In the CPU's memory, by a loop.
    Loop,
    /// On any device, by torch's operations. They need 12 more bytes for each number.
    Torch(Device),
}

/// Uniform numbers in [0, 1), multiples of 2^-24: [streams, steps * per_step].
///
/// Each step begins with a new block, so drawing several steps at once makes the same numbers as
/// drawing them one by one.
pub fn uniform(streams: &mut [&mut Noise], steps: usize, per_step: usize, at: At) -> Tensor {
    match at {
        At::Loop => by_loop(streams, steps, per_step, |_| Law::Uniform),
        At::Torch(device) => by_torch(streams, steps, per_step, device, torch_uniform),
    }
}

/// Normal numbers of mean 0 and variance 1, within ±6.6: [streams, steps * per_step], by steps as
/// in [`uniform`].
pub fn normal(streams: &mut [&mut Noise], steps: usize, per_step: usize, at: At) -> Tensor {
    match at {
        At::Loop => by_loop(streams, steps, per_step, |_| Law::Normal),
        At::Torch(device) => by_torch(streams, steps, per_step, device, torch_normal),
    }
}

/// Factors of dropout: 0 with the probability of the stream, else 1 / (1 - probability), so that
/// the mean is 1: [streams, steps * per_step], by steps as in [`uniform`].
///
/// # Panics
/// If there are not as many probabilities as streams.
pub fn dropout(
    streams: &mut [&mut Noise],
    probabilities: &[f64],
    steps: usize,
    per_step: usize,
    at: At,
) -> Tensor {
    assert_eq!(probabilities.len(), streams.len(), "a probability for each stream");
    let keep: fn(f64) -> f32 = |probability| (1.0 / (1.0 - probability)) as f32;
    match at {
        At::Loop => by_loop(streams, steps, per_step, |stream| {
            let probability = probabilities[stream];
            Law::Dropout { probability: probability as f32, keep: keep(probability) }
        }),
        At::Torch(device) => {
            let column = |value: fn(f64) -> f32| {
                let values: Vec<_> = probabilities.iter().map(|p| value(*p)).collect();
                Tensor::from_slice(&values).view([-1, 1]).to_device(device)
            };
            let numbers = by_torch(streams, steps, per_step, device, torch_uniform);
            let kept = numbers.ge_tensor(&column(|probability| probability as f32));
            column(keep).where_scalarother(&kept, 0.0)
        }
    }
}

/// Number of blocks of a step.
fn blocks(per_step: usize) -> usize {
    per_step.div_ceil(WORDS)
}

fn advance(streams: &mut [&mut Noise], blocks: usize) {
    for stream in streams {
        stream.block = stream.block.wrapping_add(blocks as u64);
    }
}

fn by_loop(
    streams: &mut [&mut Noise],
    steps: usize,
    per_step: usize,
    law: impl Fn(usize) -> Law,
) -> Tensor {
    let mut numbers = Tensor::empty(
        [streams.len() as i64, (steps * per_step) as i64],
        (Kind::Float, Device::Cpu),
    );
    // Steps of whole blocks follow each other without a gap.
    let run = if per_step.is_multiple_of(WORDS) { steps * per_step } else { per_step };
    if numbers.numel() > 0 {
        with_slices([], [&mut numbers], |[], [numbers]| {
            for (index, (row, stream)) in
                numbers.chunks_mut(steps * per_step).zip(streams.iter()).enumerate()
            {
                for (step, out) in row.chunks_mut(run).enumerate() {
                    let first = stream.block.wrapping_add((step * blocks(run)) as u64);
                    philox::fill(Level::best(), stream.key, first, law(index), out);
                }
            }
        });
    }
    advance(streams, steps * blocks(per_step));
    numbers
}

/// `numbers` gets the words of [`torch_words`] and fills [2, streams, blocks, 2]: halves of blocks,
/// in a view in which the numbers of a block are adjacent in memory.
fn by_torch(
    streams: &mut [&mut Noise],
    steps: usize,
    per_step: usize,
    device: Device,
    numbers: impl Fn([Tensor; 2], Tensor),
) -> Tensor {
    let _guard = no_grad_guard();
    let (count, blocks) = (streams.len() as i64, blocks(per_step));
    let words = torch_words(streams, steps * blocks, device);
    let made = Tensor::empty([count, (steps * blocks) as i64, 2, 2], (Kind::Float, device));
    numbers(words, made.permute([2, 0, 1, 3]));
    advance(streams, steps * blocks);
    let made = made.view([count, steps as i64, (blocks * WORDS) as i64]);
    made.narrow(2, 0, per_step as i64).reshape([count, (steps * per_step) as i64])
}

/// The words of that many blocks: first and third, second and fourth, each [2, streams, blocks] of
/// 64 bits, of which the upper half is zero.
///
/// This takes some 70 launches on a GPU, whatever the size. For a few streams and one step they
/// take longer than the arithmetic.
fn torch_words(streams: &[&mut Noise], blocks: usize, device: Device) -> [Tensor; 2] {
    let keys: Vec<_> = streams.iter().map(|stream| philox::round_keys(stream.key)).collect();
    let mut table = Vec::with_capacity((2 * ROUNDS + 1) * streams.len());
    for (round, half) in (0..ROUNDS).flat_map(|round| [(round, 0), (round, 1)]) {
        table.extend(keys.iter().map(|keys| i64::from(keys[round][half])));
    }
    table.extend(streams.iter().map(|stream| stream.block as i64));
    let (count, blocks, rounds) = (streams.len() as i64, blocks as i64, ROUNDS as i64);
    let table = Tensor::from_slice(&table).view([2 * rounds + 1, count, 1]).to_device(device);

    let like = (Kind::Int64, device);
    let mut left = Tensor::zeros([2, count, blocks], like);
    let mut right = left.zeros_like();
    let mut product = left.empty_like();
    let counter = table.get(2 * rounds) + Tensor::arange(blocks, like);
    left.get(0).copy_(&counter.bitwise_and(LOW));
    right.get(0).copy_(&counter.bitwise_right_shift_tensor_scalar(32).bitwise_and_(LOW));
    drop(counter);
    // On the host even for a GPU, since a launch carries single numbers.
    let [of_first, of_third] = MULTIPLIERS.map(|factor| Tensor::from(i64::from(factor)));
    for round in 0..rounds {
        for (to, from, factor) in [(0, 1, &of_third), (1, 0, &of_first)] {
            let _written = left.get(from).mul_out(&product.get(to), factor);
        }
        let keys = table.narrow(0, 2 * round, 2);
        // A product wraps around, and its sign fills the upper half. The next product has to clear
        // it.
        left = product.bitwise_right_shift_tensor_scalar_out(&left, 32).bitwise_xor_tensor_(&right);
        left = left.bitwise_xor_tensor_(&keys).bitwise_and_(LOW);
        std::mem::swap(&mut right, &mut product);
    }
    [left, right.bitwise_and_(LOW)]
}

fn torch_uniform(words: [Tensor; 2], mut out: Tensor) {
    for (index, mut words) in words.into_iter().enumerate() {
        out.select(3, index as i64).copy_(&words.bitwise_right_shift_tensor_scalar_(8));
    }
    out *= f64::from(UNIT);
}

/// The same steps as in the kernel, which gives the reasons.
fn torch_normal([mut for_radius, mut for_angle]: [Tensor; 2], out: Tensor) {
    let odd = for_radius.bitwise_right_shift_tensor_scalar_(1).bitwise_or_(1);
    let mut uniform = odd.to_kind(Kind::Float);
    uniform *= 0.5_f64.powi(31);
    let radius = uniform.log_().g_mul_scalar_(-2.0).sqrt_();
    let turn = for_angle.bitwise_right_shift_tensor_scalar_(8).g_sub_scalar_(1 << 23);
    let mut angle = turn.to_kind(Kind::Float);
    angle *= f64::from(std::f32::consts::TAU * UNIT);
    for (index, of_angle) in [angle.cos(), angle.sin()].iter().enumerate() {
        let _written = radius.mul_out(&out.select(3, index as i64), of_angle);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TORCH: At = At::Torch(Device::Cpu);

    /// Streams of different seeds, purposes and positions. One position is just below 2^32.
    fn streams() -> [Noise; 3] {
        let mut streams =
            [(3, Purpose::DROPOUT), (3, Purpose::PENALTY_NOISE), (4, Purpose::DROPOUT)]
                .map(|(s, p)| Noise::new(s, p));
        streams[1].go_to(u64::from(u32::MAX) - 40);
        streams[2].go_to(7);
        streams
    }

    /// The numbers of all three streams, and their positions afterwards.
    fn draw(make: impl Fn(&mut [&mut Noise]) -> Tensor) -> (Tensor, [u64; 3]) {
        let mut streams = streams();
        let numbers = make(&mut streams.each_mut());
        (numbers, streams.map(|stream| stream.position()))
    }

    fn values(tensor: &Tensor) -> Vec<f32> {
        assert_eq!((tensor.kind(), tensor.device()), (Kind::Float, Device::Cpu));
        tensor.flatten(0, -1).try_into().expect("floats")
    }

    #[test]
    fn torch_makes_the_same_numbers() {
        for (steps, per_step) in [(1, 400), (3, 50), (2, 1), (1, 0)] {
            assert_eq!(
                draw(|streams| uniform(streams, steps, per_step, At::Loop)),
                draw(|streams| uniform(streams, steps, per_step, TORCH))
            );
            let factors =
                |at| draw(|streams| dropout(streams, &[0.0, 0.3, 0.75], steps, per_step, at));
            assert_eq!(factors(At::Loop), factors(TORCH));
            let normal = |at| draw(|streams| normal(streams, steps, per_step, at));
            let ((ours, position), (torch, same)) = (normal(At::Loop), normal(TORCH));
            assert_eq!(position, same);
            assert_eq!(
                (ours.size(), torch.size()),
                (vec![3, (steps * per_step) as i64], ours.size())
            );
            // Torch rounds the angle, up to pi, by 2e-7; a radius is at most 6.6.
            for (a, b) in values(&ours).into_iter().zip(values(&torch)) {
                assert!((a - b).abs() < 1e-6 * a.abs().max(1.0), "{a} {b}");
            }
        }
    }

    #[test]
    fn streams_and_steps_are_independent() {
        type Make = fn(&mut [&mut Noise], usize, usize, At) -> Tensor;
        for (make, at) in
            [(uniform as Make, At::Loop), (normal, At::Loop), (uniform, TORCH), (normal, TORCH)]
        {
            for (per_step, blocks) in [(50, 13), (48, 12)] {
                let (all, position) = draw(|streams| make(streams, 3, per_step, at));
                assert_eq!(position, streams().map(|stream| stream.position() + 3 * blocks));
                let stepwise =
                    |streams: &mut [&mut Noise]| [(); 3].map(|()| make(streams, 1, per_step, at));
                let (each, same) = draw(|streams| Tensor::cat(&stepwise(streams), 1));
                assert_eq!((&all, position), (&each, same));
                for (row, mut stream) in streams().into_iter().enumerate() {
                    assert_eq!(
                        make(&mut [&mut stream], 3, per_step, at),
                        all.narrow(0, row as i64, 1)
                    );
                }
            }
        }
        // Other seeds, other purposes.
        let start =
            |seed, purpose| values(&uniform(&mut [&mut Noise::new(seed, purpose)], 1, 4, At::Loop));
        assert_ne!(start(3, Purpose::DROPOUT), start(4, Purpose::DROPOUT));
        assert_ne!(start(3, Purpose::DROPOUT), start(3, Purpose::PENALTY_NOISE));
    }

    /// Results stay comparable over years only if these numbers never change.
    #[test]
    fn numbers_are_pinned() {
        let mut stream = Noise::new(7, Purpose::VAE_NOISE);
        let text = format!(
            "{:?} {:?}",
            values(&uniform(&mut [&mut stream], 1, 3, At::Loop)),
            values(&normal(&mut [&mut stream], 1, 3, At::Loop))
        );
        assert_eq!(text, "[0.7956984, 0.9413238, 0.50243336] [1.2679975, -1.4411315, 0.95024496]");
    }

    #[test]
    fn numbers_have_their_distributions() {
        const COUNT: usize = 1 << 20;
        // Five standard errors of a mean of values of that deviation.
        let near =
            |what: &str, values: &mut dyn Iterator<Item = f64>, mean: f64, deviation: f64| {
                let error = values.sum::<f64>() / COUNT as f64 - mean;
                assert!(error.abs() < 5.0 * deviation / (COUNT as f64).sqrt(), "{what}: {error}");
            };
        let mut stream = Noise::new(1, Purpose::PENALTY_NOISE);
        let x: Vec<_> = values(&normal(&mut [&mut stream], 1, COUNT, At::Loop))
            .into_iter()
            .map(f64::from)
            .collect();
        for (power, mean, deviation) in [
            (1, 0.0, 1.0),
            (2, 1.0, 2_f64.sqrt()),
            (3, 0.0, 15_f64.sqrt()),
            (4, 3.0, 96_f64.sqrt()),
        ] {
            near(&format!("power {power}"), &mut x.iter().map(|x| x.powi(power)), mean, deviation);
        }
        for (limit, share) in [
            (0.5, 0.617_075),
            (1.0, 0.317_311),
            (2.0, 0.045_500),
            (3.0, 0.002_699_8),
            (4.0, 6.334e-5),
        ] {
            let beyond = &mut x.iter().map(|x| f64::from(u8::from(x.abs() > limit)));
            near(&format!("beyond {limit}"), beyond, share, (share * (1.0 - share)).sqrt());
        }
        // Numbers of a pair share a radius, and neighbours in the counter most of their words.
        for lag in [1, 2, 3, 4, 8] {
            near(
                &format!("lag {lag}"),
                &mut x.iter().zip(x.iter().cycle().skip(lag)).map(|(a, b)| a * b),
                0.0,
                1.0,
            );
            let squares = &mut x.iter().zip(x.iter().cycle().skip(lag)).map(|(a, b)| a * a * b * b);
            near(&format!("squares, lag {lag}"), squares, 1.0, 8_f64.sqrt());
        }
        let u = values(&uniform(&mut [&mut stream], 1, COUNT, At::Loop));
        assert!(u.iter().all(|u| (0.0..1.0).contains(u)));
        for part in 0..16 {
            let inside = &mut u.iter().map(|u| f64::from(u8::from((u * 16.0) as u8 == part)));
            near(&format!("part {part}"), inside, 1.0 / 16.0, (15.0 / 256.0_f64).sqrt());
        }
        let factors = values(&dropout(&mut [&mut stream], &[0.25], 1, COUNT, At::Loop));
        assert!(factors.iter().all(|&factor| factor == 0.0 || factor == 4.0 / 3.0));
        near(
            "dropout",
            &mut factors.iter().map(|&factor| factor.into()),
            1.0,
            (1.0 / 3.0_f64).sqrt(),
        );
    }

    #[test]
    #[ignore = "prints timings: make kernels"]
    fn timings() {
        use crate::rng::Stream;
        crate::device::use_one_thread();
        let nanos = |what: &str, count: usize, work: &mut dyn FnMut()| {
            let mut times: Vec<_> = (0..31)
                .map(|_| {
                    let start = std::time::Instant::now();
                    work();
                    start.elapsed().as_secs_f64() * 1e9 / count as f64
                })
                .collect();
            times.sort_by(f64::total_cmp);
            println!("{what}, {count}: {:.2} ns per number", times[15]);
        };
        for count in [600, 60_000] {
            let mut old = Stream::new(0, Purpose::VAE_NOISE);
            nanos("ChaCha8 normal", count, &mut || drop(std::hint::black_box(old.normal(count))));
            nanos("ChaCha8 uniform", count, &mut || {
                drop(std::hint::black_box(old.uniform(0.0, 1.0, count)))
            });
            let mut new = Noise::new(0, Purpose::VAE_NOISE);
            for at in [At::Loop, TORCH] {
                nanos(&format!("{at:?} normal"), count, &mut || {
                    drop(normal(&mut [&mut new], 1, count, at))
                });
                nanos(&format!("{at:?} uniform"), count, &mut || {
                    drop(uniform(&mut [&mut new], 1, count, at))
                });
                nanos(&format!("{at:?} dropout"), count, &mut || {
                    drop(dropout(&mut [&mut new], &[0.5], 1, count, at))
                });
            }
        }
    }
}
