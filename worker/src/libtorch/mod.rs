//! Functions of libtorch that tch does not bind: a few lines of C++, behind safe functions.

#![allow(
    unsafe_code,
    reason = "calls of C++ functions that take and give plain numbers, and catch their exceptions"
)]

/// The version that tch 0.24 binds; `deploy/libtorch.sh` checks that it is linked.
pub(crate) const TORCH_VERSION: &str = "2.11.0";

unsafe extern "C" {
    fn swfn_allow_tf32(allowed: bool) -> bool;
    fn swfn_tf32_allowed() -> i32;
    fn swfn_gpu_bytes(gpu: i32, now: *mut i64, most: *mut i64) -> bool;
}

/// Sets whether matrix products and convolutions on GPUs may round their factors to ten bits of
/// mantissa, for the whole process.
pub(crate) fn allow_tf32(allowed: bool) {
    // SAFETY: takes a value, keeps nothing.
    let done = unsafe { swfn_allow_tf32(allowed) };
    assert!(done, "libtorch {} has the switch", TORCH_VERSION);
}

/// The setting of [`allow_tf32`] for matrix products and for convolutions.
pub(crate) fn tf32_allowed() -> (bool, bool) {
    // SAFETY: gives a value.
    let bits = unsafe { swfn_tf32_allowed() };
    assert!(bits >= 0, "torch's settings for TensorFloat-32 agree with each other");
    (bits & 1 != 0, bits & 2 != 0)
}

/// Bytes of tensors on that GPU now, and their maximum; `None` where torch has no GPUs.
pub(crate) fn gpu_bytes(gpu: usize) -> Option<(u64, u64)> {
    let (mut now, mut most) = (0, 0);
    let gpu = i32::try_from(gpu).ok()?;
    // SAFETY: both addresses are valid during the call, and are not kept.
    let known = unsafe { swfn_gpu_bytes(gpu, &raw mut now, &raw mut most) };
    known.then_some((now.cast_unsigned(), most.cast_unsigned()))
}
