//! Both VAEs and their Adam; and the whole way from a trained decoder to the function norm.

use swfn_shared::{
    numbers::LearningRate,
    trial::{Architecture, LatentStatistics, SampleBatchNorm, SampleUnits, Vae as Settings, VaeFamily},
};
use swfn_worker::{
    device,
    model::network::StepInput,
    train::{classifier::Objective, samples::in_units},
    vae::{adam::Adam, family::AnyVae, model::Elbo, trained::TrainedVae},
};
use tch::{Device, Kind, Tensor, no_grad};

use crate::{
    classifiers::network,
    dump::{Dump, Inputs, named},
};

/// Trains the VAE and compares; gives it back with the codes of the last batch, as its step saw them.
fn train(vae: &AnyVae, dump: &Dump, inputs: &Inputs) -> (Tensor, Tensor) {
    let mut optimiser = Adam::new(vae.parameters(), dump.number("learning_rate"));
    let (batches, noise) = (dump.integers("batches"), dump.floats("noise"));
    let (mut losses, mut codes) = (Vec::new(), None);
    for step in 0..dump.steps() {
        let (elbo, gradients) = vae.gradients(&own_units(&inputs.batch(&batches.get(step)).0), &noise.get(step));
        let Elbo { loss, mu, logvar, .. } = elbo;
        if step == 0 {
            dump.assert_tensor("mu", &mu);
            dump.assert_tensor("logvar", &logvar);
            dump.assert_gradients("gradient", &named(&gradients, vae.parameters()), &[]);
        }
        optimiser.step(&gradients);
        losses.push(loss.double_value(&[]));
        codes = Some((mu, logvar));
    }
    dump.assert_numbers("losses", &losses);
    dump.assert_tensors("trained", &[vae.parameters(), vae.buffers()].into_iter().flatten().collect::<Vec<_>>());
    codes.unwrap()
}

/// Normalised pixels, `[N, H, W]`, as a VAE sees them.
fn own_units(images: &Tensor) -> Tensor {
    images.flatten(1, -1).sigmoid()
}

fn check(file: &str) {
    device::use_one_thread();
    let dump = Dump::read(file);
    let inputs = Inputs::of(&dump);
    let size = (inputs.shape.height, inputs.shape.width);
    let settings = Settings {
        family: VaeFamily::by_name(dump.text("family")).unwrap(),
        hidden: dump.number("hidden") as u32,
        latent: dump.number("latent") as u32,
        // Those below do not matter to the layers.
        iterations: 0,
        batch_size: 0,
        learning_rate: LearningRate::new(1.0).unwrap(),
        latent_statistics: LatentStatistics::LastBatch,
    };
    for statistics in LatentStatistics::ALL {
        let vae = AnyVae::new(&settings, size, 0, Device::Cpu); // one for each: a density takes its decoder
        dump.start(&vae.parameters());
        let last_batch = train(&vae, &dump, &inputs);
        let (test_mu, test_logvar) = no_grad(|| vae.encode(&own_units(&inputs.test_images)));
        dump.assert_tensor("test_mu", &test_mu);
        dump.assert_tensor("test_logvar", &test_logvar);
        let (mu, logvar) = match statistics {
            LatentStatistics::LastBatch => last_batch,
            LatentStatistics::Subset => no_grad(|| vae.encode(&own_units(&inputs.images.pixels))),
        };
        let density = TrainedVae::new(vae.into_decoder(), &mu, &logvar, Vec::new());
        check_samples(statistics.name(), &density, &dump, &inputs);
    }
}

/// From noise to the function norm of a net.
fn check_samples(statistics: &str, density: &TrainedVae, dump: &Dump, inputs: &Inputs) {
    let net = network(Architecture::Net, &Dump::read(&format!("net-{}", dump.text("inputs"))), inputs);
    let (images, labels) = inputs.batch(&dump.integers("batches").get(0));
    for units in SampleUnits::ALL {
        let samples = density.decode(&dump.floats("sample_noise"), dump.number("spread"));
        assert!(!samples.requires_grad());
        let samples = in_units(samples.view([-1, inputs.shape.height, inputs.shape.width]), *units);
        let name = format!("{statistics}/{}", units.name());
        dump.assert_tensor(&format!("{name}/samples"), &samples);
        let images = Tensor::cat(&[&images, &samples], 0);
        let input = StepInput { images, labels: labels.shallow_clone(), masks: None };
        let norm = Objective::of(&net, &input, SampleBatchNorm::Train).function_norm.unwrap();
        dump.assert_numbers(&format!("{name}/function_norm"), &[norm.double_value(&[])]);
    }
}

#[test]
fn the_vae_trains_and_samples_as_in_pytorch() {
    check("vae");
}

#[test]
fn the_convolutional_vae_trains_and_samples_as_in_pytorch() {
    check("conv-vae");
}

/// Gradients down to 1e-10, of the size of epsilon: only those tell whether epsilon is added before or after the bias
/// correction.
#[test]
fn adam_adds_epsilon_before_the_bias_correction() {
    let dump = Dump::read("adam");
    let gradients = dump.floats("gradients");
    let weights = Tensor::zeros_like(&gradients).set_requires_grad(true);
    let mut optimiser = Adam::new(vec![("weights", weights.shallow_clone())], dump.number("learning_rate"));
    for _ in 0..dump.steps() {
        optimiser.step(&[gradients.shallow_clone()]);
    }
    dump.assert_numbers("weights", &Vec::try_from(weights.detach().to_kind(Kind::Double)).unwrap());
}
