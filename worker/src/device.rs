//! The device that a process drives: its name, its description, and torch's threads.

use std::{collections::BTreeSet, fs, path::Path, sync::Once};

use swfn_session::DeviceInfo;
use swfn_shared::trial::Precision;
use tch::{Cuda, Device};

use crate::libtorch;

/// A device that cannot be had. There is never a silent fall-back to another one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DeviceError {
    /// The name is none of a device.
    #[error("device `{0}` is unknown; hint: `cpu`, or `cuda:0` for the first GPU")]
    Unknown(String),
    /// A GPU was asked for, and CUDA does not work here.
    #[error(
        "device `{0}` is not there: {reason}; hint: check `nvidia-smi` and the flavour of libtorch, or use `cpu`",
        reason = no_cuda_reason()
    )]
    NoCuda(String),
    /// A GPU was asked for that is beyond the last one.
    #[error(
        "device `{name}` is not there: this process sees {count} GPUs; hint: check CUDA_VISIBLE_DEVICES"
    )]
    TooFew {
        /// The name that was asked for.
        name: String,
        /// Number of GPUs that this process sees.
        count: i64,
    },
}

/// Reads `cpu`, `cuda` (the first GPU) or `cuda:<index>`. Whether it is there is [`open`]'s question.
pub fn parse(name: &str) -> Result<Device, DeviceError> {
    let unknown = || DeviceError::Unknown(name.chars().take(64).collect());
    match name {
        "cpu" => Ok(Device::Cpu),
        "cuda" => Ok(Device::Cuda(0)),
        _ => {
            let index = name
                .strip_prefix("cuda:")
                .filter(|i| i.bytes().all(|b| b.is_ascii_digit()))
                .ok_or_else(unknown)?;
            // Torch holds an index in eight signed bits.
            index.parse().ok().filter(|&i: &usize| i < 128).map(Device::Cuda).ok_or_else(unknown)
        }
    }
}

/// The device of that name, if it is there. From then on multiplications are exact: torch would let cuDNN round.
pub fn open(name: &str) -> Result<Device, DeviceError> {
    let device = parse(name)?;
    if let Device::Cuda(index) = device {
        if !Cuda::is_available() {
            return Err(DeviceError::NoCuda(name.to_owned()));
        }
        let count = Cuda::device_count();
        if index as i64 >= count {
            return Err(DeviceError::TooFew { name: name.to_owned(), count });
        }
    }
    set_precision(Precision::Float32);
    Ok(device)
}

/// The precision of multiplications on GPUs, of products of matrices and of convolutions, in the whole process. CPUs do not
/// mind. The environment variable NVIDIA_TF32_OVERRIDE, which CUDA's libraries read, wins over it.
pub fn set_precision(precision: Precision) {
    libtorch::allow_tf32(precision == Precision::Tf32);
}

/// What [`set_precision`] last said; none if products of matrices and convolutions differ.
pub fn precision() -> Option<Precision> {
    match libtorch::tf32_allowed() {
        (false, false) => Some(Precision::Float32),
        (true, true) => Some(Precision::Tf32),
        _ => None,
    }
}

/// Bytes of tensors on a GPU now, and the most there were since the process began; none of a CPU.
pub fn tensor_bytes(device: Device) -> Option<(u64, u64)> {
    match device {
        Device::Cuda(index) => libtorch::gpu_bytes(index),
        _ => None,
    }
}

/// Computes something small on the device; an error is torch's own.
pub fn try_out(device: Device) -> Result<(), String> {
    let compute = || -> Result<f64, tch::TchError> {
        let ones = tch::Tensor::f_ones([8, 8], (tch::Kind::Float, device))?;
        ones.f_matmul(&ones)?.f_sum(tch::Kind::Float)?.f_double_value(&[])
    };
    match compute() {
        Ok(512.0) => Ok(()),
        Ok(sum) => Err(format!(
            "device `{}` computes `{sum}` for 512; hint: check its health",
            name(device)
        )),
        Err(error) => Err(format!(
            "device `{}` does not compute: {error}; hint: check `nvidia-smi`",
            name(device)
        )),
    }
}

/// The canonical name of a device.
pub fn name(device: Device) -> String {
    match device {
        Device::Cuda(index) => format!("cuda:{index}"),
        _ => "cpu".to_owned(),
    }
}

/// "cpu" or "cuda". Within a kind, devices are taken to compute the same; between kinds, sums round differently.
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

/// Name and model.
pub fn describe(device: Device) -> DeviceInfo {
    let cuda = match device {
        // 13000 is 13.0.
        Device::Cuda(_) => {
            Some(tch::utils::version_cudart()).map(|v| format!("{}.{}", v / 1000, v % 1000 / 10))
        }
        _ => None,
    };
    DeviceInfo {
        name: name(device),
        model: model(device),
        threads: tch::get_num_threads().max(1).unsigned_abs(),
        cuda: cuda.unwrap_or_default(),
    }
}

/// One thread per process: with shared cores a barrier between threads waits for the slowest, and sums whose order
/// depends on the number of threads would make results depend on the machine. One process per core is faster. To be
/// called in each thread that computes: OpenMP keeps its number of threads per thread.
pub fn use_one_thread() {
    static INTEROP: Once = Once::new();
    // A second call would be an error, and so would one after torch has started such threads: only this function does
    // either.
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

/// The model of the host's GPUs. A process may see only some of them in an order of its own, and the driver's files do
/// not say which: so only if all are of one model.
fn gpu_model(folder: &Path) -> Option<String> {
    let mut models = BTreeSet::new();
    for gpu in fs::read_dir(folder).ok()? {
        models.insert(field(
            &fs::read_to_string(gpu.ok()?.path().join("information")).ok()?,
            "Model",
        )?);
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

    #[test]
    fn names_are_read() {
        assert_eq!(parse("cpu"), Ok(Device::Cpu));
        assert_eq!(parse("cuda"), Ok(Device::Cuda(0)));
        assert_eq!(parse("cuda:3"), Ok(Device::Cuda(3)));
        for wrong in ["", "gpu", "cuda:", "cuda:-1", "cuda:+1", "cuda:x", "cuda:128", "CPU", "mps"]
        {
            assert_eq!(parse(wrong), Err(DeviceError::Unknown(wrong.to_owned())));
        }
    }

    #[test]
    fn precision_is_set_for_products_and_convolutions() {
        open("cpu").unwrap();
        for precision in [Precision::Tf32, Precision::Float32, Precision::Tf32] {
            set_precision(precision);
            assert_eq!(super::precision(), Some(precision));
            assert_eq!(try_out(Device::Cpu), Ok(()));
        }
        open("cpu").unwrap();
        assert_eq!(super::precision(), Some(Precision::Float32), "unless told otherwise");
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
