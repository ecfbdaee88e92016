//! Classifiers with their switches.

use serde_json::Value;
use swfn_shared::trial::{Architecture, BatchNormScale, SampleBatchNorm, SampleUnits};
use swfn_worker::{
    device,
    model::{
        net::DropoutMasks,
        network::{Network, StepInput},
    },
    train::{classifier::Objective, samples::in_units, sgd::Sgd},
};
use tch::{Device, Kind, Tensor, no_grad};

use crate::dump::{Dump, Inputs, named};

/// Parameters of `lenet+bn` whose gradient is zero, or what is left when large terms cancel. Batch norm subtracts the mean
/// of the batch, and with it the bias of the convolution before it; also the shift of the batch norm before that, since
/// nothing but convolution and max-pooling lies between them. What remains is the share of samples that batch norm treats
/// otherwise, if there are any, and rounding: that of the terms, however small their sum.
const BEFORE_BATCH_NORM: [&str; 5] = ["conv1.bias", "conv2.bias", "conv3.bias", "bn1.bias", "bn2.bias"];

/// What a case says about its training.
struct Case {
    number: usize,
    architecture: Architecture,
    lambda: f64,
    weight_decay: f64,
    units: SampleUnits,
    batch_norm: SampleBatchNorm,
}

impl Case {
    fn new(number: usize, settings: &Value) -> Self {
        let text = |key: &str| settings[key].as_str().unwrap();
        Self {
            number,
            architecture: Architecture::by_name(text("architecture")).unwrap(),
            lambda: settings["lambda"].as_f64().unwrap(),
            weight_decay: settings["weight_decay"].as_f64().unwrap(),
            units: SampleUnits::by_name(text("units")).unwrap(),
            batch_norm: SampleBatchNorm::by_name(text("batch_norm")).unwrap(),
        }
    }

    /// The batch, then the samples, if there is a function norm.
    fn input(&self, dump: &Dump, inputs: &Inputs, step: i64) -> StepInput {
        let numbers = |name: &str| dump.integers(&format!("{}/{name}", self.number)).get(step);
        let (mut images, labels) = inputs.batch(&numbers("batches"));
        if self.lambda > 0.0 {
            let samples = inputs.dump.floats("decoded").index_select(0, &numbers("samples"));
            images = Tensor::cat(&[images, in_units(samples, self.units)], 0);
        }
        let samples = images.size()[0] - labels.size()[0];
        let mask = |kept: &str| {
            let kept = inputs.dump.floats(kept).get(step) / (1.0 - dump.number("dropout"));
            let ones = Tensor::ones([samples, kept.size()[1]], (Kind::Float, Device::Cpu));
            Tensor::cat(&[kept, ones], 0)
        };
        let masks = (self.architecture == Architecture::NetDropout)
            .then(|| DropoutMasks { channels: mask("kept_channels"), hidden: mask("kept_hidden") });
        StepInput { images, labels, masks }
    }
}

/// A network with the weights that the file starts from.
pub(crate) fn network(architecture: Architecture, initial: &Dump, inputs: &Inputs) -> Network {
    let network = Network::new(architecture, BatchNormScale::Uniform, inputs.shape, 0, Device::Cpu);
    initial.start(&network.parameters());
    network
}

/// Trains as a case of the file says and compares.
fn check(case: &Case, dump: &Dump, inputs: &Inputs) {
    let number = case.number;
    let network = network(case.architecture, dump, inputs);
    let (learning_rate, momentum) = (dump.number("learning_rate"), dump.number("momentum"));
    let mut optimiser = Sgd::new(network.parameters(), learning_rate, momentum, case.weight_decay);
    let (mut nll, mut function_norm) = (Vec::new(), Vec::new());
    for step in 0..dump.steps() {
        let input = case.input(dump, inputs, step);
        if step == 0 {
            // Of another network: with batch norm, a pass in training mode leaves traces.
            let twin = self::network(case.architecture, dump, inputs);
            let (logits, _) = no_grad(|| twin.training_logits(&input, case.batch_norm, None));
            dump.assert_tensor(&format!("{number}/logits"), &logits);
        }
        let objective = Objective::of(&network, &input, case.batch_norm);
        let gradients = objective.gradients(case.lambda, optimiser.parameters());
        if step == 0 {
            let cancelled = if case.architecture == Architecture::LenetBn { &BEFORE_BATCH_NORM[..] } else { &[] };
            dump.assert_gradients(&format!("{number}/gradient"), &named(&gradients, network.parameters()), cancelled);
        }
        optimiser.step(&gradients);
        nll.push(objective.nll.double_value(&[]));
        function_norm.extend(objective.function_norm.map(|norm| norm.double_value(&[])));
    }
    dump.assert_numbers(&format!("{number}/nll"), &nll);
    if case.lambda > 0.0 {
        dump.assert_numbers(&format!("{number}/function_norm"), &function_norm);
    } else {
        assert!(function_norm.is_empty());
    }
    let trained = [network.parameters(), network.buffers()].into_iter().flatten().collect::<Vec<_>>();
    dump.assert_tensors(&format!("{number}/trained"), &trained);
    dump.assert_tensor(&format!("{number}/test_logits"), &no_grad(|| network.test_logits(&inputs.test_images)));
}

fn check_all(file: &str, cases: usize) {
    device::use_one_thread();
    let dump = Dump::read(file);
    let inputs = Inputs::of(&dump);
    let all = dump.settings()["cases"].as_array().unwrap();
    assert_eq!(all.len(), cases);
    for (number, settings) in all.iter().enumerate() {
        println!("case {number}: {settings}"); // shown if it fails
        check(&Case::new(number, settings), &dump, &inputs);
    }
}

#[test]
fn net_trains_as_in_pytorch() {
    check_all("net-28x28", 9);
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
