// The one __global__ function, and how kernels become kernel_entries.
#pragma once

#include "dispatch.hpp"
#include "launch.hpp"
#include "tuning.hpp"

namespace skv::cuda {

#if defined(__CUDA_ARCH__)
inline constexpr policy kPolicy = policy_of(__CUDA_ARCH__ / 10);
#else
inline constexpr policy kPolicy = policy_of(0);
#endif

template <class Kernel, std::uint32_t kThreads, std::uint32_t kBlocks>
__global__ void __launch_bounds__(kThreads, kBlocks) run(const __grid_constant__ Kernel kernel) {
  kernel();
}

/// The entry of a kernel whose parameters are `Parameters`.
template <class Kernel, class Parameters, occupancy kOccupancy>
kernel_entry entry_of() {
  static_assert(sizeof(Kernel) == sizeof(Parameters),
                "a kernel has its parameters and nothing else");
  return {reinterpret_cast<const void*>(&run<Kernel, kOccupancy.threads, kOccupancy.blocks>),
          &Kernel::shared_bytes};
}

/// The entry of Kernel<Target, source, mean, one_row>, whose parameters are `Parameters`. `kApart`: without
/// means, where heads lie apart.
template <template <number_format, mean_source, number_format, bool> class Kernel, class Parameters,
          format_id Target, occupancy kOccupancy, occupancy kApart = kOccupancy>
kernel_entry entry_of(mean_source source, format_id mean, bool one_row) {
  kernel_entry entry;
  with_kernel(Target, source, mean, one_row,
              [&]<number_format T, mean_source S, number_format M, bool kOneRow>() {
                constexpr bool is_apart = !kOneRow && S == mean_source::none;
                constexpr occupancy used = is_apart ? kApart : kOccupancy;
                if constexpr (T.id == Target)
                  entry = entry_of<Kernel<T, S, M, kOneRow>, Parameters, used>();
              });
  return entry;
}

}  // namespace skv::cuda
