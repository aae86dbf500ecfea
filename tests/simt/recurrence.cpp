// The kernels of tests/gpu/recurrence.hpp for the stand-in.
#include "gpu/recurrence.cuh"

#include "simt/entry.hpp"

namespace skv::gpu {

cuda::kernel_entry find_expect_kernel() {
  return simt::entry_of<expect_kernel, recurrence_parameters, cuda::kernel_kind::update>();
}
cuda::kernel_entry find_see_kernel() {
  return simt::entry_of<see_kernel, recurrence_parameters, cuda::kernel_kind::update>();
}

}  // namespace skv::gpu
