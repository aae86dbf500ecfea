// How kernels become kernel_entries of the stand-in for the CUDA runtime: its side of kernels/entry.cuh.
#pragma once

#include <kernels/launch.hpp>

#include "simt/executor.hpp"

namespace skv::simt {

/// What a function pointer of a kernel points to.
struct stand_in {
  std::size_t parameter_bytes;
  report (*run)(const launch_shape& shape, const std::byte* parameters);
};

template <class Kernel, class Parameters, cuda::kernel_kind kKind>
cuda::kernel_entry entry_of() {
  static constexpr stand_in kernel{
      sizeof(Parameters), [](const launch_shape& shape, const std::byte* parameters) {
        return launch(shape, Kernel{*reinterpret_cast<const Parameters*>(parameters)});
      }};
  return {&kernel, Kernel::shared_bytes, cuda::policy_of(kKind, 0)};
}

}  // namespace skv::simt
