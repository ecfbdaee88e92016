//! The memory of tensors as slices, without copies: the only connection between torch and the
//! kernels.

use tch::{Device, Kind, Tensor};

/// Lends the floats of tensors on the CPU to `work`, in the order in which they lie in memory.
/// `work` must not use the written tensors in another way.
///
/// # Panics
/// If a tensor is on another device, holds another kind, has gaps between its values, or shares
/// memory with a written one.
#[allow(unsafe_code, reason = "torch gives a pointer; what makes it a slice is checked here")]
pub(crate) fn with_slices<const R: usize, const W: usize, T>(
    read: [&Tensor; R],
    write: [&mut Tensor; W],
    work: impl FnOnce([&[f32]; R], [&mut [f32]; W]) -> T,
) -> T {
    let read = read.map(whole);
    let write = write.map(|tensor| whole(tensor));
    for (index, one) in write.iter().enumerate() {
        for other in read.iter().chain(&write[index + 1..]) {
            let ((start, end), (other_start, other_end)) = (addresses(one), addresses(other));
            assert!(
                end <= other_start || other_end <= start,
                "tensors that are written share no memory"
            );
        }
    }
    // SAFETY: `whole` has checked that each tensor's floats are there, and the borrows of the
    // tensors keep them until `work` is over. Written slices overlap no others.
    unsafe { work(read.map(|slice| &*slice), write.map(|slice| &mut *slice)) }
}

/// The memory of a tensor's floats.
fn whole(tensor: &Tensor) -> *mut [f32] {
    assert!(tensor.device() == Device::Cpu && tensor.kind() == Kind::Float, "floats on the CPU");
    assert!(tensor.is_contiguous(), "values in order, without gaps");
    std::ptr::slice_from_raw_parts_mut(tensor.data_ptr().cast(), tensor.numel())
}

/// First address, and the one after the last.
fn addresses(slice: &*mut [f32]) -> (usize, usize) {
    let start = slice.cast::<f32>().addr();
    (start, start + slice.len() * size_of::<f32>())
}
