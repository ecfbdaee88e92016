//! Functions of libtorch that tch does not bind: a few lines of C++, behind safe functions.

#![allow(
    unsafe_code,
    reason = "calls of C++ functions that take and give plain numbers, and catch their exceptions"
)]

#[cfg(test)]
#[path = "../../tests/it/libtorch.rs"]
pub(crate) mod state;

/// The version that tch 0.24 binds; `deploy/libtorch.sh` checks that it is linked.
pub(crate) const TORCH_VERSION: &str = "2.11.0";

unsafe extern "C" {
    fn swfn_allow_tf32(allowed: bool) -> bool;
}

/// Sets whether matrix products and convolutions on GPUs may round their factors to ten bits of
/// mantissa, for the whole process.
pub(crate) fn allow_tf32(allowed: bool) {
    // SAFETY: takes a value, keeps nothing.
    let done = unsafe { swfn_allow_tf32(allowed) };
    assert!(done, "libtorch {} has the switch", TORCH_VERSION);
}
