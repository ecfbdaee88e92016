//! Both VAEs and their Adam; and the whole way from a trained decoder to the function norm.

use swfn_shared::{
    metrics::TRAIN_FUNCTION_NORM,
    trial::{Architecture, LatentStatistics, SampleUnits, Vae as Settings, VaeFamily},
};
use swfn_worker::{
    compute::{Backend, Torch},
    device,
    lanes::{self, Model as _},
    model::network::StepInput,
    train::{objective::Objective, samples::in_units},
    vae::{adam::Adam, family::AnyVae, model::Elbo, trained::Densities},
};
use tch::{Device, Kind, Tensor};

use super::{
    classifiers::network,
    dump::{Dump, Inputs, named},
};
use crate::common::{spec, value_of};

/// Trains the VAE and compares it. Returns the codes of the last batch before its step's update.
fn train(vae: &AnyVae, dump: &Dump, inputs: &Inputs, backend: Backend) -> (Tensor, Tensor) {
    let mut optimiser = Adam::new(&vae.parameters(), dump.number("learning_rate"), backend);
    let (batches, noise) = (dump.integers("batches"), dump.floats("noise"));
    let (mut losses, mut codes) = (Vec::new(), None);
    for step in 0..dump.steps() {
        let noise = noise.get(step).unsqueeze(0);
        let (elbo, gradients) =
            vae.gradients(&own_units(&inputs.batch(&batches.get(step)).0), &noise);
        let Elbo { loss, mu, logvar, .. } = elbo;
        if step == 0 {
            dump.assert_tensor("mu", &mu);
            dump.assert_tensor("logvar", &logvar);
            dump.assert_gradients("gradient", &named(&gradients, vae.parameters()), &[]);
        }
        let rates = optimiser.rates(&[vec![step as u32 + 1]]);
        optimiser.step(&mut vae.parameters(), &gradients, &rates[0]);
        losses.push(loss.double_value(&[0]));
        codes = Some((mu, logvar));
    }
    dump.assert_numbers("losses", &losses);
    dump.assert_tensors(
        "trained",
        &[vae.parameters(), vae.buffers()].into_iter().flatten().collect::<Vec<_>>(),
    );
    codes.unwrap()
}

/// Normalised pixels, `[N, H, W, C]`, as a VAE of one lane sees them.
fn own_units(images: &Tensor) -> Tensor {
    images.flatten(1, -1).sigmoid().unsqueeze(0)
}

/// Checks the kernels, and the operations that GPUs use.
fn check(file: &str) {
    device::use_one_thread();
    for backend in [Backend::from(Device::Cpu), Backend { device: Device::Cpu, compute: &Torch }] {
        check_at(file, backend);
    }
}

fn check_at(file: &str, backend: Backend) {
    let dump = Dump::read(file);
    let inputs = Inputs::of(&dump);
    let image = inputs.shape.image.size();
    let settings = Settings {
        family: VaeFamily::by_name(dump.text("family")).unwrap(),
        hidden: dump.number("hidden") as u32,
        latent: dump.number("latent") as u32,
        // Those below do not matter to the layers.
        iterations: 0,
        batch_size: 0,
        learning_rate: 1.0,
        latent_statistics: LatentStatistics::LastBatch,
    };
    for statistics in LatentStatistics::ALL {
        // one for each: a density takes its decoder
        let vae = AnyVae::new(&settings, image, &[0], backend);
        dump.start(&vae.parameters());
        let last_batch = train(&vae, &dump, &inputs, backend);
        let (test_mu, test_logvar) = vae.encode(&own_units(&inputs.test_images));
        dump.assert_tensor("test_mu", &test_mu);
        dump.assert_tensor("test_logvar", &test_logvar);
        let (mu, logvar) = match statistics {
            LatentStatistics::LastBatch => last_batch,
            LatentStatistics::Subset => vae.encode(&own_units(&inputs.images.pixels)),
        };
        let density = Densities::new(vae.into_decoder(), &mu, &logvar);
        check_samples(statistics.name(), &density, &dump, &inputs, backend);
    }
}

/// Compares everything from the noise to the function norm of a net.
fn check_samples(
    statistics: &str,
    density: &Densities,
    dump: &Dump,
    inputs: &Inputs,
    backend: Backend,
) {
    let net = network(
        Architecture::NET,
        &Dump::read(&format!("net-{}", dump.text("inputs"))),
        inputs,
        backend,
    );
    let (images, labels) = inputs.batch(&dump.integers("batches").get(0));
    let [height, width, channels] = inputs.shape.image.size();
    for units in SampleUnits::ALL {
        let samples =
            density.decode(&dump.floats("sample_noise").unsqueeze(0), dump.number("spread"));
        assert!(!samples.requires_grad());
        let samples = in_units(samples.view([-1, height, width, channels]), *units);
        let name = format!("{statistics}/{}", units.name());
        dump.assert_tensor(&format!("{name}/samples"), &samples);
        let images = Tensor::cat(&[&images, &samples], 0).unsqueeze(0);
        let input = StepInput { images, labels: labels.unsqueeze(0), masks: Vec::new() };
        let gradient =
            Objective::new(&[&spec(Architecture::NET, 0.1)], backend.device).gradient(&net, &input);
        let norm = value_of(&gradient, TRAIN_FUNCTION_NORM).unwrap();
        dump.assert_numbers(&format!("{name}/function_norm"), &[norm.double_value(&[0])]);
    }
}

#[test]
fn the_vanilla_vae_trains_as_in_pytorch() {
    check("vae");
}

#[test]
fn the_convolutional_vae_trains_as_in_pytorch() {
    check("conv-vae");
}

/// Uses gradients down to 1e-10, the size of epsilon. Only those show whether epsilon is added
/// before or after the bias correction.
#[test]
fn adam_adds_epsilon_before_the_bias_correction() {
    let dump = Dump::read("adam");
    let gradients = dump.floats("gradients").unsqueeze(0);
    for backend in [Backend::from(Device::Cpu), Backend { device: Device::Cpu, compute: &Torch }] {
        let weights = Tensor::zeros_like(&gradients);
        let parameters = &mut [lanes::named("weights", &weights)];
        let mut optimiser = Adam::new(parameters, dump.number("learning_rate"), backend);
        for step in 0..dump.steps() {
            let rates = optimiser.rates(&[vec![step as u32 + 1]]);
            optimiser.step(parameters, &[gradients.shallow_clone()], &rates[0]);
        }
        dump.assert_numbers(
            "weights",
            &Vec::try_from(weights.squeeze_dim(0).to_kind(Kind::Double)).unwrap(),
        );
    }
}
