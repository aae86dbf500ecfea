// The one __global__ function, and how kernels become kernel_entries.
#pragma once

#include <type_traits>

#include "dispatch.hpp"
#include "launch.hpp"
#include "tuning.hpp"

namespace skv::cuda {

#if defined(__CUDA_ARCH__)
inline constexpr int kArchitecture = __CUDA_ARCH__ / 10;
#else
inline constexpr int kArchitecture = 0;
#endif

/// The same function for every architecture: what differs is not among the template's arguments.
template <class Kernel, kernel_kind kKind>
__global__ void __launch_bounds__(policy_of(kKind, kArchitecture).most_threads,
                                  policy_of(kKind, kArchitecture).resident /
                                      policy_of(kKind, kArchitecture).most_threads)
    run(const __grid_constant__ Kernel kernel) {
  kernel();
}

/// The entry of a kernel whose parameters are `Parameters`.
template <class Kernel, class Parameters, kernel_kind kKind>
kernel_entry entry_of() {
  static_assert(sizeof(Kernel) == sizeof(Parameters),
                "a kernel has its parameters and nothing else");
  static_assert(std::is_trivially_copyable_v<Kernel>, "the driver copies its bytes");
  return {reinterpret_cast<const void*>(&run<Kernel, kKind>), &Kernel::shared_bytes,
          policy_of(kKind, 0)};
}

/// The entry of Kernel<Target, source, mean, heads>, which encodes or decodes, and whose parameters are
/// `Parameters`.
template <template <number_format, mean_source, number_format, head_layout> class Kernel,
          class Parameters, format_id Target, kernel_kind kKind>
kernel_entry entry_of(mean_source source, format_id mean, head_layout heads) {
  kernel_entry entry;
  with_kernel(Target, source, mean, heads,
              [&]<number_format T, mean_source S, number_format M, head_layout kHeads>() {
                if constexpr (T.id == Target)
                  entry = entry_of<Kernel<T, S, M, kHeads>, Parameters, kKind>();
              });
  return entry;
}

}  // namespace skv::cuda
