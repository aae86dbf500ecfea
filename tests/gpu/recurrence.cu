#include "gpu/recurrence.cuh"

#include <kernels/entry.cuh>

namespace skv::gpu {

cuda::kernel_entry find_expect_kernel() {
  return cuda::entry_of<expect_kernel, recurrence_parameters, cuda::kernel_kind::update>();
}
cuda::kernel_entry find_see_kernel() {
  return cuda::entry_of<see_kernel, recurrence_parameters, cuda::kernel_kind::update>();
}

}  // namespace skv::gpu
