// How kernels become kernel_entries of the stand-in for the CUDA runtime: its side of kernels/entry.cuh.
#pragma once

#include <kernels/dispatch.hpp>
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

/// The entry of Kernel<Target, source, mean, heads>, which encodes or decodes.
template <template <number_format, mean_source, number_format, cuda::head_layout> class Kernel,
          class Parameters, format_id Target, bool kEncode>
cuda::kernel_entry entry_of(mean_source source, format_id mean, cuda::head_layout heads) {
  cuda::kernel_entry entry;
  cuda::with_kernel(
      Target, source, mean, heads,
      [&]<number_format T, mean_source S, number_format M, cuda::head_layout kHeads>() {
        if constexpr (T.id == Target)
          entry = entry_of<Kernel<T, S, M, kHeads>, Parameters,
                           cuda::coding_kind_of(kEncode, S, kHeads)>();
      });
  return entry;
}

}  // namespace skv::simt
