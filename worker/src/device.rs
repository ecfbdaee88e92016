//! The device of a process: its name, its description, and torch's threads. A device that is
//! missing is an error; no other one takes its place.

use std::{collections::BTreeSet, fs, path::Path, sync::Once};

use swfn_proto::v1;
use swfn_shared::{problem, problem::Problem, trial::Precision};
use tch::{Cuda, Device};

use crate::libtorch;

/// Reads `cpu`, `cuda` (the first GPU) or `cuda:<index>`, whether the device exists or not.
pub fn parse(name: &str) -> Result<Device, Problem> {
    let index = match name {
        "cpu" => return Ok(Device::Cpu),
        "cuda" => return Ok(Device::Cuda(0)),
        _ => name.strip_prefix("cuda:").filter(|i| i.bytes().all(|b| b.is_ascii_digit())),
    };
    // Torch holds an index in eight signed bits.
    let index = index.and_then(|index| index.parse().ok()).filter(|&index: &usize| index < 128);
    let shown: String = name.chars().take(64).collect();
    let unknown =
        || problem!("device `{shown}` is unknown"; "use `cpu`, or `cuda:0` for the first GPU");
    index.map(Device::Cuda).ok_or_else(unknown)
}

/// Opens the device of that name. From then on GPUs multiply in full precision: torch would let
/// cuDNN round.
pub fn open(name: &str) -> Result<Device, Problem> {
    let device = parse(name)?;
    if let Device::Cuda(index) = device {
        let count = Cuda::device_count();
        if !Cuda::is_available() {
            return Err(problem!(
                "device `{name}` is not there: {}", no_cuda_reason();
                "check `nvidia-smi` and the flavour of libtorch, or use `cpu`"
            ));
        }
        if index as i64 >= count {
            return Err(problem!(
                "device `{name}` is not there: this process sees {count} GPUs";
                "check CUDA_VISIBLE_DEVICES"
            ));
        }
    }
    set_precision(Precision::Float32);
    Ok(device)
}

/// Sets the precision of matrix products and convolutions on GPUs, for the whole process. The
/// environment variable NVIDIA_TF32_OVERRIDE, which CUDA's libraries read, overrides it.
pub fn set_precision(precision: Precision) {
    libtorch::allow_tf32(precision == Precision::Tf32);
}

/// Computes a small product on the device. Errors are torch's own.
pub fn try_out(device: Device) -> Result<(), Problem> {
    let compute = || -> Result<f64, tch::TchError> {
        let ones = tch::Tensor::f_ones([8, 8], (tch::Kind::Float, device))?;
        ones.f_matmul(&ones)?.f_sum(tch::Kind::Float)?.f_double_value(&[])
    };
    let name = name(device);
    match compute() {
        Ok(512.0) => Ok(()),
        Ok(sum) => Err(problem!("device `{name}` computes `{sum}` for 512"; "check its health")),
        Err(error) => {
            Err(problem!("device `{name}` does not compute: {error}"; "check `nvidia-smi`"))
        }
    }
}

/// The canonical name of a device.
pub fn name(device: Device) -> String {
    match device {
        Device::Cuda(index) => format!("cuda:{index}"),
        _ => "cpu".to_owned(),
    }
}

/// "cpu" or "cuda". Devices of one kind are taken to compute the same numbers; between kinds, sums
/// round differently.
pub fn kind(device: Device) -> &'static str {
    match device {
        Device::Cuda(_) => "cuda",
        _ => "cpu",
    }
}

/// The model, as the operating system or the driver names it.
pub(crate) fn model(device: Device) -> String {
    let model = match device {
        Device::Cuda(_) => gpu_model(Path::new("/proc/driver/nvidia/gpus")),
        _ => fs::read_to_string("/proc/cpuinfo").ok().and_then(|text| field(&text, "model name")),
    };
    model.unwrap_or_else(|| "unknown".to_owned())
}

/// The device as the coordinator and people see it.
pub fn describe(device: Device) -> v1::Device {
    let cuda_version = match device {
        Device::Cuda(_) => {
            // 13000 is 13.0.
            let version = tch::utils::version_cudart();
            format!("{}.{}", version / 1000, version % 1000 / 10)
        }
        _ => String::new(),
    };
    let threads = tch::get_num_threads().max(1).unsigned_abs();
    v1::Device { name: name(device), model: model(device), threads, cuda_version }
}

/// Limits torch to one thread in this thread of the process; OpenMP keeps its number per thread.
///
/// With shared cores a barrier between threads waits for the slowest, so one process per core is
/// faster. And the order of sums must not depend on the number of threads.
pub fn use_one_thread() {
    static INTEROP: Once = Once::new();
    // torch allows one call, before it starts such threads.
    INTEROP.call_once(|| tch::set_num_interop_threads(1));
    tch::set_num_threads(1);
}

fn no_cuda_reason() -> &'static str {
    // `has_cuda` asks for GPUs, too.
    if tch::utils::has_cudart() {
        "CUDA finds no GPU"
    } else {
        "this libtorch is built for CPUs only"
    }
}

/// The model of the host's GPUs, if all are of one. A process may see some of them in its own
/// order, and the driver's files do not say which.
fn gpu_model(folder: &Path) -> Option<String> {
    let mut models = BTreeSet::new();
    for gpu in fs::read_dir(folder).ok()? {
        let text = fs::read_to_string(gpu.ok()?.path().join("information")).ok()?;
        models.insert(field(&text, "Model")?);
    }
    if models.len() == 1 { models.pop_first() } else { None }
}

/// The value of the first line `key : value`.
fn field(text: &str, key: &str) -> Option<String> {
    let lines = text.lines().filter_map(|line| line.split_once(':'));
    lines.into_iter().find(|(k, _)| k.trim() == key).map(|(_, value)| value.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::libtorch::state::{precision, tensor_bytes};

    #[test]
    fn names_are_read() {
        assert_eq!(parse("cpu"), Ok(Device::Cpu));
        assert_eq!(parse("cuda"), Ok(Device::Cuda(0)));
        assert_eq!(parse("cuda:3"), Ok(Device::Cuda(3)));
        for wrong in ["", "gpu", "cuda:", "cuda:-1", "cuda:+1", "cuda:x", "cuda:128", "CPU", "mps"]
        {
            assert_eq!(parse(wrong).unwrap_err().what, format!("device `{wrong}` is unknown"));
        }
    }

    #[test]
    fn precision_is_set_for_products_and_convolutions() {
        open("cpu").unwrap();
        for wanted in [Precision::Tf32, Precision::Float32, Precision::Tf32] {
            set_precision(wanted);
            assert_eq!(precision(), Some(wanted));
            assert_eq!(try_out(Device::Cpu), Ok(()));
        }
        open("cpu").unwrap();
        assert_eq!(precision(), Some(Precision::Float32), "the default");
        assert_eq!(tensor_bytes(Device::Cpu), None);
    }

    #[test]
    fn the_cpu_computes() {
        assert_eq!(try_out(Device::Cpu), Ok(()));
    }

    #[test]
    fn a_missing_gpu_is_an_error() {
        assert!(open("cuda:127").is_err());
    }

    #[test]
    fn the_cpu_has_a_model() {
        let info = describe(Device::Cpu);
        assert_eq!(info.name, "cpu");
        assert!(!info.model.is_empty());
        assert_eq!(field("a\t: b: c\nmodel name\t: x\n", "model name"), Some("x".to_owned()));
        assert_eq!(field("a : b\n", "model name"), None);
    }
}
