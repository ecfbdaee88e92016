//! The memory of tensors as slices, without copies: the one door between torch and the kernels.

use tch::{Device, Kind, Tensor};

/// Lends the floats of tensors on the CPU to `work`, in the order in which they lie in memory. Inside of it nothing else
/// may be done with the tensors that are written.
///
/// # Panics
/// If a tensor is elsewhere, holds something else, has gaps between its values, or shares memory with one that is
/// written.
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
    // SAFETY: `whole` has checked that the floats of each tensor are there; the borrows of the tensors keep them there
    // until `work` is over; and slices that are written overlap no others.
    unsafe { work(read.map(|slice| &*slice), write.map(|slice| &mut *slice)) }
}

/// Where the floats of a tensor lie.
fn whole(tensor: &Tensor) -> *mut [f32] {
    assert!(tensor.device() == Device::Cpu && tensor.kind() == Kind::Float, "floats on the CPU");
    assert!(
        tensor.is_contiguous(),
        "values in the order of their indices, without gaps between them"
    );
    std::ptr::slice_from_raw_parts_mut(tensor.data_ptr().cast(), tensor.numel())
}

/// First address, and the one after the last.
fn addresses(slice: &*mut [f32]) -> (usize, usize) {
    let start = slice.cast::<f32>().addr();
    (start, start + slice.len() * size_of::<f32>())
}
