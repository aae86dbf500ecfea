// Runs kernels without a GPU: every thread is a fiber, all blocks are resident, and the next to run
// is drawn from a seed, so that orders which a GPU shows once in a while are tried on purpose. (What nvcc makes of
// kernels runs, warp by warp, under ptx/machine.hpp.)
#pragma once

#include <type_traits>

#include "simt/buffer.hpp"
#include "simt/machine.hpp"

namespace skv::simt {

/// Tests of what depends on the order of threads try so many orders.
inline constexpr std::uint64_t kSeeds = 20;

/// Runs `kernel` in all threads of the shape, to the end or to the first error: divergence within
/// a warp, waiting that cannot end, or writes outside of shared memory or of a live buffer. The same
/// seed gives the same schedule. Threads of a failed launch are dropped where they stand.
template <class Kernel>
report launch(const launch_shape& shape, const Kernel& kernel) {
  static_assert(std::is_trivially_copyable_v<Kernel>, "a kernel is copied to the device as bytes");
  static_assert(std::is_invocable_r_v<void, const Kernel&>, "a kernel has void operator()() const");
  if (std::string why = refusal_of(shape); !why.empty()) return {outcome::bad_launch, why};
  if (std::uint64_t{shape.blocks} * shape.threads_per_block > kMaxThreads)
    return {outcome::bad_launch, "more than 24,576 threads: each needs a stack of its own"};
  return machine(
             shape, [](const void* self) { (*static_cast<const Kernel*>(self))(); }, &kernel)
      .run();
}

}  // namespace skv::simt
