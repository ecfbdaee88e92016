//! Reads the files of PyTorch's numbers, and compares with them.

use std::{collections::HashMap, fs};

use safetensors::SafeTensors;
use serde_json::Value;
use swfn_shared::{dataset::Units, image::ImageShape};
use swfn_worker::{
    data::{Split, Splits},
    lanes::Named,
    layers::InputShape,
    train::device_data::DeviceData,
    trial::pool::Images,
};
use tch::{Device, Kind, Tensor, no_grad_guard};

/// Largest error of a number, relative to that number, and of a tensor, relative to its norm: in
/// the Euclidean and in the maximum norm.
///
/// The expected numbers were computed in double precision. Ours have single precision, whose unit
/// roundoff is 6e-8. They are off by 6e-6 at most, and losses and weights after 20 steps by less
/// than 1e-6. The smallest effect that the cases vary is weight decay, which then has changed
/// weights by 2e-4 of their size.
const TOLERANCE: f64 = 1e-5;

/// Largest error of a gradient in which large terms cancel, relative to the gradient of all
/// parameters. The terms are of its size, and their sum may be zero. Ours are off by 3e-7 at most.
const CANCELLED: f64 = 1e-6;

/// One file.
pub(crate) struct Dump {
    tensors: HashMap<String, Tensor>,
    settings: Value,
}

impl Dump {
    pub(crate) fn read(name: &str) -> Self {
        let path =
            format!("{}/../tests/reference/golden/{name}.safetensors", env!("CARGO_MANIFEST_DIR"));
        let (_, metadata) = SafeTensors::read_metadata(&fs::read(&path).unwrap()).unwrap();
        let settings =
            serde_json::from_str(&metadata.metadata().as_ref().unwrap()["settings"]).unwrap();
        Self { tensors: Tensor::read_safetensors(path).unwrap().into_iter().collect(), settings }
    }

    /// How the numbers were computed: `settings["learning_rate"]` and so on.
    pub(crate) fn settings(&self) -> &Value {
        &self.settings
    }

    pub(crate) fn number(&self, setting: &str) -> f64 {
        self.settings[setting].as_f64().unwrap()
    }

    pub(crate) fn text(&self, setting: &str) -> &str {
        self.settings[setting].as_str().unwrap()
    }

    pub(crate) fn steps(&self) -> i64 {
        self.number("steps") as i64
    }

    pub(crate) fn floats(&self, name: &str) -> Tensor {
        self.tensors[name].to_kind(Kind::Float)
    }

    pub(crate) fn integers(&self, name: &str) -> Tensor {
        self.tensors[name].to_kind(Kind::Int64)
    }

    /// Gives the parameters their initial values.
    pub(crate) fn start(&self, parameters: &[Named]) {
        let _guard = no_grad_guard();
        for (name, tensor) in parameters {
            tensor.shallow_clone().copy_(&self.floats(&format!("initial/{name}")).view_as(tensor));
        }
    }

    /// Compares each number with its counterpart.
    pub(crate) fn assert_numbers(&self, name: &str, actual: &[f64]) {
        let expected = values(&self.tensors[name]);
        assert_eq!(actual.len(), expected.len(), "{name}");
        for (index, (actual, expected)) in actual.iter().zip(&expected).enumerate() {
            assert_close(&format!("{name}[{index}]"), &[*actual], &[*expected]);
        }
    }

    /// Compares a tensor with its summary.
    pub(crate) fn assert_tensor(&self, name: &str, actual: &Tensor) {
        let (actual, expected) = (summary(actual), values(&self.tensors[name]));
        assert_close(&format!("norm of {name}"), &actual[..1], &expected[..1]);
        assert_close(name, &actual[1..], &expected[1..]);
    }

    /// [`Self::assert_tensor`] for each of them; and there are no others.
    pub(crate) fn assert_tensors(&self, prefix: &str, actual: &[Named]) {
        self.assert_names(prefix, actual);
        for (name, tensor) in actual {
            self.assert_tensor(&format!("{prefix}/{name}"), tensor);
        }
    }

    /// Compares gradients. Those of `cancelled` parameters must be within [`CANCELLED`] of the
    /// gradient of all parameters.
    pub(crate) fn assert_gradients(&self, prefix: &str, actual: &[Named], cancelled: &[&str]) {
        self.assert_names(prefix, actual);
        let expected = |name: &str| values(&self.tensors[&format!("{prefix}/{name}")]);
        let all = norm(&actual.iter().map(|(name, _)| expected(name)[0]).collect::<Vec<_>>());
        for (name, gradient) in actual {
            if cancelled.contains(&&**name) {
                let error = norm(&difference(&summary(gradient), &expected(name)));
                assert!(
                    error <= CANCELLED * all,
                    "{prefix}/{name}: off by {error:e} beside {all:e}"
                );
            } else {
                self.assert_tensor(&format!("{prefix}/{name}"), gradient);
            }
        }
    }

    fn assert_names(&self, prefix: &str, actual: &[Named]) {
        let mut actual: Vec<_> =
            actual.iter().map(|(name, _)| format!("{prefix}/{name}")).collect();
        let mut expected: Vec<_> =
            self.tensors.keys().filter(|name| name.starts_with(&format!("{prefix}/"))).collect();
        actual.sort();
        expected.sort();
        assert_eq!(actual.iter().collect::<Vec<_>>(), expected);
    }
}

/// Compares in the Euclidean norm and in the maximum norm.
fn assert_close(what: &str, actual: &[f64], expected: &[f64]) {
    let errors = difference(actual, expected);
    let largest = |values: &[f64]| values.iter().fold(0.0, |largest: f64, x| largest.max(x.abs()));
    let close = norm(&errors) <= TOLERANCE * norm(expected)
        && largest(&errors) <= TOLERANCE * largest(expected);
    assert!(close, "{what}: off by {:e} beside {:e}", norm(&errors), norm(expected));
}

fn difference(actual: &[f64], expected: &[f64]) -> Vec<f64> {
    assert_eq!(actual.len(), expected.len());
    actual.iter().zip(expected).map(|(actual, expected)| actual - expected).collect()
}

fn norm(values: &[f64]) -> f64 {
    values.iter().map(|x| x * x).sum::<f64>().sqrt()
}

/// Euclidean norm, then all values, or 64 from the first to the last.
fn summary(tensor: &Tensor) -> Vec<f64> {
    let values = values(tensor);
    let (count, last) = (values.len().min(64), values.len() - 1);
    [norm(&values)]
        .into_iter()
        .chain((0..count).map(|i| values[i * last / (count - 1).max(1)]))
        .collect()
}

fn values(tensor: &Tensor) -> Vec<f64> {
    Vec::try_from(tensor.detach().to_kind(Kind::Double).flatten(0, -1)).unwrap()
}

/// Gradients with the names of their parameters.
pub(crate) fn named(gradients: &[Tensor], parameters: Vec<Named>) -> Vec<Named> {
    parameters
        .iter()
        .zip(gradients)
        .map(|((name, _), gradient)| (name.clone(), gradient.shallow_clone()))
        .collect()
}

/// Images of one size, which all models for that size train on.
pub(crate) struct Inputs {
    pub(crate) dump: Dump,
    pub(crate) shape: InputShape,
    pub(crate) images: Images,
    /// In normalised units, `[N, H, W, C]`.
    pub(crate) test_images: Tensor,
}

impl Inputs {
    /// The inputs of the models in that file.
    pub(crate) fn of(models: &Dump) -> Self {
        let dump = Dump::read(&format!("inputs-{}", models.text("inputs")));
        let classes = models.number("classes") as i64;
        let size = dump.tensors["images"].size();
        let shape = InputShape { image: ImageShape::grey(size[1] as u32, size[2] as u32), classes };
        let none =
            Tensor::zeros([dump.tensors["test_images"].size()[0]], (Kind::Uint8, Device::Cpu));
        let images = normalised(&dump.tensors["images"], &dump.tensors["labels"], shape);
        let test_images = normalised(&dump.tensors["test_images"], &none, shape).pixels;
        Self { dump, shape, images, test_images }
    }

    /// Images and labels of a batch, by their numbers.
    pub(crate) fn batch(&self, numbers: &Tensor) -> (Tensor, Tensor) {
        (self.images.pixels.index_select(0, numbers), self.images.labels.index_select(0, numbers))
    }
}

/// Bytes as the trainer sees them.
fn normalised(images: &Tensor, labels: &Tensor, shape: InputShape) -> Images {
    let bytes = |x: &Tensor| Vec::<u8>::try_from(x.flatten(0, -1)).unwrap();
    let split = Split { images: bytes(images), labels: bytes(labels), shape: shape.image };
    let classes = shape.classes as usize;
    let splits =
        Splits { train: split.clone().into(), test: split, classes, units: Units::OF_MNIST };
    let data = DeviceData::new(splits, Device::Cpu);
    Images { pixels: data.test.pixels.shallow_clone(), labels: data.test.labels.shallow_clone() }
}
