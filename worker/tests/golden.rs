//! The trainer against PyTorch: losses, gradients, weights, running statistics and samples, for the same weights and
//! inputs. tests/reference/ at the top of the repository holds the expected numbers and the program that computed them.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use serde_json::Value;
use swfn_shared::trial::{Architecture, BatchNormScale, SampleBatchNorm};
use swfn_worker::{
    device,
    model::{
        layers::{InputShape, Named, NormMode},
        net::DropoutMasks,
        network::{Network, StepInput},
    },
    train::{classifier::Objective, sgd::Sgd},
    vae::{adam::Adam, conv::ConvVae, model::Vae, trained::TrainedVae},
};
use tch::{Device, Kind, Tensor, no_grad_guard};

const SHAPE: InputShape = InputShape { height: 28, width: 28, classes: 10 };

/// The expected numbers are exact to ten digits; ours come from sums of up to 800 products in single precision, whose
/// unit roundoff is 6e-8. Nothing that is a mistake is so small: the smallest effect that the cases vary, weight decay
/// over five steps, changes weights by 5e-5 of their size or more.
const RELATIVE: f64 = 1e-5;
/// Values near zero are differences of larger ones.
const ABSOLUTE: f64 = 3e-6;

fn expected() -> Value {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/reference/expected.json");
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

/// Numbers in [low, high): a hash of (name, index), the same as in reference.py.
fn formula(name: &str, shape: &[i64], low: f64, high: f64) -> Tensor {
    let key = name.bytes().fold(0_u32, |key, byte| key.wrapping_mul(31).wrapping_add(byte.into()));
    let key = key.wrapping_mul(0x9E37_79B1);
    let values: Vec<f32> = (0..shape.iter().product::<i64>() as u32)
        .map(|index| {
            let mut x = index.wrapping_add(key);
            x ^= x >> 16;
            x = x.wrapping_mul(0x7FEB_352D);
            x ^= x >> 15;
            x = x.wrapping_mul(0x846C_A68B);
            x ^= x >> 16;
            (low + (high - low) * (f64::from(x) / 4_294_967_296.0)) as f32
        })
        .collect();
    Tensor::from_slice(&values).view(shape)
}

fn set_weights(parameters: &[Named]) {
    let _guard = no_grad_guard();
    for (name, tensor) in parameters {
        let size = tensor.size();
        let (low, high) = match (name.contains("bn"), name.ends_with("weight")) {
            (true, true) => (0.2, 1.0),
            (true, false) | (false, false) => (-0.1, 0.1),
            (false, true) => {
                let bound = 1.0 / (size[1..].iter().product::<i64>() as f64).sqrt();
                (-bound, bound)
            }
        };
        tensor.shallow_clone().copy_(&formula(name, &size, low, high));
    }
}

fn numbers(value: &Value) -> Vec<f64> {
    match value {
        Value::Array(items) => items.iter().flat_map(numbers).collect(),
        _ => vec![value.as_f64().unwrap()],
    }
}

fn flat(tensor: &Tensor) -> Vec<f64> {
    Vec::try_from(tensor.detach().to_kind(Kind::Double).flatten(0, -1)).unwrap()
}

/// Norm, then six values spread over the tensor.
fn summary(tensor: &Tensor) -> Vec<f64> {
    let values = flat(tensor);
    let norm = values.iter().map(|x| x * x).sum::<f64>().sqrt();
    [norm].into_iter().chain((0..6).map(|i| values[i * (values.len() - 1) / 5])).collect()
}

fn assert_close(what: &str, actual: &[f64], expected: &Value) {
    let expected = numbers(expected);
    assert_eq!(actual.len(), expected.len(), "{what}");
    for (index, (&actual, &expected)) in actual.iter().zip(&expected).enumerate() {
        let error = (actual - expected).abs();
        assert!(error <= RELATIVE * expected.abs() + ABSOLUTE, "{what}[{index}]: {actual} instead of {expected}");
    }
}

fn assert_summaries(what: &str, actual: &[Named], expected: &Value) {
    assert_eq!(actual.len(), expected.as_object().unwrap().len(), "{what}");
    for (name, tensor) in actual {
        assert_close(&format!("{what} {name}"), &summary(tensor), &expected[*name]);
    }
}

/// Gradients by name.
fn gradients(of: &Tensor, parameters: Vec<Named>) -> Vec<Named> {
    let (names, tensors): (Vec<_>, Vec<_>) = parameters.into_iter().unzip();
    names.into_iter().zip(Tensor::run_backward(&[of], &tensors, true, false)).collect()
}

fn keep(name: &str, rows: i64, samples: i64, width: i64) -> Tensor {
    let mask = formula(name, &[rows, width], 0.0, 1.0).ge(0.5).to_kind(Kind::Float) * 2.0;
    Tensor::cat(&[mask, Tensor::ones([samples, width], (Kind::Float, Device::Cpu))], 0)
}

#[test]
fn the_formula_is_the_same_on_both_sides() {
    let expected = &expected()["formula"];
    assert_close("formula", &flat(&formula(expected["name"].as_str().unwrap(), &[4], -1.0, 1.0)), &expected["values"]);
}

#[test]
fn classifiers_train_as_in_pytorch() {
    device::use_one_thread();
    let cases = expected()["classifiers"].take();
    assert_eq!(cases.as_array().unwrap().len(), 2 * Architecture::ALL.len());
    for case in cases.as_array().unwrap() {
        let name = case["architecture"].as_str().unwrap();
        let architecture = Architecture::by_name(name).unwrap();
        let number = |key: &str| case[key].as_f64().unwrap();
        let (batch, samples, lambda) = (number("batch") as i64, number("samples") as i64, number("lambda"));
        let name = format!("{name}, lambda {lambda}");

        let network = Network::new(architecture, BatchNormScale::Ones, SHAPE, 0, Device::Cpu);
        set_weights(&network.parameters());
        let mut optimiser =
            Sgd::new(network.parameters(), number("learning_rate"), number("momentum"), number("weight_decay"));
        let (mut nll, mut function_norm) = (Vec::new(), Vec::new());
        for step in 0..5 {
            let images = formula(&format!("digits {step}"), &[batch, 28, 28], -0.42, 2.82);
            let decoded = formula(&format!("samples {step}"), &[samples, 28, 28], 0.0, 1.0);
            let labels: Vec<i64> = (0..batch).map(|i| (7 * i + step) % 10).collect();
            let masks = (architecture == Architecture::NetDropout).then(|| DropoutMasks {
                channels: keep(&format!("channels {step}"), batch, samples, 20),
                hidden: keep(&format!("hidden {step}"), batch, samples, 50),
            });
            let images = Tensor::cat(&[images, decoded], 0);
            let input = StepInput { images, labels: Tensor::from_slice(&labels), masks };
            if step == 0 {
                // On a second network: with batch norm, a pass in training mode leaves traces.
                let twin = Network::new(architecture, BatchNormScale::Ones, SHAPE, 1, Device::Cpu);
                set_weights(&twin.parameters());
                let total = Objective::of(&twin, &input, SampleBatchNorm::Train).total(lambda);
                let actual = gradients(&total, twin.parameters());
                assert_summaries(&format!("{name}: gradient of"), &actual, &case["gradients"]);
                let logits = flat(&twin.training_logits(&input, SampleBatchNorm::Train).0);
                assert_close(&format!("{name}: logits"), &logits, &case["logits"]);
            }
            let objective = Objective::of(&network, &input, SampleBatchNorm::Train);
            optimiser.minimise(&objective.total(lambda));
            nll.push(objective.nll.double_value(&[]));
            function_norm.extend(objective.function_norm.map(|norm| norm.double_value(&[])));
        }
        assert_close(&format!("{name}: nll"), &nll, &case["nll"]);
        assert_close(&format!("{name}: function norm"), &function_norm, &case["function_norm"]);
        assert_summaries(&format!("{name}: trained"), &network.parameters(), &case["parameters"]);
        assert_summaries(&format!("{name}: trained"), &network.buffers(), &case["buffers"]);
        let images = formula("test images", &[3, 28, 28], -0.42, 2.82);
        assert_close(&format!("{name}: test logits"), &flat(&network.test_logits(&images)), &case["test_logits"]);
    }
}

#[test]
fn the_vae_trains_and_samples_as_in_pytorch() {
    device::use_one_thread();
    let expected = &expected()["vae"];
    let number = |key: &str| expected[key].as_f64().unwrap();
    let (batch, latent) = (number("batch") as i64, number("latent") as i64);
    let vae = Vae::new(784, 128, latent, 0, Device::Cpu);
    set_weights(&vae.parameters());
    let mut optimiser = Adam::new(vae.parameters(), number("learning_rate"));
    let (mut losses, mut codes) = (Vec::new(), None);
    for step in 0..5 {
        let x = formula(&format!("vae images {step}"), &[batch, 784], 0.0, 1.0);
        let elbo = vae.forward(&x, &formula(&format!("vae noise {step}"), &[batch, latent], -1.7, 1.7));
        if step == 0 {
            assert_summaries("gradient of", &gradients(&elbo.loss, vae.parameters()), &expected["gradients"]);
        }
        optimiser.minimise(&elbo.loss);
        losses.push(elbo.loss.double_value(&[]));
        codes = Some((elbo.mu, elbo.logvar));
    }
    assert_close("losses", &losses, &expected["losses"]);
    assert_summaries("trained", &vae.parameters(), &expected["parameters"]);
    let (mu, logvar) = codes.unwrap();
    let trained = TrainedVae::new(vae.decoder, &mu, &logvar, Vec::new());
    let samples = trained.decode(&formula("sample noise", &[3, latent], -1.7, 1.7), number("spread"));
    assert!(!samples.requires_grad());
    assert_close("samples", &summary(&samples), &expected["samples"]);
}

#[test]
fn the_convolutional_vae_trains_and_samples_as_in_pytorch() {
    device::use_one_thread();
    let expected = &expected()["conv_vae"];
    let whole = |key: &str| expected[key].as_i64().unwrap();
    let number = |key: &str| expected[key].as_f64().unwrap();
    let (height, width, hidden, latent) = (whole("height"), whole("width"), whole("hidden"), whole("latent"));
    let (batch, pixels) = (whole("batch"), height * width);
    let vae = ConvVae::new(height, width, hidden, latent, 0, Device::Cpu);
    set_weights(&vae.parameters());
    let mut optimiser = Adam::new(vae.parameters(), number("learning_rate"));
    let (mut losses, mut codes) = (Vec::new(), None);
    for step in 0..5 {
        let x = formula(&format!("conv vae images {step}"), &[batch, pixels], 0.0, 1.0);
        let elbo = vae.forward(&x, &formula(&format!("conv vae noise {step}"), &[batch, latent], -1.7, 1.7));
        if step == 0 {
            assert_close("mu", &flat(&elbo.mu), &expected["mu"]);
            assert_close("logvar", &flat(&elbo.logvar), &expected["logvar"]);
            assert_summaries("gradient of", &gradients(&elbo.loss, vae.parameters()), &expected["gradients"]);
        }
        optimiser.minimise(&elbo.loss);
        losses.push(elbo.loss.double_value(&[]));
        codes = Some((elbo.mu, elbo.logvar));
    }
    assert_close("losses", &losses, &expected["losses"]);
    assert_summaries("trained", &vae.parameters(), &expected["parameters"]);
    assert_summaries("trained", &vae.buffers(), &expected["buffers"]);
    let (test_mu, test_logvar) =
        vae.encoder.forward(&formula("conv vae test images", &[3, pixels], 0.0, 1.0), NormMode::Eval);
    assert_close("test codes", &[flat(&test_mu), flat(&test_logvar)].concat(), &expected["test_codes"]);
    let (mu, logvar) = codes.unwrap();
    let trained = TrainedVae::new(vae.decoder, &mu, &logvar, Vec::new());
    let samples = trained.decode(&formula("conv sample noise", &[3, latent], -1.7, 1.7), number("spread"));
    assert!(!samples.requires_grad());
    assert_eq!(samples.size(), [3, pixels]);
    assert_close("samples", &summary(&samples), &expected["samples"]);
}

/// Gradients down to 1e-10, of the size of epsilon: only those tell whether epsilon is added before or after the bias
/// correction.
#[test]
fn adam_adds_epsilon_before_the_bias_correction() {
    let expected = &expected()["adam"];
    let gradients: Vec<f32> = numbers(&expected["gradients"]).into_iter().map(|g| g as f32).collect();
    let weights = Tensor::zeros([gradients.len() as i64], (Kind::Float, Device::Cpu)).set_requires_grad(true);
    let mut optimiser = Adam::new(vec![("weights", weights.shallow_clone())], 1e-3);
    for _ in 0..5 {
        optimiser.minimise(&(&weights * Tensor::from_slice(&gradients)).sum(Kind::Float));
    }
    assert_close("weights", &flat(&weights), &expected["weights"]);
}
