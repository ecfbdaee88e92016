// What of libtorch the trainer needs and tch does not bind. Exceptions end here.

#include <cstdint>

#include <ATen/Context.h>
#include <c10/core/CachingDeviceAllocator.h>

using at::Float32Backend;
using at::Float32Op;
using at::Float32Precision;

extern "C" {

// Whether products of matrices and convolutions on GPUs may round their factors to TensorFloat-32. Of torch's two sets
// of functions for it, these keep the older settings and the newer ones in agreement, without which torch throws.
bool swfn_allow_tf32(bool allowed) {
  try {
    at::globalContext().setAllowTF32CuBLAS(allowed);
    at::globalContext().setAllowTF32CuDNN(allowed);
    return true;
  } catch (...) {
    return false;
  }
}

// What the kernels ask before they compute: 0 neither, 1 products of matrices, 2 convolutions, 3 both; -1 torch throws.
int32_t swfn_tf32_allowed() {
  try {
    const auto& context = at::globalContext();
    const auto is_tf32 = [&](Float32Op op) {
      return context.float32Precision(Float32Backend::CUDA, op) == Float32Precision::TF32;
    };
    const bool products = is_tf32(Float32Op::MATMUL), convolutions = is_tf32(Float32Op::CONV);
    if (products != context.allowTF32CuBLAS() || convolutions != context.allowTF32CuDNN(Float32Op::CONV)) {
      return -1;
    }
    return (products ? 1 : 0) + (convolutions ? 2 : 0);
  } catch (...) {
    return -1;
  }
}

// Bytes of tensors on that GPU, and the most there were; false where torch has no GPUs.
bool swfn_gpu_bytes(int32_t gpu, int64_t* now, int64_t* most) {
  try {
    const auto index = static_cast<c10::DeviceIndex>(gpu);
    const auto stats = at::getDeviceAllocator(at::kCUDA)->getDeviceStats(index);
    const auto& bytes = stats.allocated_bytes[0];  // of all pools
    *now = bytes.current;
    *most = bytes.peak;
    return true;
  } catch (...) {
    return false;
  }
}
}
