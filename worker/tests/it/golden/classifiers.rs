//! Classifiers with their switches.

use serde_json::Value;
use swfn_shared::{
    axes,
    metrics::{TRAIN_FUNCTION_NORM, TRAIN_LOSS},
    trial::{Architecture, BatchNormScale, SampleBatchNorm, SampleUnits, TrialSpec},
};
use swfn_worker::{
    compute::{Backend, Torch},
    device,
    lanes::Model as _,
    model::network::{Network, StepInput},
    train::{
        objective::Objective,
        samples::in_units,
        sgd::{Settings, Sgd},
        terms::sgd_settings,
    },
};
use tch::{Device, Kind, Tensor};

use super::dump::{Dump, Inputs};
use crate::common::{spec, value_of};

/// Parameters of `lenet+bn` whose gradient is zero, or the remainder of large terms that cancel.
///
/// Batch norm subtracts the mean of the batch, and with it the bias of the convolution before it.
/// As only convolution and max-pooling lie between two batch norms, it also subtracts the shift of
/// the previous one. The remainder comes from samples that batch norm treats differently, and from
/// rounding.
const BEFORE_BATCH_NORM: [&str; 5] =
    ["conv1.bias", "conv2.bias", "conv3.bias", "bn1.bias", "bn2.bias"];

/// A case of the file: its settings.
struct Case {
    number: usize,
    spec: TrialSpec,
}

impl Case {
    fn new(number: usize, settings: &Value) -> Self {
        let text = |key: &str| settings[key].as_str().unwrap();
        let architecture = Architecture::by_name(text("architecture")).unwrap();
        let mut spec = spec(architecture, settings["lambda"].as_f64().unwrap());
        axes::WEIGHT_DECAY
            .set(&mut spec, axes::Value::Real(settings["weight_decay"].as_f64().unwrap()));
        let smoothing = settings["label_smoothing"].as_f64().unwrap_or(0.0);
        axes::Axis::at("label_smoothing").set(&mut spec, axes::Value::Real(smoothing));
        if let Some(penalty) = &mut spec.penalty {
            penalty.units = SampleUnits::by_name(text("units")).unwrap();
            penalty.batch_norm = SampleBatchNorm::by_name(text("batch_norm")).unwrap();
        }
        Self { number, spec }
    }

    /// The batch, then the samples, if there is a function norm.
    fn input(&self, dump: &Dump, inputs: &Inputs, step: i64) -> StepInput {
        let numbers = |name: &str| dump.integers(&format!("{}/{name}", self.number)).get(step);
        let (mut images, labels) = inputs.batch(&numbers("batches"));
        if let Some(penalty) = &self.spec.penalty {
            let samples = inputs.dump.floats("decoded").index_select(0, &numbers("samples"));
            images = Tensor::cat(&[images, in_units(samples.unsqueeze(-1), penalty.units)], 0);
        }
        let samples = images.size()[0] - labels.size()[0];
        let mask = |kept: &str| {
            let kept = inputs.dump.floats(kept).get(step) / (1.0 - dump.number("dropout"));
            let ones = Tensor::ones([samples, kept.size()[1]], (Kind::Float, Device::Cpu));
            Tensor::cat(&[kept, ones], 0)
        };
        let masks = self.spec.architecture.has_dropout();
        let sites: &[&str] = if masks { &["kept_channels", "kept_hidden"] } else { &[] };
        let masks = sites.iter().map(|kept| lane(&mask(kept))).collect();
        StepInput { images: lane(&images), labels: lane(&labels), masks }
    }
}

/// Adds a leading dimension of one lane.
fn lane(tensor: &Tensor) -> Tensor {
    tensor.unsqueeze(0)
}

fn tensors(network: &Network) -> Vec<Tensor> {
    network.parameters().into_iter().map(|(_, tensor)| tensor).collect()
}

/// A network of one lane with the weights that the file starts from.
pub(crate) fn network(
    architecture: Architecture,
    initial: &Dump,
    inputs: &Inputs,
    backend: Backend,
) -> Network {
    let network = Network::new(architecture, BatchNormScale::Uniform, inputs.shape, &[0], backend);
    initial.start(&network.as_pytorch(&tensors(&network), 0));
    network
}

/// Trains as a case of the file demands, and compares.
fn check(case: &Case, dump: &Dump, inputs: &Inputs, backend: Backend) {
    let Case { number, spec } = case;
    let network = network(spec.architecture, dump, inputs, backend);
    let settings = Settings {
        learning_rate: dump.number("learning_rate"),
        momentum: dump.number("momentum"),
        ..sgd_settings(spec)
    };
    let mut optimiser = Sgd::new(&network.parameters(), &[settings], backend);
    let objective = Objective::new(&[spec], backend.device);
    let (mut nll, mut function_norm) = (Vec::new(), Vec::new());
    for step in 0..dump.steps() {
        let input = case.input(dump, inputs, step);
        if step == 0 {
            let batch_norm =
                spec.penalty.map_or(SampleBatchNorm::Train, |penalty| penalty.batch_norm);
            // A second network is needed, because batch norm in training mode changes its
            // statistics.
            let twin = self::network(spec.architecture, dump, inputs, backend);
            let (logits, _, _) = twin.training_logits(&input, batch_norm);
            dump.assert_tensor(&format!("{number}/logits"), &logits);
        }
        let gradient = objective.gradient(&network, &input);
        let value = |metric| value_of(&gradient, metric).map(|value| value.double_value(&[0]));
        nll.extend(value(TRAIN_LOSS));
        function_norm.extend(value(TRAIN_FUNCTION_NORM));
        let gradients = gradient.of_parameters;
        if step == 0 {
            let cancelled = if spec.architecture == Architecture::LENET_BN {
                &BEFORE_BATCH_NORM[..]
            } else {
                &[]
            };
            dump.assert_gradients(
                &format!("{number}/gradient"),
                &network.as_pytorch(&gradients, 0),
                cancelled,
            );
        }
        optimiser.step(&mut network.parameters(), &gradients);
    }
    dump.assert_numbers(&format!("{number}/nll"), &nll);
    if spec.penalty.is_some() {
        dump.assert_numbers(&format!("{number}/function_norm"), &function_norm);
    } else {
        assert!(function_norm.is_empty());
    }
    dump.assert_tensors(&format!("{number}/trained"), &network.state_dict(0));
    dump.assert_tensor(
        &format!("{number}/test_logits"),
        &network.test_logits(&lane(&inputs.test_images)),
    );
}

fn check_all(file: &str, cases: usize) {
    device::use_one_thread();
    let dump = Dump::read(file);
    let inputs = Inputs::of(&dump);
    let all = dump.settings()["cases"].as_array().unwrap();
    assert_eq!(all.len(), cases);
    for (number, settings) in all.iter().enumerate() {
        // By the kernels, and by the operations that GPUs use.
        for backend in
            [Backend::from(Device::Cpu), Backend { device: Device::Cpu, compute: &Torch }]
        {
            println!("case {number}, {backend:?}: {settings}"); // shown if it fails
            check(&Case::new(number, settings), &dump, &inputs, backend);
        }
    }
}

#[test]
fn net_trains_as_in_pytorch() {
    check_all("net-28x28", 9);
}

#[test]
fn smoothed_labels_train_as_in_pytorch() {
    check_all("smoothing-28x28", 4);
}

#[test]
fn lenet_trains_as_in_pytorch() {
    check_all("lenet-28x28", 12);
}

#[test]
fn networks_for_other_images_train_as_in_pytorch() {
    check_all("net-16x20", 2);
    check_all("lenet-16x20", 2);
}
