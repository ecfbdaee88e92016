//! The weights that sixteen trials come to, held against recorded ones: what is rebuilt inside of the trainer changes no bit.
//!
//! Bits are those of one kind of processor. On another one, the size of the weights has to agree.

use std::{fmt::Write as _, fs, path::Path};

use sha2::{Digest as _, Sha256};
use swfn_shared::trial::{Architecture, Density, TrialSpec, VaeFamily};
use swfn_worker::compute::Place;
use tch::Device;

use crate::common::{DATASET, bases, digits, run, spec, trainer, varied};

/// Where the recorded lines stand: trial, processor, digests, size.
const RECORD: &str = "tests/it/weights.txt";

fn sixteen() -> Vec<TrialSpec> {
    let mut all = bases();
    let mut conv = spec(Architecture::NET_DROPOUT, 0.1);
    let penalty = conv.penalty.as_mut().unwrap();
    penalty.density = Density::ConvVae;
    penalty.vae.as_mut().unwrap().vae.family = VaeFamily::Convolutional;
    let validated = TrialSpec { validation: 50, ..varied(&spec(Architecture::LENET_BN, 0.1), 3) };
    all.extend([conv, validated]);
    all
}

fn hex(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().take(8).fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    })
}

/// The processor, in one word.
fn processor() -> String {
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = info.lines().find_map(|line| line.strip_prefix("model name")?.split(':').nth(1));
    let level = swfn_kernels::Level::best();
    format!("{}-{level:?}", model.unwrap_or("unknown").trim().replace([' ', '(', ')'], "_"))
}

/// The digest of the final weights, and their root mean square.
fn weights(trial: &TrialSpec) -> (String, f64) {
    let content = crate::trainer::weights(trial);
    let numbers = content
        .chunks_exact(4)
        .map(|bytes| f64::from(f32::from_le_bytes(bytes.try_into().unwrap())));
    let squares: f64 =
        numbers.map(|number| if number.is_finite() { number * number } else { 0.0 }).sum();
    (hex(&content), (squares / (content.len() / 4) as f64).sqrt())
}

/// The digest of all points of three trials side by side.
fn side_by_side(trial: &TrialSpec) -> String {
    let specs: Vec<_> = (0..3).map(|k| varied(trial, k)).collect();
    let (said, _) = run(&mut trainer(Place::from(Device::Cpu), 3), &specs, Vec::new());
    let points = said.iter().flat_map(|said| &said.points);
    let bits = points.flat_map(|point| point.value.to_bits().to_le_bytes());
    hex(&bits.collect::<Vec<_>>())
}

#[test]
fn final_weights_are_the_recorded_ones() {
    assert!(!digits().test.labels.is_empty(), "{DATASET}");
    let record = Path::new(env!("CARGO_MANIFEST_DIR")).join(RECORD);
    let processor = processor();
    let now: Vec<_> = sixteen()
        .iter()
        .enumerate()
        .map(|(number, trial)| {
            let (digest, size) = weights(trial);
            (number, digest, side_by_side(trial), size)
        })
        .collect();
    if std::env::var_os("SWFN_RECORD").is_some() {
        let lines: Vec<_> = now
            .iter()
            .map(|(number, digest, beside, size)| {
                format!("{number} {processor} {digest} {beside} {size:.9}\n")
            })
            .collect();
        fs::write(&record, lines.concat()).unwrap();
    }
    let recorded = fs::read_to_string(&record).unwrap();
    assert_eq!(recorded.lines().count(), 16);
    for (line, (number, digest, beside, size)) in recorded.lines().zip(now) {
        let words: Vec<_> = line.split(' ').collect();
        let [of, on, weights, points, root] = words[..] else { panic!("{line}") };
        assert_eq!(of, number.to_string());
        let root: f64 = root.parse().unwrap();
        assert!((size - root).abs() <= 1e-3 * root, "trial {number}: {size} beside {root}");
        if on == processor {
            assert_eq!((digest.as_str(), beside.as_str()), (weights, points), "trial {number}");
        }
    }
}
