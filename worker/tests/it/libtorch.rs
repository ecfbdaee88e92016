//! What libtorch says of its own state, for tests alone: see `src/libtorch/extras.cpp`.

#![allow(unsafe_code, reason = "calls of C++ functions that take and give plain numbers")]

use swfn_shared::trial::Precision;
use tch::Device;

unsafe extern "C" {
    fn swfn_tf32_allowed() -> i32;
    fn swfn_gpu_bytes(gpu: i32, now: *mut i64, most: *mut i64) -> bool;
}

/// The precision that `set_precision` set; `None` if products and convolutions differ.
pub(crate) fn precision() -> Option<Precision> {
    // SAFETY: gives a value.
    match unsafe { swfn_tf32_allowed() } {
        0 => Some(Precision::Float32),
        3 => Some(Precision::Tf32),
        bits => {
            assert!(bits >= 0, "torch's settings for TensorFloat-32 agree with each other");
            None
        }
    }
}

/// Bytes of tensors on a GPU; `None` for a CPU.
pub(crate) fn tensor_bytes(device: Device) -> Option<u64> {
    let Device::Cuda(gpu) = device else { return None };
    let (mut now, mut most) = (0_i64, 0);
    // SAFETY: both addresses are valid during the call, and are not kept.
    let known = unsafe { swfn_gpu_bytes(gpu as i32, &raw mut now, &raw mut most) };
    known.then_some(now.cast_unsigned())
}
