//! Networks that are lists of layers and nothing else: their gradients beside torch's, their
//! training, the names of their weights, their work.

use std::collections::BTreeMap;

use swfn_shared::{
    architecture::Design,
    image::ImageShape,
    layers::{
        Kernel,
        LayerSpec::{self, BatchNorm, Conv, Dense, Dropout, Logits, Pool, Relu},
        Placed,
    },
    metrics::{TEST_LOSS, TRAIN_FUNCTION_NORM, TRAIN_LOSS},
    trial::{Architecture, BatchNormScale, SampleBatchNorm, TrialSpec},
    work,
};
use swfn_worker::{
    compute::{Backend, Torch},
    layers::InputShape,
    model::network::{Network, StepInput},
    train::objective::Objective,
};
use tch::{Device, Kind, Tensor};

use crate::{
    common::{run, spec, trainer, value_of},
    trainer::weights_file,
};

const fn conv(out: u32, side: u32) -> LayerSpec {
    Conv { out, kernel: Kernel::Side(side) }
}

const fn design(name: &'static str, layers: &'static [LayerSpec]) -> Design {
    Design { name, network: name, switch: None, about: "Three convolutions.", layers }
}

static DEEP: Design = design(
    "deep",
    &[
        conv(6, 3),
        Relu,
        Pool,
        conv(8, 5),
        Pool,
        Relu,
        conv(10, 2),
        Relu,
        Dense { out: 12 },
        Relu,
        Logits,
    ],
);

static DEEP_REGULARISED: Design = design(
    "deep+",
    &[
        conv(6, 3),
        BatchNorm,
        Relu,
        Pool,
        Dropout,
        conv(8, 5),
        Pool,
        Relu,
        BatchNorm,
        conv(10, 2),
        Dropout,
        BatchNorm,
        Relu,
        Dense { out: 12 },
        BatchNorm,
        Relu,
        Dropout,
        Logits,
    ],
);

fn both() -> [Architecture; 2] {
    [Architecture(&DEEP), Architecture(&DEEP_REGULARISED)]
}

const IMAGE: ImageShape = ImageShape { height: 28, width: 26, channels: 3 };
const CLASSES: u32 = 5;
const BATCH: i64 = 4;
const SAMPLES: i64 = 3;
const LANES: i64 = 2;

/// Logits of images `[N, C, H, W]` by torch's modules, batch norm in training mode.
fn forward(
    placed: &[Placed],
    weights: &BTreeMap<String, Tensor>,
    images: Tensor,
    masks: Option<&[Tensor]>,
) -> Tensor {
    let mut masks = masks.map(<[Tensor]>::iter);
    placed.iter().fold(images, |x, layer| {
        let of = |part: &str| &weights[&format!("{}.{part}", layer.name)];
        match layer.layer {
            Conv { kernel: Kernel::Side(_), .. } => {
                x.conv2d(of("weight"), Some(of("bias")), [1, 1], [0, 0], [1, 1], 1)
            }
            Conv { kernel: Kernel::Whole, .. } => {
                x.conv2d(of("weight"), Some(of("bias")), [1, 1], [0, 0], [1, 1], 1).flatten(1, -1)
            }
            Pool => x.max_pool2d([2, 2], [2, 2], [0, 0], [1, 1], false),
            Relu => x.relu(),
            BatchNorm => {
                let none = None::<&Tensor>;
                x.batch_norm(
                    Some(of("weight")),
                    Some(of("bias")),
                    none,
                    none,
                    true,
                    0.1,
                    1e-5,
                    false,
                )
            }
            Dropout => match masks.as_mut().and_then(Iterator::next) {
                Some(mask) if x.dim() == 4 => x * mask.unsqueeze(-1).unsqueeze(-1),
                Some(mask) => x * mask,
                None => x,
            },
            Dense { .. } | Logits => x.flatten(1, -1).linear(of("weight"), Some(of("bias"))),
        }
    })
}

/// Trials that differ in their lambdas.
fn specs(architecture: Architecture, lambda: f64) -> Vec<TrialSpec> {
    let spec = |lane: i64| {
        let mut spec = spec(architecture, lambda);
        if let Some(penalty) = &mut spec.penalty {
            penalty.lambda = lambda * (lane + 1) as f64;
            penalty.batch_norm = SampleBatchNorm::TrainNoUpdate;
        }
        spec
    };
    (0..LANES).map(spec).collect()
}

fn check_gradients(architecture: Architecture, lambda: f64, backend: Backend) {
    let placed = architecture.placed(IMAGE, CLASSES).unwrap();
    let input = InputShape { image: IMAGE, classes: CLASSES.into() };
    let network = Network::new(architecture, BatchNormScale::Uniform, input, &[1, 2], backend);
    let samples = if lambda > 0.0 { SAMPLES } else { 0 };
    let rows = BATCH + samples;
    let images = Tensor::randn([LANES, rows, 28, 26, 3], (Kind::Float, Device::Cpu));
    let labels = Tensor::randint(CLASSES.into(), [LANES, BATCH], (Kind::Int64, Device::Cpu));
    let masks: Vec<_> = network
        .mask_widths()
        .into_iter()
        .map(|width| {
            let of_batch = Tensor::rand([LANES, BATCH, width], (Kind::Float, Device::Cpu))
                .ge(0.5)
                .to_kind(Kind::Float)
                * 2.0;
            Tensor::cat(
                &[of_batch, Tensor::ones([LANES, samples, width], (Kind::Float, Device::Cpu))],
                1,
            )
        })
        .collect();
    let step = StepInput {
        images: images.shallow_clone(),
        labels: labels.shallow_clone(),
        masks: masks.iter().map(Tensor::shallow_clone).collect(),
    };
    let specs = specs(architecture, lambda);
    let weights: Vec<BTreeMap<_, _>> = (0..LANES)
        .map(|lane| {
            network
                .state_dict(lane)
                .into_iter()
                .map(|(name, weight)| (name.into_owned(), weight.copy()))
                .collect()
        })
        .collect();
    let gradient =
        Objective::new(&specs.iter().collect::<Vec<_>>(), Device::Cpu).gradient(&network, &step);
    for lane in 0..LANES {
        let weights = &weights[lane as usize];
        let ours = network.as_pytorch(&gradient.of_parameters, lane);
        let leaves: Vec<_> = ours
            .iter()
            .map(|(name, _)| weights[&**name].shallow_clone().set_requires_grad(true))
            .collect();
        let of_lane = images.get(lane).permute([0, 3, 1, 2]);
        let masks: Vec<_> = masks.iter().map(|mask| mask.get(lane).narrow(0, 0, BATCH)).collect();
        let logits = forward(&placed, weights, of_lane.narrow(0, 0, BATCH), Some(&masks));
        let nll = logits.cross_entropy_for_logits(&labels.get(lane));
        let value = |metric| value_of(&gradient, metric).unwrap().double_value(&[lane]);
        assert!((value(TRAIN_LOSS) - nll.double_value(&[])).abs() < 1e-4, "{architecture}");
        let mut loss = nll;
        if samples > 0 {
            let logits = forward(&placed, weights, of_lane.narrow(0, BATCH, samples), None);
            let norm = logits.square().sum(Kind::Float) / samples as f64;
            assert!(
                (value(TRAIN_FUNCTION_NORM) / norm.double_value(&[]) - 1.0).abs() < 1e-4,
                "{architecture}"
            );
            loss += norm * specs[lane as usize].lambda();
        }
        let theirs = Tensor::run_backward(&[loss], &leaves, false, false);
        let largest = theirs
            .iter()
            .map(|gradient| gradient.abs().max().double_value(&[]))
            .fold(0.0, f64::max);
        for ((name, ours), theirs) in ours.iter().zip(&theirs) {
            let error = (ours.reshape(theirs.size()) - theirs).abs().max().double_value(&[]);
            assert!(
                error < 1e-4 * largest,
                "{name} of {architecture}, lambda {lambda}, {backend:?}: {error:e} {largest:e}"
            );
        }
    }
}

#[test]
fn gradients_of_any_list_are_those_of_autograd() {
    tch::manual_seed(1);
    for &architecture in Architecture::ALL.iter().chain(&both()) {
        for backend in
            [Backend::from(Device::Cpu), Backend { device: Device::Cpu, compute: &Torch }]
        {
            check_gradients(architecture, 0.0, backend);
            check_gradients(architecture, 0.1, backend);
        }
    }
}

#[test]
fn a_list_is_all_that_training_takes() {
    for architecture in both() {
        for lambda in [0.0, 0.01] {
            let mut trial = spec(architecture, lambda);
            trial.classifier.iterations = 60;
            trial.classifier.evaluate_every = 30;
            let (recorded, _) = run(
                &mut trainer(Backend::from(Device::Cpu), 2),
                &[trial, TrialSpec { seed: 2, ..trial }],
                Vec::new(),
            );
            for recorded in recorded {
                let losses: Vec<_> = recorded
                    .points
                    .iter()
                    .filter(|point| point.metric == TEST_LOSS)
                    .map(|point| point.value)
                    .collect();
                assert!(losses.len() == 2 && losses[1] < losses[0], "{architecture}: {losses:?}");
                let norms = recorded
                    .points
                    .iter()
                    .filter(|point| point.metric == TRAIN_FUNCTION_NORM)
                    .count();
                assert_eq!(norms > 0, lambda > 0.0);
                assert!(recorded.result.unwrap().is_ok());
            }
        }
    }
}

#[test]
fn weights_are_named_and_work_is_estimated() {
    let [plain, regularised] = both();
    let file = weights_file(&spec(regularised, 0.0));
    let text = String::from_utf8_lossy(&file);
    let names =
        ["conv1.weight", "conv3.bias", "bn1.running_mean", "bn4.weight", "fc1.weight", "fc2.bias"];
    assert!(names.iter().all(|name| text.contains(&format!("\"{name}\""))), "{names:?}");
    // 28 -> 26 -> 13 -> 9 -> 4 -> 3.
    let macs = 676.0 * 6.0 * 9.0
        + 81.0 * 8.0 * 25.0 * 6.0
        + 9.0 * 10.0 * 4.0 * 8.0
        + 90.0 * 12.0
        + 12.0 * 10.0;
    let per_image = |architecture| {
        let spec = spec(architecture, 0.0);
        (work::classifier_flop(&spec) - work::evaluation_flop(&spec)) / (25.0 * 10.0)
    };
    assert_eq!(per_image(plain), per_image(regularised));
    assert_eq!(per_image(plain), 6.0 * macs);
}
